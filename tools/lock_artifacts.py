"""Make files/artifacts.lock.yml of files/artifacts.yml: resolve, download, note the SHA-256 of every file.

Needs Maven (`mvn`) and pip. Run by `make lock`; what is in the cache already is not downloaded again.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import yaml
from ansible_collections.cdc.lakehouse.plugins.module_utils.artifact_bundle import (
    file_name,
    maven_coordinates,
    sha256_of,
)

FILES = Path(__file__).parent.parent / "files"
# Debian 12's Python, on which the virtual environments of the nodes are made.
PLATFORM = ["--python-version=3.11", "--implementation=cp"] + [
    f"--platform={tag}_x86_64" for tag in ("manylinux1", "manylinux2014", "manylinux_2_17", "manylinux_2_28")
]
# What pip needs to install the others, wherever they are no wheels.
INSTALLERS = ["pip", "setuptools"]


def run(*command: str, given: str | None = None) -> str:
    """Run a command; return what it printed."""
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}")
    return done.stdout


def maven(goal: str, content: str, folder: Path, *options: str) -> None:
    """Run a goal of Maven's dependency plugin on a project of the given content."""
    pom = folder / "pom.xml"
    pom.write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        f"<groupId>lock</groupId><artifactId>lock</artifactId><version>1</version>{content}</project>"
    )
    run("mvn", "-q", "-B", "-f", str(pom), f"dependency:{goal}", *options)


def maven_elements(text: str) -> str:
    """Maven coordinates as XML."""
    names = ("groupId", "artifactId", "version", "classifier", "type")
    return "".join(
        f"<{name}>{escape(value)}</{name}>"
        for name, value in zip(names, maven_coordinates(text), strict=True)
        if value
    )


def maven_runtime(roots: list[str], folder: Path) -> list[str]:
    """The coordinates of the roots and of all they need at run time."""
    dependencies = "".join(f"<dependency>{maven_elements(root)}</dependency>" for root in roots)
    listing = folder / "list.txt"
    maven(
        "list",
        f"<dependencies>{dependencies}</dependencies>",
        folder,
        "-DincludeScope=runtime",
        f"-DoutputFile={listing}",
    )
    found = []
    for line in listing.read_text().splitlines():
        match line.split(" --")[0].strip().split(":"):
            case [group, artifact, "jar", version, _scope]:
                found.append(f"{group}:{artifact}:{version}")
            case [group, artifact, "jar", classifier, version, _scope]:
                found.append(f"{group}:{artifact}:{classifier}:{version}")
    return sorted(found)


def lock_maven(coordinates: list[str], folder: Path) -> list[dict[str, str]]:
    """Fetch what Maven coordinates name, and hash it."""
    items = "".join(f"<artifactItem>{maven_elements(text)}</artifactItem>" for text in coordinates)
    plugin = (
        "<artifactId>maven-dependency-plugin</artifactId>"
        f"<configuration><artifactItems>{items}</artifactItems></configuration>"
    )
    maven(
        "copy",
        f"<build><plugins><plugin>{plugin}</plugin></plugins></build>",
        folder,
        f"-DoutputDirectory={folder}",
    )
    return [{"maven": text, "sha256": sha256_of(folder / file_name({"maven": text}))} for text in coordinates]


def lock_pypi(roots: list[str], venv: bool, folder: Path) -> list[dict[str, str]]:
    """Resolve Python requirements (for a virtual environment) and hash the files that pip takes for them."""
    pins = roots
    if venv:
        uv = [sys.executable, str(Path(__file__).with_name("bootstrap.py")), "uv"]
        resolve = [*uv, "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
        target = ["--python-version=3.11", "--python-platform=x86_64-manylinux_2_28"]
        compiled = run(*resolve, *target, "-", given="\n".join(roots + INSTALLERS))
        pins = compiled.split()
    locked = []
    for pin in pins:
        place = folder / pin
        download = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            str(place),
            pin,
        ]
        try:
            run(*download, "--only-binary=:all:", *PLATFORM)
        except SystemExit:
            run(*download, "--no-binary=:all:", "--no-build-isolation")
        (found,) = place.iterdir()
        locked.append({"pypi": pin, "file": found.name, "sha256": sha256_of(found)})
    return locked


def lock(entry: dict[str, Any]) -> dict[str, Any]:
    """Turn an entry of the edited list into one of the lock."""
    locked = {key: value for key, value in entry.items() if key not in ("maven", "pypi", "transitive")}
    with tempfile.TemporaryDirectory() as folder:
        files = lock_pypi(entry.get("pypi", []), entry.get("venv", False), Path(folder))
        if "maven" in entry:
            coordinates = (
                maven_runtime(entry["maven"], Path(folder)) if entry.get("transitive") else entry["maven"]
            )
            files += lock_maven(coordinates, Path(folder))
    return {**locked, "files": files}


def main() -> None:
    """Lock every entry."""
    entries = yaml.safe_load((FILES / "artifacts.yml").read_text())
    locked = {}
    for name, entry in entries.items():
        print(name, flush=True)
        locked[name] = lock(entry)
    text = yaml.safe_dump(locked, sort_keys=False, width=200)
    (FILES / "artifacts.lock.yml").write_text(f"---\n# Made by `make lock` of artifacts.yml.\n{text}")


if __name__ == "__main__":
    main()
