"""What verify must be told: one JSON file, readable by root alone, since it holds passwords."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lakehouse_verify.finding import VerifyError


@dataclass(frozen=True)
class Settings:
    """The settings.

    Attributes:
        source: How to reach the source database, in libpq's keywords.
        slot: The replication slot that feeds the lakehouse.
        kafka: How to reach Kafka, in librdkafka's keywords.
        topic_prefix: What the names of the topics begin with.
        tables: The captured tables, as schema.table, each with its entry in the inventory: `exclude` names
            the columns that never leave the source, `mask` those that leave it as a hash.
        mask_salt: The secret that these hashes begin with; empty when nothing is masked.
        models: The gold models, each with its `key` and the `sql` that gives all of it; empty: the shop's,
            which are known here.
        thrift: How to reach the Thrift Server, in the keywords of pyhive.hive.connect.
        status_file: Where the pipeline says how far it has come.
        batch_request: A file to make when silver and gold have to work; empty: they do so by themselves.
        deadline: How long the layers may take to pass the cut, and after it keys to settle, in seconds.
    """

    source: Mapping[str, Any]
    slot: str
    kafka: Mapping[str, Any]
    topic_prefix: str
    tables: Mapping[str, Mapping[str, Any]]
    mask_salt: str
    models: Mapping[str, Mapping[str, Any]]
    thrift: Mapping[str, Any]
    status_file: Path
    batch_request: str
    deadline: float

    def topic(self, table: str) -> str:
        """The topic that carries a table's changes."""
        return f"{self.topic_prefix}.{table}"


def load(path: Path) -> Settings:
    """Read the settings file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        wanted = {field.name: content[field.name] for field in fields(Settings)}
    except (OSError, ValueError, KeyError) as error:
        raise VerifyError(
            f"{path}: {type(error).__name__}: {error}; playbooks/verify.yml writes this file"
        ) from error
    return Settings(**{**wanted, "status_file": Path(wanted["status_file"])})
