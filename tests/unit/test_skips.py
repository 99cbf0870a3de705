"""The rule that a skip which is not listed fails."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


@pytest.mark.parametrize(
    ("source", "outcomes"),
    [
        ("import pytest\ndef test_it():\n    pytest.skip('no time')\n", {"failed": 1}),
        ("import pytest\npytest.skip('no time', allow_module_level=True)\n", {"errors": 1}),
        (
            "import pytest\n@pytest.mark.skipif(True, reason='no time')\ndef test_it():\n    pass\n",
            {"errors": 1},
        ),
        ("import pytest\n@pytest.mark.xfail\ndef test_it():\n    assert False\n", {"xfailed": 1}),
        ("def test_it():\n    pass\n", {"passed": 1}),
    ],
)
def test_unlisted_skip_fails(source: str, outcomes: dict[str, int], pytester: pytest.Pytester) -> None:
    """Skips fail, whether of a test or of a file; all else is as it was."""
    pytester.makepyfile(source)
    ran = pytester.runpytest_inprocess("-p", "tests.skips")
    assert ran.parseoutcomes() == outcomes
    assert ("skips.py does not list" in ran.stdout.str()) == ("no time" in source)
