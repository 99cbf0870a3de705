# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)
"""The options of all modules of Metabase, and of those that log in to one that is set up."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragments C(metabase) and C(metabase.login)."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - Address of Metabase as the module reaches it, for instance V(http://127.0.0.1:3000).
    type: str
    required: true
  timeout:
    description:
      - Seconds that a request may take. The first one that reaches the Thrift Server is slow.
    type: int
    default: 60
notes:
  - Written for Metabase 57 and newer. Tested against a stand-in that follows the vendor's API description.
"""

    LOGIN = r"""
options:
  login_user:
    description:
      - Email address of an administrator. Needs O(login_password).
      - Several wrong passwords make Metabase refuse the right one for a while, too; the module says so.
    type: str
  login_password:
    description:
      - Password of that user.
    type: str
  api_key:
    description:
      - An API key of the group Administrators, instead of O(login_user) and O(login_password).
    type: str
"""
