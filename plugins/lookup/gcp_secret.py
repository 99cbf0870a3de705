# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)

from __future__ import annotations

DOCUMENTATION = r"""
name: gcp_secret
short_description: Read secrets from Google Secret Manager
version_added: 0.1.0
author:
  - The cdc.lakehouse authors (@cdc-lakehouse)
description:
  - Reads the latest version of each secret. Each is asked for once in a process.
  - It prints nothing, whatever the verbosity; C(google.cloud.gcp_secret_manager) prints the answer, with the
    secret in it, at C(-vvv).
  - It signs in with the application default credentials, which C(gcloud auth application-default login)
    makes, or as E(GCP_SERVICE_ACCOUNT_FILE) and E(GCP_IMPERSONATE_SERVICE_ACCOUNT) say, as the modules do.
requirements:
  - google-auth >= 2.40 and requests >= 2.32 on the controller
options:
  _terms:
    description:
      - Names of the secrets.
    type: list
    elements: str
    required: true
  project:
    description:
      - Id of the Google Cloud project that has them.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: The password of the BI user
  ansible.builtin.set_fact:
    password: "{{ lookup('cdc.lakehouse.gcp_secret', 'lakehouse-thrift-bi', project='shop-lakehouse') }}"
  no_log: true
"""

RETURN = r"""
_raw:
  description: The secrets, as text in UTF-8, in the order of the names.
  type: list
  elements: str
"""

import base64
import functools
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.cdc.lakehouse.plugins.module_utils import gcp


class LookupModule(LookupBase):
    """The lookup."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[str]:
        """Return the secrets of these names."""
        self.set_options(var_options=variables, direct=kwargs)
        if gcp.IMPORT_ERROR:
            raise AnsibleError("The lookup gcp_secret needs google-auth and requests on the controller.")
        project = str(self.get_option("project"))
        try:
            return [_read(project, name) for name in terms]
        except (gcp.GcpError, gcp.SignInError) as error:
            raise AnsibleError(gcp.told(error)) from error


@functools.cache
def _client(project: str) -> gcp.Client:
    return gcp.Client(gcp.parameters(project))


@functools.cache
def _read(project: str, name: str) -> str:
    path = f"projects/{project}/secrets/{name}/versions/latest:access"
    found = _client(project).get("secretmanager", path)
    if found is None:
        raise gcp.GcpError(
            f"Secret Manager has no secret {name} in project {project}. Make it: `gcloud secrets create "
            f"{name} --project {project} --data-file=-` reads its value from standard input."
        )
    return base64.b64decode(found["payload"]["data"]).decode()
