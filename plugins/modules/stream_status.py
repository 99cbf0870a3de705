#!/usr/bin/python
# Copyright: The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""How far the stream of changes has come."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stream_status
short_description: Tell how far the stream of changes has come
version_added: 0.1.0
author: The cdc.lakehouse authors (@cdc-lakehouse)
description:
  - Asks the source for the state of its replication slot, and reads what the pipeline writes about itself.
  - Runs on the host of the pipeline, with the Python of the artifact C(tools).
  - What does not answer is told under RV(problems); the module itself does not fail for it.
options:
  source:
    description: How to reach the source database, in libpq's keywords.
    type: dict
    required: true
  slot:
    description: Name of the replication slot.
    type: str
    required: true
  status_file:
    description: The file that the pipeline keeps its state in.
    type: path
    required: true
requirements:
  - psycopg2
attributes:
  check_mode:
    support: full
    description: The module only reads.
  diff_mode:
    support: none
    description: Nothing changes.
"""

EXAMPLES = r"""
- name: Look at the stream
  cdc.lakehouse.stream_status:
    source: {host: node1, dbname: shop, user: cdc, password: "{{ lakehouse_secret_postgres_cdc }}"}
    slot: lakehouse
    status_file: /run/lakehouse-pipeline/status.json
  no_log: true
"""

RETURN = r"""
now:
  description: The time on the host, in seconds since 1970.
  type: float
  returned: always
slot:
  description:
    - The replication slot; empty when the source does not answer or has none.
    - C(delivered_seconds) is how long ago that was committed which Debezium noted last as delivered.
  type: dict
  returned: always
  sample: {active: true, lag_bytes: 56, wal_status: reserved, delivered_seconds: 3.2}
pipeline:
  description: The content of the status file; empty when there is none.
  type: dict
  returned: always
problems:
  description: What did not answer, by C(source), C(pipeline).
  type: dict
  returned: always
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdc.lakehouse.plugins.module_utils.stream import pipeline_status, slot_status


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "dict", "required": True, "no_log": True},
            "slot": {"type": "str", "required": True},
            "status_file": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    problems: dict[str, str] = {}

    def ask(name: str, question: Any, *arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = question(*arguments)
            return answer
        except Exception as error:  # whatever a client raises: the other question is still to be asked
            problems[name] = str(error).strip() or type(error).__name__
            return {}

    module.exit_json(
        now=time.time(),
        slot=ask("source", slot_status, params["source"], params["slot"]),
        pipeline=ask("pipeline", pipeline_status, params["status_file"]),
        problems=problems,
    )


if __name__ == "__main__":
    main()
