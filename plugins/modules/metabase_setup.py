#!/usr/bin/python
# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)

from __future__ import annotations

DOCUMENTATION = r"""
module: metabase_setup
short_description: Set up a fresh Metabase
version_added: 0.1.0
author:
  - The cdc.lakehouse authors (@cdc-lakehouse)
description:
  - Creates the first user of a Metabase that has none, and sets settings of the site.
  - Where Metabase was set up already, it creates nobody, logs in with O(email) and O(password), and mends the
    settings. It never changes a user.
options:
  email:
    description:
      - Email address of the first user, an administrator, who logs in with it.
    type: str
    required: true
  password:
    description:
      - Password of that user. Metabase refuses common and short ones; 15 random letters and digits or more
        are good.
    type: str
    required: true
  first_name:
    description:
      - First name that a new user gets.
    type: str
  last_name:
    description:
      - Last name that a new user gets.
    type: str
  settings:
    description:
      - Settings of the site by their keys, such as C(site-name), C(site-url) or C(anon-tracking-enabled).
        What is not listed is left alone, and null sets the default. One that Metabase takes from its
        environment is an error.
      - Of some settings, such as passwords, Metabase tells only the last two characters. Such a one counts as
        set when these are the same.
      - A text is not shown where its key has password, secret, token or key in it, or where Metabase hides
        it. The log of the managed host has it unless the task sets C(no_log).
    type: dict
    default: {}
extends_documentation_fragment:
  - cdc.lakehouse.metabase
attributes:
  check_mode:
    description: Can run in check mode. On a Metabase without a user it reports all settings, since nobody may
      read them.
    support: full
  diff_mode:
    description: Shows the user that is made, and the settings that differ.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: Set up Metabase
  cdc.lakehouse.metabase_setup:
    url: http://127.0.0.1:3000
    email: admin@example.com
    password: "{{ lakehouse_secret_metabase_admin }}"
    settings:
      site-name: Lakehouse
      site-url: http://node3:3000
      anon-tracking-enabled: false
"""

RETURN = r"""
set_up:
  description: Whether the first user was made; in check mode, would be.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase import CLIENT_OPTIONS, Metabase, finish
from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase_setup import (
    Wanted,
    bring,
    is_secret,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CLIENT_OPTIONS,
            "email": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "first_name": {"type": "str"},
            "last_name": {"type": "str"},
            "settings": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    params = module.params
    module.no_log_values.update(str(v) for k, v in params["settings"].items() if is_secret(k, v))
    wanted = Wanted(
        params["email"], params["password"], params["first_name"], params["last_name"], params["settings"]
    )
    client = Metabase(params["url"], wanted.email, wanted.password, timeout=params["timeout"])
    finish(module, client, lambda: bring(client, wanted, check=module.check_mode))


if __name__ == "__main__":
    main()
