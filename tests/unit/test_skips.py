"""The rule that a skip which is not listed fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("source", "summary"),
    [
        ("import pytest\ndef test_it():\n    pytest.skip('no time')\n", "1 failed"),
        ("import pytest\npytest.skip('no time', allow_module_level=True)\n", "1 error"),
        (
            "import pytest\n@pytest.mark.skipif(True, reason='no time')\ndef test_it():\n    pass\n",
            "1 error",
        ),
        ("import pytest\n@pytest.mark.xfail\ndef test_it():\n    assert False\n", "1 xfailed"),
        ("def test_it():\n    pass\n", "1 passed"),
    ],
)
def test_unlisted_skip_fails(source: str, summary: str, tmp_path: Path) -> None:
    """Skips fail, whether of a test or of a file; all else is as it was."""
    (tmp_path / "test_it.py").write_text(source)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "skips",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(tmp_path),
            str(tmp_path),
        ],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert summary in done.stdout.splitlines()[-1], done.stdout
    assert ("skips.py does not list" in done.stdout) == ("no time" in source)
