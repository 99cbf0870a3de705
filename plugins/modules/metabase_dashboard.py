#!/usr/bin/python
# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)

from __future__ import annotations

DOCUMENTATION = r"""
module: metabase_dashboard
short_description: Bring a dashboard to Metabase as its definition says
version_added: 0.1.0
author:
  - The cdc.lakehouse authors (@cdc-lakehouse)
description:
  - Makes collection, cards, tabs, filters and layout of a dashboard, and mends what was changed by hand.
  - Dashboard and cards are known by their names within the collection; two of a name are an error. A card
    that somebody renamed, moved or put into the trash, and a dashboard or a tab that somebody renamed, are
    found again and get back their name and place. A copy that somebody made stays theirs. In place of a
    dashboard that was moved or put into the trash a new one is made. A collection that was renamed or moved
    is an error.
  - A card belongs to one dashboard. A definition that declares one of another dashboard is an error. To give
    a dashboard another name, rename it in Metabase and in the definition.
  - Only what is declared is compared. What people added stays, and stays where it is, and nothing is ever
    deleted; a card that is no longer declared stays on the dashboard, too, and is listed in RV(others).
options:
  database:
    description:
      - Name of the database in Metabase that the cards query, see M(cdc.lakehouse.metabase_database).
      - In check mode a missing one is a warning, since the run that follows may make it.
    type: str
    required: true
  collection:
    description:
      - Name of the collection, which lies at the top. It is made when it is missing.
    type: str
    required: true
  definition:
    description:
      - The dashboard. Several cards of a name in one collection are an error, so give cards of different
        dashboards different names.
    type: dict
    required: true
    suboptions:
      name:
        description: Title of the dashboard.
        type: str
        required: true
      description:
        description: What it is for.
        type: str
      refresh:
        description: Seconds after which the page asks again. Metabase keeps it nowhere; RV(url) carries it.
        type: int
      parameters:
        description: Filters.
        type: list
        elements: dict
        suboptions:
          slug:
            description: The name by which cards use it, as C({{slug}}).
            type: str
            required: true
          name:
            description: Its label.
            type: str
            required: true
          type:
            description: What it holds, a day, numbers or texts.
            type: str
            choices: [date/single, number/=, string/=]
            required: true
          default:
            description: Its value at first, or a list of them for numbers and texts. Needed where a card uses
              it outside C([[…]]).
            type: raw
          values:
            description: The texts to choose from; without them it is typed in.
            type: list
            elements: str
      tabs:
        description: Names of the tabs, in order.
        type: list
        elements: str
      cards:
        description: The cards.
        type: list
        elements: dict
        required: true
        suboptions:
          name:
            description: Title.
            type: str
            required: true
          description:
            description: What it shows.
            type: str
          display:
            description: How it is drawn.
            type: str
            choices: [scalar, smartscalar, line, bar, row, area, pie, table]
            required: true
          sql:
            description: The query. C({{slug}}) is the value of a filter; what stands in C([[…]]) is left out
              while its filter is empty.
            type: str
            required: true
          settings:
            description:
              - Metabase's visualization_settings. The keys of C(column_settings) are JSON, such as
                C(["name","revenue"]).
            type: dict
          tab:
            description: The tab that it is on; needed with tabs.
            type: str
          at:
            description: Its place, on a grid of 24 columns.
            type: dict
            required: true
            suboptions:
              row:
                description: First row, from 0.
                type: int
                required: true
              col:
                description: First column, from 0.
                type: int
                required: true
              width:
                description: Number of columns.
                type: int
                required: true
              height:
                description: Number of rows.
                type: int
                required: true
extends_documentation_fragment:
  - cdc.lakehouse.metabase
  - cdc.lakehouse.metabase.login
attributes:
  check_mode:
    description: Can run in check mode and report what it would change.
    support: full
  diff_mode:
    description: Shows what is declared, before and after; the SQL too.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: A dashboard of one card
  cdc.lakehouse.metabase_dashboard:
    url: http://127.0.0.1:3000
    login_user: admin@example.com
    login_password: "{{ lakehouse_secret_metabase_admin }}"
    database: Lakehouse
    collection: Lakehouse
    definition:
      name: Orders
      refresh: 60
      cards:
        - name: Orders per minute
          display: line
          sql: select minute, orders from gold.orders_per_minute
          settings: {graph.dimensions: [minute], graph.metrics: [orders]}
          at: {row: 0, col: 0, width: 24, height: 6}
  register: orders

- name: A dashboard from a file
  cdc.lakehouse.metabase_dashboard:
    url: http://127.0.0.1:3000
    api_key: "{{ metabase_key }}"
    database: Lakehouse
    collection: Lakehouse
    definition: "{{ lookup('ansible.builtin.file', 'dashboards/sales_trends.yml') | from_yaml }}"
"""

RETURN = r"""
url:
  description:
    - Address of the dashboard for people, with the interval of its refresh. Begins with Metabase's setting
      C(site-url).
    - Null in check mode when the dashboard would be made.
  returned: success
  type: str
  sample: http://node3:3000/dashboard/7#refresh=60
dashboard_id:
  description: Its id in Metabase; null in check mode when it would be made.
  returned: success
  type: int
others:
  description: Cards on the dashboard that are not declared.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase import (
    LOGIN_OPTIONS,
    LOGIN_RULES,
    Metabase,
    finish,
)
from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase_dashboard import bring
from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase_definition import parse


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **LOGIN_OPTIONS,
            "database": {"type": "str", "required": True},
            "collection": {"type": "str", "required": True},
            "definition": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
        **LOGIN_RULES,
    )
    params = module.params
    client = Metabase.from_params(params)
    where = (params["collection"], params["database"])
    finish(
        module,
        client,
        lambda: bring(client, parse(params["definition"]), *where, check=module.check_mode),
    )


if __name__ == "__main__":
    main()
