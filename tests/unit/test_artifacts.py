"""What becomes of downloads: verified in the cache, bundled the same everywhere, installed whole or not."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cdc.lakehouse.plugins.module_utils import artifact_bundle
from ansible_collections.cdc.lakehouse.plugins.module_utils.artifact_bundle import (
    Artifact,
    ArtifactError,
    file_name,
    sha256_of,
)
from ansible_collections.cdc.lakehouse.plugins.module_utils.artifact_fetch import (
    FetchError,
    fetch_file,
    fetch_files,
)
from ansible_collections.cdc.lakehouse.plugins.module_utils.artifact_install import Installation

LOCK = Path(__file__).parents[2] / "files/artifacts.lock.yml"
JAR = "org.example:lib:1.0"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tar_gz(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = 0o755 if "/bin/" in name else 0o644
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def wheel(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o100755 if "/bin/" in name else 0o100644) << 16
            archive.writestr(info, content)
    return stream.getvalue()


def artifact(cache: Path, files: dict[str, bytes], **entry: Any) -> Artifact:
    """An artifact whose locked files are in the cache."""
    (cache / "files").mkdir(parents=True, exist_ok=True)
    locked = []
    for name, content in files.items():
        (cache / "files" / name).write_bytes(content)
        locked.append({"pypi": "example==1", "file": name, "sha256": sha256(content)})
    return Artifact("example", {"version": "1", "files": locked, **entry}, cache)


def contents(bundle: Path) -> dict[str, tuple[bytes, int]]:
    with tarfile.open(bundle) as tar:
        return {member.name: (tar.extractfile(member).read(), member.mode) for member in tar}  # type: ignore[union-attr]


@pytest.fixture
def installed(tmp_path: Path) -> Installation:
    """A folder freshly installed from a bundle, with its link."""
    made = artifact(tmp_path / "cache", {"a.jar": b"a", "b.jar": b"b"}, folder="libs")
    sha = made.build()
    root = tmp_path / "opt"
    root.mkdir()
    there = Installation(root, "example", made.directory)
    there.install(made.bundle, sha)
    there.point()
    return there


def test_a_flipped_byte_is_named_with_both_checksums_and_the_way_out(tmp_path: Path) -> None:
    made = artifact(tmp_path, {"a.jar": b"right"})
    path = tmp_path / "files/a.jar"
    path.write_bytes(b"wrong")
    with pytest.raises(ArtifactError) as error:
        made.verify()
    for word in (str(path), sha256(b"right"), sha256(b"wrong"), "Delete the file"):
        assert word in str(error.value)


@pytest.mark.parametrize("again", [False, True])
def test_a_file_that_was_sound_and_is_no_more(tmp_path: Path, again: bool) -> None:
    made = artifact(tmp_path, {"a.jar": b"right"})
    path = tmp_path / "files/a.jar"
    made.verify()
    made.verify()
    path.write_bytes(b"wrong")
    os.utime(path, ns=(0, path.stat().st_mtime_ns))
    with pytest.raises(ArtifactError):
        made.verify(again=again)


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = artifact(tmp_path, {"a.jar": b"right"})
    made.verify()
    monkeypatch.setattr(artifact_bundle, "sha256_of", lambda path: pytest.fail(f"{path} was read"))
    artifact_bundle.Artifact(made.name, made.entry, made.cache).verify()


def test_what_the_cache_lacks_is_listed_and_is_no_error(tmp_path: Path) -> None:
    made = artifact(tmp_path, {"a.jar": b"a", "b.jar": b"b"})
    (tmp_path / "files/b.jar").unlink()
    made.verify()
    assert [file["file"] for file in made.missing()] == ["b.jar"]


def test_a_bundle_is_the_same_to_the_byte_wherever_it_is_made(tmp_path: Path) -> None:
    files = {"a.jar": b"a", "b.tar.gz": tar_gz({"b/lib/x": b"x", "b/bin/run": b"run"})}
    one = artifact(tmp_path / "one", files, unpack={"b": "."})
    other = artifact(tmp_path / "other", files, unpack={"b": "."})
    os.utime(tmp_path / "other/files/a.jar", (0, 0))
    assert one.build() == other.build()
    assert one.bundle.read_bytes() == other.bundle.read_bytes()
    assert one.directory == other.directory


def test_another_lock_entry_makes_another_folder(tmp_path: Path) -> None:
    files = {"a.jar": b"a"}
    assert (
        artifact(tmp_path, files, folder="libs").directory
        != artifact(tmp_path, files, folder="jars").directory
    )


def test_a_damaged_bundle_is_made_again(tmp_path: Path) -> None:
    made = artifact(tmp_path, {"a.jar": b"a"})
    sha = made.build()
    made.bundle.write_bytes(b"damaged")
    assert made.build() == sha == sha256_of(made.bundle)


@pytest.mark.parametrize(("suffix", "pack"), [("tar.gz", tar_gz), ("whl", wheel)])
def test_an_archive_is_trimmed_and_keeps_what_is_executable(tmp_path: Path, suffix: str, pack: Any) -> None:
    members = {
        "top/bin/run": b"r",
        "top/lib/a-1.jar": b"a",
        "top/lib/b-1.jar": b"b",
        "top/README": b"",
        "else": b"e",
    }
    made = artifact(
        tmp_path,
        {f"x.{suffix}": pack(members), "own.jar": b"o"},
        folder="lib",
        unpack={"top/lib": "lib", "top/bin": "bin"},
        keep=["bin/*", "lib/*.jar"],
        drop=["lib/b-*"],
    )
    made.build()
    assert contents(made.bundle) == {
        "bin/run": (b"r", 0o755),
        "lib/a-1.jar": (b"a", 0o644),
        "lib/own.jar": (b"o", 0o644),
    }


def test_an_archive_of_which_nothing_is_kept_is_an_error(tmp_path: Path) -> None:
    made = artifact(tmp_path, {"x.tar.gz": tar_gz({"top/a": b"a"})}, unpack={"renamed": "."})
    with pytest.raises(ArtifactError, match="holds nothing"):
        made.build()
    assert not made.bundle.exists()


def test_what_was_installed_is_found_whole(installed: Installation) -> None:
    assert installed.differences() == []
    assert installed.linked()
    assert (installed.link / "libs/a.jar").read_bytes() == b"a"


def test_a_changed_a_missing_and_a_stray_file_are_found(installed: Installation) -> None:
    (installed.folder / "libs/a.jar").write_bytes(b"z")
    (installed.folder / "libs/b.jar").unlink()
    (installed.folder / "libs/c.jar").write_bytes(b"c")
    assert installed.differences() == ["libs/a.jar", "libs/b.jar", "libs/c.jar"]


def test_what_python_leaves_behind_is_no_difference(installed: Installation) -> None:
    (installed.folder / "libs/__pycache__").mkdir()
    (installed.folder / "libs/__pycache__/x.pyc").write_bytes(b"")
    assert installed.differences() == []


def test_an_installation_that_was_interrupted_is_not_taken_for_whole(
    tmp_path: Path, installed: Installation
) -> None:
    (installed.folder / ".manifest.json").unlink()
    assert installed.differences() == ["not installed"]


def test_mending_makes_another_manifest_so_that_services_restart(
    tmp_path: Path, installed: Installation
) -> None:
    before = installed.manifest()
    bundle = tmp_path / "cache/bundles" / f"{installed.folder.name}.tar"
    installed.install(bundle, sha256_of(bundle))
    assert installed.differences() == []
    assert installed.manifest() != before


def test_a_bundle_damaged_on_its_way_leaves_what_was_there(tmp_path: Path, installed: Installation) -> None:
    bundle = tmp_path / "cache/bundles" / f"{installed.folder.name}.tar"
    expected = sha256_of(bundle)
    content = bytearray(bundle.read_bytes())
    content[600] ^= 1
    bundle.write_bytes(content)
    with pytest.raises(ArtifactError, match=expected):
        installed.install(bundle, expected)
    assert installed.differences() == []


def test_superseded_folders_go_but_the_one_before(installed: Installation) -> None:
    before, older = "example-0.9-0123456789ab", "example-0.8-0123456789ab"
    neighbour = "example-two"
    for name in (before, older, neighbour):
        (installed.root / name).mkdir()
    installed.prune(before)
    assert {path.name for path in installed.root.iterdir()} == {
        "example",
        installed.folder.name,
        before,
        neighbour,
    }


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    """A Maven repository on a port of its own that has one jar."""
    folder = tmp_path / "repository/org/example/lib/1.0"
    folder.mkdir(parents=True)
    (folder / "lib-1.0.jar").write_bytes(b"jar")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "repository"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def test_a_file_comes_from_the_repository(tmp_path: Path, repository: str) -> None:
    fetch_file({"maven": JAR, "sha256": sha256(b"jar")}, tmp_path, repository)
    assert (tmp_path / "lib-1.0.jar").read_bytes() == b"jar"


def test_another_file_than_the_locked_one_does_not_get_into_the_cache(
    tmp_path: Path, repository: str
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    with pytest.raises(FetchError, match=r"has another lib-1\.0\.jar than the lock"):
        fetch_file({"maven": JAR, "sha256": sha256(b"locked")}, cache, repository)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("coordinates", ["org.example:lib:2.0", "org.example:absent:1.0"])
def test_what_the_repository_lacks_is_named(tmp_path: Path, repository: str, coordinates: str) -> None:
    with pytest.raises(FetchError, match=coordinates):
        fetch_file({"maven": coordinates, "sha256": "0" * 64}, tmp_path, repository)


def test_a_large_file_is_seen_to_come(tmp_path: Path) -> None:
    seen = threading.Event()
    content = b"x" * (3 << 20)

    class Slow(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: 2 << 20])
            self.wfile.flush()
            seen.wait(30)
            self.wfile.write(content[2 << 20 :])

    def say(line: str) -> None:
        said.append(line)
        if "large.jar 2 MB" in line:
            seen.set()

    said: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/large.jar"
        file = {"url": url, "file": "large.jar", "sha256": sha256(content)}
        assert fetch_files([file], tmp_path, "", say, every=0.05) == 1
    finally:
        server.shutdown()
    assert seen.is_set()
    assert said[-1] == "   1 of 1: large.jar"
    assert (tmp_path / "large.jar").read_bytes() == content


def test_of_files_that_are_not_to_be_had_the_first_is_told(tmp_path: Path, repository: str) -> None:
    wanted = [
        {"maven": JAR, "sha256": sha256(b"jar")},
        {"maven": "org.example:absent:1.0", "sha256": "0" * 64},
    ]
    with pytest.raises(FetchError, match="absent"):
        fetch_files(wanted, tmp_path, repository, lambda _: None)


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_a_file_comes_from_a_url_of_its_own(tmp_path: Path, repository: str, scheme: str) -> None:
    folder = {"http": repository, "file": (tmp_path / "repository").as_uri() + "/"}[scheme]
    file = {"url": f"{folder}org/example/lib/1.0/lib-1.0.jar", "file": "own.jar", "sha256": sha256(b"jar")}
    fetch_file(file, tmp_path, "")
    assert (tmp_path / "own.jar").read_bytes() == b"jar"
    with pytest.raises(FetchError, match=r"another own\.jar"):
        fetch_file({**file, "sha256": sha256(b"other")}, tmp_path, "")


def test_another_mirror_is_no_other_version_and_another_checksum_is(tmp_path: Path) -> None:
    file = {"url": "http://one/x.jar", "file": "x.jar", "sha256": "0" * 64}
    names = [
        Artifact("x", {"version": "1", "files": [{**file, **change}]}, tmp_path).directory
        for change in ({}, {"url": "http://two/x.jar"}, {"sha256": "1" * 64})
    ]
    assert names[0] == names[1] != names[2]


def test_an_unreachable_repository_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=f"{JAR} from localhost") as error:
        fetch_file({"maven": JAR, "sha256": "0" * 64}, tmp_path, "http://user:secret@localhost:9")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("coordinates", "name"),
    [
        ("g:a:1", "a-1.jar"),
        ("g:a:shaded:1", "a-1-shaded.jar"),
        ("g:a::tar.gz:1", "a-1.tar.gz"),
        ("g:a:linux:zip:1", "a-1-linux.zip"),
    ],
)
def test_coordinates_name_the_file_that_the_repository_has(coordinates: str, name: str) -> None:
    assert file_name({"maven": coordinates}) == name


def test_the_lock_has_a_checksum_for_every_file_and_one_file_for_every_name() -> None:
    checksums: dict[str, str] = {}
    for entry in yaml.safe_load(LOCK.read_text()).values():
        for file in entry["files"]:
            assert len(bytes.fromhex(file["sha256"])) == 32
            assert checksums.setdefault(file_name(file), file["sha256"]) == file["sha256"]
    assert checksums
