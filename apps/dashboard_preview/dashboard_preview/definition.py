"""The definitions of dashboards, read from their files as the module ``metabase_dashboard`` reads them."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.cdc.lakehouse.plugins.filter.dashboard_problems import read
from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase import MetabaseError
from ansible_collections.cdc.lakehouse.plugins.module_utils.metabase_definition import (
    Card,
    Definition,
    Parameter,
)

__all__ = ["Card", "Definition", "DefinitionError", "Parameter", "load", "parse"]


class DefinitionError(Exception):
    """A definition that is wrong; the message names the file, the place, the value and the way out."""


def load(folder: Path) -> list[Definition]:
    """The dashboards of a folder, in the order of their files.

    Raises:
        DefinitionError: There is none, or one is wrong.
    """
    files = sorted(folder.glob("*.yml"))
    if not files:
        raise DefinitionError(f"{folder} holds no *.yml: there is no dashboard to draw.")
    return [parse(file.name, file.read_text(encoding="utf-8")) for file in files]


def parse(file: str, text: str) -> Definition:
    """Read the definition in the text of a file.

    Raises:
        DefinitionError: It is wrong.
    """
    try:
        return read(file, text)
    except MetabaseError as error:
        raise DefinitionError(str(error)) from error
