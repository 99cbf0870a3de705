"""How many examples Hypothesis tries, for all tests that fold random events."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings


def examples(number: int, *, make_smaller: bool = True) -> settings:
    """Settings for so many examples, times CDC_EXAMPLES: below 1 for a quick look, above for a long search.

    Args:
        number: What `make test` tries.
        make_smaller: Whether a failure is made smaller; where an example takes seconds, that takes an hour.
    """
    return settings(
        max_examples=max(1, round(number * float(os.environ.get("CDC_EXAMPLES", "1")))),
        derandomize=True,
        phases=list(Phase) if make_smaller else [Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
