#!/usr/bin/python
# Copyright (c) 2026 The cdc.lakehouse authors
# Apache-2.0 (see LICENSE)
"""Verify a locked artifact's downloads in the controller's cache and make one bundle of them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact_bundle
short_description: Verify locked downloads and bundle them
description:
  - Compares every file of one entry of files/artifacts.lock.yml that the cache holds with the lock.
    A wrong one is an error. A file that was compared before is read again when its size or times are others.
  - With O(build=true), reads all of them, and makes one tar, the same to the byte wherever it is made.
  - With O(root), looks besides at what the node has, as M(cdc.lakehouse.artifact_install) does in check mode.
  - The cache is no host's state, so nothing here counts as a change.
author: The cdc.lakehouse authors (@cdc-lakehouse)
options:
  name:
    description: The entry's name.
    type: str
    required: true
  entry:
    description:
      - The entry; or, for a program of this collection, C(version) and C(trees), which names the controller's
        folder for each folder of the node. Its files C(*.py) and C(*.sql) then name the version.
    type: dict
    required: true
  cache:
    description: The cache's folder.
    type: path
    required: true
  build:
    description: Whether to make the bundle; needs every file in the cache.
    type: bool
    default: false
  root:
    description: Where folder and link are on the node.
    type: path
attributes:
  check_mode:
    description: Runs the same in check mode.
    support: full
  diff_mode:
    description: Shows no diff.
    support: none
"""

EXAMPLES = r"""
- name: Look at the cache
  cdc.lakehouse.artifact_bundle:
    name: kafka
    entry: "{{ lock.kafka }}"
    cache: /var/cache/cdc-lakehouse
"""

RETURN = r"""
directory:
  description: Name of the folder that this entry makes on a node.
  type: str
  returned: always
missing:
  description: The locked files that the cache lacks.
  type: list
  elements: dict
  returned: always
files:
  description: The folder of the cache that holds the downloads.
  type: str
  returned: always
bundle:
  description: The bundle's path.
  type: str
  returned: always
sha256:
  description: The bundle's SHA-256.
  type: str
  returned: when O(build=true)
node:
  description: What the node has; C(whole), C(linked) and C(manifest) of M(cdc.lakehouse.artifact_install).
  type: dict
  returned: with O(root)
"""
