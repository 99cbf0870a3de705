# ruff: noqa: S603 - every command here is our own
"""Make .venv as uv.lock says, with a pinned uv of its own, and link the checkout into it as cdc.lakehouse.

Needs only a Python with the venv module. Run by `make venv` and `make venv-dev`.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("CDC_LAKEHOUSE_CACHE") or Path.home() / ".cache" / "cdc-lakehouse")
REQUIREMENTS = Path(__file__).with_name("bootstrap-requirements.txt")
PYTHONS = ["python3.13", "python3.12", "python3.11"]


def run(*command: "str | Path", **environment: str) -> None:
    """Run a command; end with its exit code when it fails."""
    done = subprocess.run([str(word) for word in command], env={**os.environ, **environment}, check=False)
    if done.returncode:
        sys.stderr.write(
            "The Python packages could not be brought, for the reason above. Where the index is a mirror,\n"
            "say where (PIP_INDEX_URL and UV_DEFAULT_INDEX); behind a proxy, set HTTPS_PROXY.\n"
        )
        sys.exit(done.returncode)


def suitable_python() -> str:
    """Return a Python that the lock was made for."""
    if (3, 11) <= sys.version_info < (3, 14):
        return sys.executable
    for name in PYTHONS:
        path = shutil.which(name)
        # A version manager's stand-in may be there and refuse to run.
        if (
            path
            and subprocess.run([path, "-c", "import venv"], capture_output=True, check=False).returncode == 0
        ):
            return path
    sys.exit(
        f"python3 is {sys.version.split()[0]}; Python 3.11, 3.12 or 3.13 is needed. "
        "Install one of them, with its venv module."
    )


def uv() -> Path:
    """Return the pinned uv, installed into the cache at the first call."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = CACHE / f"bootstrap-{digest}"
    program = folder / "bin" / "uv"
    if not program.exists():
        run(sys.executable, "-m", "venv", "--clear", folder)
        run(folder / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check",
            "install", "--require-hashes", "--requirement", REQUIREMENTS)  # fmt: skip
    return program


def link() -> None:
    """Let the environment find the checkout as the collection cdc.lakehouse."""
    (packages,) = (ROOT / ".venv" / "lib").glob("python3.*/site-packages")
    place = packages / "ansible_collections" / "cdc" / "lakehouse"
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        place.unlink()
    place.symlink_to(ROOT)


def main() -> None:
    """Bring uv; `bootstrap.py uv …` runs it.

    Without arguments it makes the environment that playbooks need, with `--dev` also what tests need.
    """
    settings = {
        "UV_CACHE_DIR": str(CACHE / "uv"),
        "UV_SYSTEM_CERTS": "true",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    if sys.argv[1:2] == ["uv"]:
        run(uv(), *sys.argv[2:], **settings)
        return
    groups = "--dev" if sys.argv[1:] == ["--dev"] else "--no-dev"
    run(uv(), "sync", "--frozen", groups, "--project", ROOT, "--python", suitable_python(), **settings)
    link()


if __name__ == "__main__":
    main()
