"""How much the tests try that fold random events."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

_FACTOR = float(os.environ.get("CDC_EXAMPLES", "1"))


def times(number: int) -> int:
    """So many, times CDC_EXAMPLES: below 1 for a quick look, above for a long search."""
    return max(1, round(number * _FACTOR))


def examples(number: int, *, make_smaller: bool = True) -> settings:
    """Settings for so many examples, times CDC_EXAMPLES.

    They are the same ones in each run; a long search has others each time, or those of a --hypothesis-seed.

    Args:
        number: What `make test` tries.
        make_smaller: Whether a failure is made smaller; where an example takes seconds, that takes an hour.
    """
    return settings(
        max_examples=times(number),
        derandomize=_FACTOR <= 1,
        phases=list(Phase) if make_smaller else [Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
