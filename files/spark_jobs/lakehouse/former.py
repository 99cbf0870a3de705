"""What was listed once and is not any more, tables of the source and gold models: their data stays.

Who starts the pipeline notes what is listed then, beside its other state; so it is known later what to take
out of the catalog, and whose files are still to be cleaned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from lakehouse import models
from lakehouse.config import Config
from lakehouse.local_store import remove


def note(config: Config) -> None:
    """Notes what is listed, and deletes what the driver has of a table that is not: it has rows."""
    file, listed = _file(config), _listed(config)
    known = {layer: sorted({*those, *listed[layer]}) for layer, those in _noted(config).items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(known), encoding="utf-8")
    new.replace(file)
    for heads in config.state.glob("*.sqlite"):
        if heads.stem not in listed["silver"]:
            remove(heads)


def names(config: Config) -> dict[str, list[str]]:
    """By layer, silver and gold, the names of tables that are not listed any more."""
    listed = _listed(config)
    return {layer: sorted({*those} - listed[layer]) for layer, those in _noted(config).items()}


def paths(config: Config) -> list[str]:
    """Where their data is."""
    return [f"{config.storage}/{layer}/{name}" for layer, those in names(config).items() for name in those]


def _noted(config: Config) -> Mapping[str, list[str]]:
    nothing: dict[str, list[str]] = {"silver": [], "gold": []}
    file = _file(config)
    return {**nothing, **json.loads(file.read_text(encoding="utf-8"))} if file.exists() else nothing


def _listed(config: Config) -> dict[str, set[str]]:
    return {
        "silver": {table.short_name for table in config.tables},
        "gold": {model.name for model in models.load_all(config.gold_models)},
    }


def _file(config: Config) -> Path:
    return config.state / "listed.json"
