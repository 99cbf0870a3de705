#!/usr/bin/python
# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)

from __future__ import annotations

DOCUMENTATION = r"""
module: metabase_database
short_description: Connect Metabase to a Spark Thrift Server
version_added: 0.1.0
author:
  - The cdc.lakehouse authors (@cdc-lakehouse)
description:
  - Makes a database of type Spark SQL in Metabase, mends its connection, and waits until Metabase has read
    the tables for the first time.
  - Where host, port or dbname became others, it lets Metabase read the tables again, but does not wait for
    it, since Metabase tells the end of the first time only. The SQL of cards needs no tables that were read.
  - Before it changes anything, and in check mode too, Metabase tries the connection. Where the Thrift Server
    is down or refuses the password, the module fails.
  - Metabase gives no password back. The one that it keeps counts as another one when the Thrift Server
    refuses it; it is replaced then. Two passwords that are both good are not told apart.
options:
  name:
    description:
      - Name of the database in Metabase. Two of the same name are an error, and one of another type is not
        touched.
    type: str
    required: true
  host:
    description:
      - Host of the Thrift Server, as Metabase reaches it.
    type: str
    required: true
  port:
    description:
      - Its port.
    type: int
    default: 10000
  dbname:
    description:
      - Database of the catalog. Metabase reads the tables of this one only; queries may name others.
    type: str
    default: default
  user:
    description:
      - User to log in as at the Thrift Server.
    type: str
    required: true
  password:
    description:
      - Password of that user.
    type: str
    required: true
  jdbc_flags:
    description:
      - Further settings for the address, each with a semicolon before it. Metabase talks the binary protocol
        only.
      - Not set, those that are there stay.
    type: str
  sync_timeout:
    description:
      - Seconds to wait until Metabase has read the tables for the first time.
    type: int
    default: 300
extends_documentation_fragment:
  - cdc.lakehouse.metabase
  - cdc.lakehouse.metabase.login
attributes:
  check_mode:
    description: Can run in check mode. Metabase tries the connection then, too.
    support: full
  diff_mode:
    description: Shows the connection before and after, without the password.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: Let Metabase query gold
  cdc.lakehouse.metabase_database:
    url: http://127.0.0.1:3000
    login_user: admin@example.com
    login_password: "{{ lakehouse_secret_metabase_admin }}"
    name: Lakehouse
    host: node2
    dbname: gold
    user: bi
    password: "{{ lakehouse_secret_thrift_bi }}"
"""

RETURN = r"""
database_id:
  description: Its id in Metabase; null in check mode when it would be made.
  returned: success
  type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase import (
    LOGIN_OPTIONS,
    LOGIN_RULES,
    Metabase,
    finish,
)
from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase_database import Wanted, bring


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **LOGIN_OPTIONS,
            "name": {"type": "str", "required": True},
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "default": 10000},
            "dbname": {"type": "str", "default": "default"},
            "user": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "jdbc_flags": {"type": "str"},
            "sync_timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
        **LOGIN_RULES,
    )
    params = module.params
    options = ("name", "host", "port", "dbname", "user", "password", "jdbc_flags")
    wanted = Wanted(**{option: params[option] for option in options})
    client = Metabase.from_params(params)
    finish(module, client, lambda: bring(client, wanted, params["sync_timeout"], check=module.check_mode))


if __name__ == "__main__":
    main()
