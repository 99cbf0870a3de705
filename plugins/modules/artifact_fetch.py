#!/usr/bin/python
# Copyright (c) 2026 The cdc.lakehouse authors
# Apache-2.0 (see LICENSE)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact_fetch
short_description: Fetch locked files to the controller's cache
description:
  - Fetches files from a Maven repository or from URLs, several at a time. One whose SHA-256 is another than
    locked does not get into the folder.
  - Runs on the controller, as an action plugin. Nothing counts as a change.
author: The cdc.lakehouse authors (@cdc-lakehouse)
options:
  files:
    description: Locked files, each with C(sha256), and with C(maven), or with C(url) and its name C(file).
    type: list
    elements: dict
    required: true
  folder:
    description: Where they go.
    type: path
    required: true
  repository:
    description: URL of the repository; empty for Maven Central.
    type: str
    default: ""
  setting:
    description: Name of the variable that an error tells to change; empty for that of the Maven repository.
    type: str
    default: ""
attributes:
  check_mode:
    description: Is skipped.
    support: none
  diff_mode:
    description: Shows no diff.
    support: none
"""

EXAMPLES = r"""
- name: Fetch what the cache lacks
  cdc.lakehouse.artifact_fetch:
    files:
      - maven: org.slf4j:slf4j-api:1.7.36
        sha256: d3ef575e3e4979678dc01bf1dcce51021493b4d11fb7f1be8ad982877c16a1c0
    folder: /var/cache/cdc-lakehouse/files
"""

RETURN = r"""
msg:
  description: How many files were fetched.
  type: str
  returned: always
"""
