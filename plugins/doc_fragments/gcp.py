# Copyright: (c) 2026, The cdc.lakehouse authors
# Apache License 2.0 (see LICENSE)

from __future__ import annotations


class ModuleDocFragment:
    """Options that all modules for Google Cloud share."""

    DOCUMENTATION = r"""
requirements:
  - google-auth >= 2.40 and requests >= 2.32 for the Python interpreter that runs the module
options:
  project:
    description:
      - Id of the Google Cloud project.
    type: str
    required: true
  service_account_file:
    description:
      - Key file of a service account to sign in with. Better is none; see O(impersonate).
      - Not set, the application default credentials are used, which C(gcloud auth application-default
        login) makes.
      - The environment variable E(GCP_SERVICE_ACCOUNT_FILE) sets it too.
    type: path
  impersonate:
    description:
      - E-mail address of a service account to act as. Who signed in needs
        C(roles/iam.serviceAccountTokenCreator) on it.
      - The environment variable E(GCP_IMPERSONATE_SERVICE_ACCOUNT) sets it too.
    type: str
  endpoints:
    description:
      - Other addresses of the APIs, by API, with their base path, such as those of Private Service Connect.
    type: dict
    default: {}
  timeout:
    description:
      - Seconds to wait for an operation. One that takes longer goes on at Google; another run waits for its
        result.
    type: int
    default: 600
attributes:
  check_mode:
    description: Sends no request that changes something, and reports what the run would change.
    support: full
  diff_mode:
    description: Shows the fields that differ, before and after.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""
