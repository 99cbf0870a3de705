#!/usr/bin/python
# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)

from __future__ import annotations

DOCUMENTATION = r"""
module: kafka_topic
short_description: Manage a Kafka topic
version_added: 0.1.0
author:
  - The cdc.lakehouse authors (@cdc-lakehouse)
description:
  - Creates, changes and deletes a topic of a Kafka cluster, and mends what was changed by hand.
  - What the cluster would refuse (an unknown setting, more replicas than brokers) also fails in check mode.
requirements:
  - confluent-kafka >= 2.3 for the Python interpreter that runs the module
options:
  bootstrap_servers:
    description:
      - Addresses of one or more brokers, each V(host:port).
    type: list
    elements: str
    required: true
  name:
    description:
      - Name of the topic.
    type: str
    required: true
  state:
    description:
      - Whether the topic exists. V(absent) loses everything in it.
    type: str
    choices: [present, absent]
    default: present
  partitions:
    description:
      - Number of partitions, at least 1.
      - A topic can be given more of them, unless O(cdc=true), and never fewer.
      - Not set, an existing topic keeps its number and a new one gets the brokers' default.
    type: int
  replication_factor:
    description:
      - Number of replicas of each partition, at least 1.
      - The module sets it for a new topic. Where an existing one has another number it fails, since Kafka
        changes it only by moving data; C(kafka-reassign-partitions) does that.
      - Not set, an existing topic keeps its number and a new one gets the brokers' default.
    type: int
  config:
    description:
      - The settings that the topic has of its own, such as C(retention.ms). All of them. One that was set on
        the topic and is not listed here is reset to the brokers' default, so that V({}) resets all.
      - Not set, the topic keeps the settings it has.
    type: dict
  cdc:
    description:
      - Whether the topic carries change events, whose order within a key matters.
      - The module then refuses to change the number of partitions. With another number a key's later events
        would go to another partition than its earlier ones, and be read out of order.
    type: bool
    default: false
  timeout:
    description:
      - Seconds that a request to the cluster may take.
    type: int
    default: 30
attributes:
  check_mode:
    description: Can run in check mode and report whether it would change the topic.
    support: full
  diff_mode:
    description: Shows the topic's partitions, replication factor and settings before and after.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: A topic of change events, kept for a week
  cdc.lakehouse.kafka_topic:
    bootstrap_servers: [node1:9092]
    name: cdc.public.orders
    partitions: 1
    cdc: true
    config:
      cleanup.policy: delete
      retention.ms: 604800000
  vars:
    ansible_python_interpreter: /opt/cdc-lakehouse/tools/bin/python

- name: A topic that is no longer needed
  cdc.lakehouse.kafka_topic:
    bootstrap_servers: [node1:9092]
    name: cdc.public.drafts
    state: absent
  vars:
    ansible_python_interpreter: /opt/cdc-lakehouse/tools/bin/python
"""

RETURN = r"""
topic:
  description:
    - The topic after the task; in check mode as it would be. A number that a new topic would get from the
      brokers is -1 then.
    - Null when there is no such topic.
  returned: success
  type: dict
  sample: {partitions: 1, replication_factor: 3, config: {cleanup.policy: delete}}
  contains:
    partitions:
      description: Number of partitions.
      type: int
    replication_factor:
      description: Number of replicas of each partition.
      type: int
    config:
      description: Settings that the topic has of its own.
      type: dict
"""

import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.cdc.lakehouse.plugins.module_utils import kafka_topic

try:
    import confluent_kafka  # noqa: F401

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "bootstrap_servers": {"type": "list", "elements": "str", "required": True},
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "partitions": {"type": "int"},
            "replication_factor": {"type": "int"},
            "config": {"type": "dict"},
            "cdc": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("confluent-kafka"), exception=IMPORT_ERROR)
    for option in ("partitions", "replication_factor", "timeout"):
        if module.params[option] is not None and module.params[option] < 1:
            module.fail_json(msg=f"{option} is {module.params[option]}, and must be at least 1.")
    try:
        module.exit_json(**run(module))
    except kafka_topic.TopicError as error:
        module.fail_json(msg=str(error))


def run(module: AnsibleModule) -> dict[str, object]:
    """Bring the topic to what the options say; the module's result."""
    params = module.params
    wanted = kafka_topic.Wanted(
        name=params["name"],
        present=params["state"] == "present",
        partitions=params["partitions"],
        replication_factor=params["replication_factor"],
        config=None if params["config"] is None else kafka_topic.config_text(params["config"]),
        cdc=params["cdc"],
    )
    admin = kafka_topic.ConfluentAdmin(params["bootstrap_servers"], params["timeout"])
    before = admin.describe(wanted.name)
    steps = kafka_topic.plan(before, wanted)
    kafka_topic.apply(admin, wanted, steps, validate_only=module.check_mode)
    if steps.changes and not module.check_mode:
        after = kafka_topic.settle(admin, wanted, params["timeout"])
    else:
        after = kafka_topic.expected(before, wanted, steps)
    return {
        "changed": steps.changes,
        "topic": after.as_dict() if after else None,
        "diff": {
            "before": before.as_dict() if before else {},
            "after": after.as_dict() if after else {},
            "before_header": wanted.name,
            "after_header": wanted.name,
        },
    }


if __name__ == "__main__":
    main()
