"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass, field

EXAMPLES = 5


@dataclass
class Finding:
    """One check of one table.

    Attributes:
        layer: bronze, silver or gold.
        table: What was checked.
        check: What must hold.
        differences: How often it does not.
        examples: The first few places where it does not.
    """

    layer: str
    table: str
    check: str
    differences: int = 0
    examples: list[str] = field(default_factory=list)


class VerifyError(Exception):
    """Why nothing could be proved; the message says what to do."""
