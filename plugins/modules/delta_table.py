#!/usr/bin/python
# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)

from __future__ import annotations

DOCUMENTATION = r"""
module: delta_table
short_description: Register Delta tables and views in the catalog
version_added: 0.1.0
author:
  - The cdc.lakehouse authors (@cdc-lakehouse)
description:
  - Registers external Delta tables and views in the catalog of a Spark Thrift Server, mends what was changed
    by hand, and removes registrations.
  - Takes all of them at once, since reading the catalog costs much less than logging in.
  - The data of a table is never touched, whatever the state. A managed table, whose registration cannot be
    removed without its data, is left alone with an error.
requirements:
  - PyHive 0.7 with C(hive_pure_sasl) for the Python interpreter that runs the module
options:
  host:
    description:
      - Host of the Thrift Server.
    type: str
    required: true
  port:
    description:
      - Port of the Thrift Server.
    type: int
    default: 10000
  user:
    description:
      - User to log in as, who will own what is registered.
    type: str
    required: true
  password:
    description:
      - Password of the user.
    type: str
    required: true
  tables:
    description:
      - The tables and views. They are registered in this order, so a view comes after what it reads.
    type: list
    elements: dict
    required: true
    suboptions:
      database:
        description:
          - Database of the catalog. It is made when it is missing.
        type: str
        required: true
      name:
        description:
          - Name of the table or view.
        type: str
        required: true
      state:
        description:
          - Whether it is registered. V(absent) removes the registration only.
        type: str
        choices: [present, absent]
        default: present
      location:
        description:
          - URI of the Delta table. It must exist; in check mode a missing one is a warning, since the run
            that follows may make it.
          - A table that is registered with another location, or whose columns have changed since, is
            registered again.
        type: str
      query:
        description:
          - The SELECT statement of the view. A view with another text is replaced.
          - The view follows its tables when their columns change (C(WITH SCHEMA EVOLUTION)).
        type: str
      comment:
        description:
          - Comment of the view. The comment of a table is in its Delta log, where this module does not write.
        type: str
attributes:
  check_mode:
    description: Can run in check mode and report what it would register.
    support: full
  diff_mode:
    description: Shows location, columns and query before and after.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: A table and a view on it
  cdc.lakehouse.delta_table:
    host: node2
    user: lakehouse_admin
    password: "{{ lakehouse_secret_thrift_admin }}"
    tables:
      - database: silver
        name: orders_versions
        location: gs://lakehouse/silver/orders
      - database: silver
        name: orders
        query: SELECT order_id, status FROM silver.orders_versions WHERE is_current
  vars:
    ansible_python_interpreter: /opt/cdc-lakehouse/tools/bin/python

- name: A view that is no longer needed
  cdc.lakehouse.delta_table:
    host: node2
    user: lakehouse_admin
    password: "{{ lakehouse_secret_thrift_admin }}"
    tables:
      - {database: silver, name: drafts, state: absent}
  vars:
    ansible_python_interpreter: /opt/cdc-lakehouse/tools/bin/python
"""

RETURN = r"""
registered:
  description: Tables and views that were registered, anew or again; in check mode, would be.
  returned: success
  type: list
  elements: str
  sample: [silver.orders]
removed:
  description: Tables and views whose registration was removed; in check mode, would be.
  returned: success
  type: list
  elements: str
  sample: [silver.drafts]
missing_log:
  description: Whether the task failed because a location holds no Delta table (yet).
  returned: failure
  type: bool
"""

import json
import traceback
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.cdc.lakehouse.plugins.module_utils import delta_table

try:
    import pyhive.hive  # noqa: F401

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "default": 10000},
            "user": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "tables": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "database": {"type": "str", "required": True},
                    "name": {"type": "str", "required": True},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                    "location": {"type": "str"},
                    "query": {"type": "str"},
                    "comment": {"type": "str"},
                },
                "mutually_exclusive": [("location", "query")],
                "required_if": [("state", "present", ("location", "query"), True)],
                "required_by": {"comment": "query"},
            },
        },
        supports_check_mode=True,
    )
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("PyHive"), exception=IMPORT_ERROR)
    try:
        module.exit_json(**run(module))
    except delta_table.MissingLogError as error:
        module.fail_json(msg=str(error), missing_log=True)
    except (delta_table.CatalogError, delta_table.StatementError) as error:
        module.fail_json(msg=str(error), missing_log=False)


def run(module: AnsibleModule) -> dict[str, object]:
    """Bring the catalog to what the options say; the module's result."""
    params = module.params
    server = delta_table.ThriftServer(params["host"], params["port"], params["user"], params["password"])
    catalog = delta_table.Catalog(server)
    registered: list[str] = []
    removed: list[str] = []
    diffs: list[dict[str, str]] = []
    for entry in params["tables"]:
        present = entry["state"] == "present"
        wanted = delta_table.Wanted(
            database=entry["database"],
            name=entry["name"],
            location=entry["location"] if present else None,
            query=entry["query"] if present else None,
            comment=" ".join((entry["comment"] or "").split()),
        )
        try:
            plan = delta_table.plan(catalog, server, wanted, module.check_mode)
            if plan.statements and not module.check_mode:
                delta_table.apply(server, catalog, wanted.database, plan.statements)
        except delta_table.StatementError as error:
            raise delta_table.CatalogError(f"{wanted.title}: {error}") from error
        if plan.warning:
            module.warn(plan.warning)
        if plan.statements:
            (registered if present else removed).append(wanted.title)
            diffs.append(
                {
                    "before": _shown(plan.before),
                    "after": _shown(plan.after),
                    "before_header": wanted.title,
                    "after_header": wanted.title,
                }
            )
    return {
        "changed": bool(registered or removed),
        "registered": registered,
        "removed": removed,
        "diff": diffs,
    }


def _shown(state: dict[str, Any]) -> str:
    """A table or view as text for the diff."""
    return json.dumps(state, indent=2, sort_keys=True) + "\n" if state else ""


if __name__ == "__main__":
    main()
