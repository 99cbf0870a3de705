"""Small commits to a Delta table from the driver, without a Spark job: rows written by Arrow, and old
ones marked as deleted by deletion vectors, in one transaction of Delta's own.

A Spark MERGE of a thousand rows costs seconds of planning, tasks and rewritten files. Here a commit is a
few small files and one record of the log. What is written follows the Delta protocol (PROTOCOL.md of
delta-io/delta: add, remove, cdc, txn; "Deletion Vectors"), so every reader of Delta sees an ordinary
table.
"""

from __future__ import annotations

import json
import logging
import struct
import tempfile
import threading
import time
import uuid
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from py4j.protocol import Py4JJavaError
from pyroaring import BitMap64
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from lakehouse.jvm import java_class, nothing
from lakehouse.layout import PLACE

_BITMAP_MAGIC = 1681511377
_INLINE_BYTES = 512  # a longer vector goes into a file beside the data
_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_NANOS = 1_000_000
_STATS_LENGTH = 32
_FEED_BYTES = 16 * 1024 * 1024
_COPY_BYTES = 64 * 1024
_KEPT_BYTES = 32 * 1024 * 1024
_FAR = 200  # versions: to ask Spark for what came in more of them is quicker than to read one by one

log = logging.getLogger(__name__)

DOMAIN = "lakehouse"
"""The domain of a table's metadata that is ours (`domainMetadata` of the protocol)."""


class Conflict(Exception):
    """Another transaction changed what this one rests upon; read anew and try again."""


@dataclass
class DataFile:
    """A data file that a transaction may mark rows of as deleted.

    Attributes:
        add: The `add` action that the log has.
        deleted: The rows that are marked as deleted.
    """

    add: dict[str, Any]
    deleted: BitMap64 = field(default_factory=BitMap64)

    @property
    def path(self) -> str:
        """Its path, relative to the table."""
        return str(self.add["path"])


class _Written:
    """What this process wrote last, so that the layer after need not ask the object store for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[str, bytes] = {}
        self._size = 0
        self._commits: dict[tuple[str, str], dict[int, list[dict[str, Any]]]] = {}

    def file(self, name: str) -> bytes | None:
        """A file's content; None: it was written elsewhere, or long ago."""
        return self._files.get(name)

    def keep_file(self, name: str, content: bytes) -> None:
        """Keeps a file's content, in place of the oldest ones."""
        with self._lock:
            self._files[name] = content
            self._size += len(content)
            while self._size > _KEPT_BYTES:
                self._size -= len(self._files.pop(next(iter(self._files))))

    def commits(self, table: tuple[str, str], after: int, upto: int) -> list[list[dict[str, Any]]] | None:
        """The actions of a table's commits; None: not all were made here lately."""
        kept = self._commits.get(table, {})
        found = [kept.get(version) for version in range(after + 1, upto + 1)]
        known = [actions for actions in found if actions is not None]
        return known if len(known) == len(found) else None

    def keep_commit(self, table: tuple[str, str], version: int, actions: list[dict[str, Any]]) -> None:
        """Keeps a commit's actions for as many versions as `few_commits` gives."""
        with self._lock:
            before = self._commits.get(table, {})
            kept = {known: before[known] for known in before if known > version - _FAR}
            self._commits[table] = {**kept, version: actions}


_WRITTEN = _Written()


class TableLog:
    """A Delta table as its log tells it."""

    def __init__(self, spark: SparkSession, path: str) -> None:
        """Open the table at a path."""
        self._spark = spark
        self._path = path.rstrip("/")
        self._log = self._class("org.apache.spark.sql.delta.DeltaLog").forTable(spark._jsparkSession, path)
        self._collections = self._class("scala.jdk.javaapi.CollectionConverters")
        location = self._hadoop_path(self._path)
        self._files = location.getFileSystem(spark._jsc.hadoopConfiguration())
        raw = self._class("org.apache.hadoop.fs.FileSystem").getLocal(spark._jsc.hadoopConfiguration())
        self._on_disk = raw.getRawFileSystem()  # without a checksum file beside each file
        where = urlsplit(self._path)
        self._folder = Path(where.path) if where.scheme in ("", "file") else None

    @property
    def version(self) -> int:
        """The newest version; costs one listing of the log."""
        return int(self._snapshot().version())

    @property
    def known_version(self) -> int:
        """The newest version that this process knows of, its own commits among them; costs nothing."""
        return int(self._log.unsafeVolatileSnapshot().version())

    @property
    def metadata(self) -> dict[str, Any]:
        """What the last commit of `commit` said; empty when there was none."""
        domains = self._collections.asJava(self._log.unsafeVolatileSnapshot().domainMetadata())
        found = [json.loads(domain.configuration()) for domain in domains if domain.domain() == DOMAIN]
        return found[0] if found else {}

    @property
    def columns(self) -> dict[str, str]:
        """The Spark SQL types of its columns, in their order."""
        schema = json.loads(self._snapshot().metadata().schemaString())
        return {field.name: field.dataType.simpleString() for field in StructType.fromJson(schema)}

    @property
    def id(self) -> str:
        """What tells the table from another one at the same path."""
        return str(self._log.unsafeVolatileSnapshot().metadata().id())

    @property
    def _identity(self) -> tuple[str, str]:
        """Neither is enough: a copy has the id of its original, and a table made anew the path of another."""
        return self._path, self.id

    def files(self, partition: Mapping[str, str]) -> list[DataFile]:
        """The files of a partition in the newest version."""
        return [self.data_file(add) for add in self._adds() if add["partitionValues"] == partition]

    def _adds(self) -> Iterator[dict[str, Any]]:
        return (json.loads(add.json())["add"] for add in self._snapshot().allFiles().collectAsList())

    def _snapshot(self) -> Any:
        none = nothing(self._spark)
        return self._log.update(False, none, none)

    def commits_after(self, version: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """The commits after a version, oldest first, each as its actions."""
        changes = self._log.getChanges(version + 1, nothing(self._spark), True)
        while changes.hasNext():
            commit = changes.next()
            actions = self._collections.asJava(commit._2())
            yield int(commit._1()), [json.loads(action.json()) for action in actions]

    def few_commits(self, after: int, upto: int) -> list[list[dict[str, Any]]] | None:
        """The commits after a version, up to another one, oldest first, each as its actions.

        Returns:
            The commits; None when they are many, or the log does not reach back that far: ask Spark.
        """
        if upto - after > _FAR:
            return None
        if (known := _WRITTEN.commits(self._identity, after, upto)) is not None:
            return known
        try:
            commits = takewhile(lambda commit: commit[0] <= upto, self.commits_after(after))
            return [actions for _, actions in commits]
        except Py4JJavaError as error:
            log.info("%s after version %d: %s", self._path, after, error.java_exception.getMessage())
            return None

    def change_feed(self, after: int, upto: int, columns: Sequence[str]) -> pa.Table | None:
        """The change data feed of the versions after one, up to another one.

        Args:
            after: The version that is known.
            upto: The last version.
            columns: The columns; `_change_type` is one.

        Returns:
            The rows; None when they are many, or the commits do not tell them all in one form: ask Spark.
        """
        commits = self.few_commits(after, upto)
        if commits is None:
            return None
        files: list[dict[str, Any]] = []
        for actions in commits:
            told = [action["cdc"] for action in actions if "cdc" in action]
            if changes_data(actions) and not told:
                return None
            files += told
        if sum(file["size"] for file in files) > _FEED_BYTES:
            return None
        rows = [self.read(DataFile(file)) for file in files]
        if not all(set(columns) <= set(read.column_names) for read in rows):
            return None
        rows = [read.select(columns) for read in rows]
        if len({str(read.schema) for read in rows}) > 1:
            return None
        return pa.concat_tables(rows) if rows else pa.table({name: [] for name in columns})

    def data_file(self, add: dict[str, Any]) -> DataFile:
        """The file of an `add` action, with its deleted rows."""
        vector = add.get("deletionVector")
        return DataFile(add, BitMap64() if vector is None else self._deleted(vector))

    def read(self, file: DataFile, columns: list[str] | None = None) -> pa.Table:
        """A file's rows with `PLACE`, without those that are deleted.

        Raises:
            FileNotFoundError: The file is gone.
        """
        with self._local(unquote(file.path)) as local:
            rows = pq.read_table(local, columns=columns, partitioning=None, coerce_int96_timestamp_unit="us")
        rows = rows.append_column(PLACE, pa.array(range(rows.num_rows), pa.int64()))
        if file.deleted:
            gone = pa.array(list(file.deleted), pa.int64())
            rows = rows.filter(pc.invert(pc.is_in(rows[PLACE], gone)))
        return rows

    def write(self, rows: pa.Table, partition: Mapping[str, str], stats: Collection[str]) -> dict[str, Any]:
        """Writes rows as a file of a partition.

        Args:
            rows: The rows, without the partition's columns.
            partition: The partition.
            stats: The columns to note least and greatest values of.

        Returns:
            The `add` action.
        """
        name = f"{_folder(partition)}part-{uuid.uuid4()}.zstd.parquet"
        size = self._store(rows, name)
        return {
            "path": name,
            "partitionValues": dict(partition),
            "size": size,
            "modificationTime": time.time_ns() // _NANOS,
            "dataChange": True,
            "stats": json.dumps(_statistics(rows, stats)),
        }

    def write_changes(self, rows: pa.Table, partition: Mapping[str, str]) -> dict[str, Any]:
        """Writes rows of the change data feed, with `_change_type`; returns the `cdc` action."""
        name = f"_change_data/{_folder(partition)}cdc-{uuid.uuid4()}.zstd.parquet"
        return {
            "path": name,
            "partitionValues": dict(partition),
            "size": self._store(rows, name),
            "dataChange": False,
        }

    def append(
        self, rows: pa.Table, stats: Collection[str], metadata: Mapping[str, Any], read_version: int
    ) -> int:
        """Adds rows to an unpartitioned table, in one commit.

        Args:
            rows: The rows.
            stats: The columns to note least and greatest values of.
            metadata: What is true of the table from then on.
            read_version: The version that the rows follow on.

        Returns:
            The version.

        Raises:
            Conflict: Somebody else changed the table's rows since then.
        """
        add = self.write(rows, {}, stats)
        while True:
            try:
                return self._commit([{"add": add}], metadata, read_version)
            except Conflict:
                for version, actions in self.commits_after(read_version):
                    if changes_data(actions):
                        raise
                    read_version = version

    def commit(
        self,
        adds: Iterable[dict[str, Any]],
        changes: Iterable[dict[str, Any]],
        deleted: Mapping[str, tuple[DataFile, BitMap64]],
        metadata: Mapping[str, Any],
        read_version: int,
    ) -> tuple[int, dict[str, DataFile]]:
        """Commits files, and rows of older ones as deleted.

        Args:
            adds: New files.
            changes: Files of the change data feed.
            deleted: By path, files and the further rows to mark in them.
            metadata: What is true of the table from then on; DESCRIBE HISTORY shows it, too.
            read_version: The version that all this rests upon.

        Returns:
            The version, and the older files that still have rows, as they are now. Where it does not follow
            on `read_version`, others came between whose changes touch none of these files: the table has
            changed besides.

        Raises:
            Conflict: The files are not as they were any more.
        """
        now = time.time_ns() // _NANOS
        actions: list[dict[str, Any]] = [{"add": add} for add in adds]
        actions += [{"cdc": change} for change in changes]
        marked = {
            path: DataFile(file.add, file.deleted | further) for path, (file, further) in deleted.items()
        }
        for path, vector in self._vectors(marked).items():
            old = deleted[path][0].add
            removed = {
                "path": path,
                "deletionTimestamp": now,
                "dataChange": True,
                "extendedFileMetadata": True,
                "partitionValues": old["partitionValues"],
                "size": old["size"],
            }
            if "deletionVector" in old:
                removed["deletionVector"] = old["deletionVector"]
            actions.append({"remove": removed})
            file = marked[path]
            if len(file.deleted) < json.loads(old["stats"])["numRecords"]:
                stats = json.loads(old["stats"]) | {"tightBounds": False}
                file.add = old | {"deletionVector": vector, "stats": json.dumps(stats), "dataChange": True}
                actions.append({"add": file.add})
            else:
                del marked[path]
        return self._commit(actions, metadata, read_version), marked

    def note(self, metadata: Mapping[str, Any]) -> int:
        """Says what is true of the table from now on; returns the version."""
        return self._commit([], metadata, self.version)

    def clear(self) -> int:
        """Removes every row, and what the last commit of `commit` said; returns the version."""
        while True:
            version, now = self.version, time.time_ns() // _NANOS
            actions: list[dict[str, Any]] = []
            for add in self._adds():
                removed = {"deletionTimestamp": now, "dataChange": True, "extendedFileMetadata": True}
                kept = ("path", "partitionValues", "size", "deletionVector")
                actions.append({"remove": removed | {name: add[name] for name in kept if name in add}})
            try:
                return self._commit(actions, None, version)
            except Conflict:
                continue

    def _commit(
        self, actions: list[dict[str, Any]], metadata: Mapping[str, Any] | None, read_version: int
    ) -> int:
        listed = self._class("java.util.ArrayList")()
        read = self._class("org.apache.spark.sql.delta.actions.Action").fromJson
        configuration = "" if metadata is None else json.dumps(metadata)
        domain = {"domain": DOMAIN, "configuration": configuration, "removed": metadata is None}
        actions = [*actions, {"domainMetadata": domain}]  # two that write it conflict
        for action in actions:
            listed.add(read(json.dumps(action)))
        sequence = self._collections.asScala(listed).toSeq()
        update = self._class("org.apache.spark.sql.streaming.OutputMode").Update()
        for_history = self._class("scala.Option").apply(configuration or None)
        streaming = self._class("org.apache.spark.sql.delta.DeltaOperations$StreamingUpdate")
        operation = streaming(update, DOMAIN, 0, for_history)
        try:
            transaction = self._begin(read_version)
            version = int(transaction.commit(sequence, operation))
        except Py4JJavaError as error:
            names = [str(error.java_exception.getClass().getName())]
            if any("Concurrent" in name for name in names):
                raise Conflict(str(error.java_exception.getMessage())) from error
            raise
        _WRITTEN.keep_commit(self._identity, version, actions)
        self._write_checksum(version)
        return version

    def _begin(self, read_version: int) -> Any:
        """A transaction that rests upon a version.

        Of one that is known the log is not listed again; what others committed since is found by the commit.
        """
        snapshot = self._log.unsafeVolatileSnapshot()
        if snapshot.version() < read_version:
            snapshot = self._snapshot()
        if snapshot.version() != read_version:
            raise Conflict(f"{self._path} is at version {snapshot.version()}, not {read_version}")
        option = self._class("scala.Option")
        return self._log.startTransaction(option.empty(), option.apply(snapshot))

    def _write_checksum(self, version: int) -> None:
        """Writes the checksum file of a version just committed, from which readers know the table.

        Delta would write it under another name and rename it, which asks an object store fourteen times
        instead of three (`spark.databricks.delta.writeChecksumFile.enabled`). It can be done without: what
        fails here is told and no more.
        """
        snapshot = self._log.unsafeVolatileSnapshot()
        if int(snapshot.version()) != version or not snapshot.checksumOpt().isDefined():
            return
        mapper = self._class("org.apache.spark.sql.delta.util.JsonUtils").mapper()
        told = mapper.writeValueAsString(snapshot.checksumOpt().get())
        try:
            with self._upload(f"_delta_log/{version:020}.crc") as local:
                local.write_text(told + "\n", encoding="utf-8")
        except (OSError, Py4JJavaError) as error:
            log.warning("%s: the checksum of version %d was not written: %s", self._path, version, error)

    def _deleted(self, vector: dict[str, Any]) -> BitMap64:
        size = vector["sizeInBytes"]
        if vector["storageType"] == "i":
            return _bitmap(_from_z85(vector["pathOrInlineDv"])[:size])
        if vector["storageType"] != "u":
            raise ValueError(f"a deletion vector of type {vector['storageType']!r} in {self._path}")
        text = vector["pathOrInlineDv"]
        prefix, name = text[:-20], uuid.UUID(bytes=_from_z85(text[-20:]))
        with self._local(f"{prefix}/deletion_vector_{name}.bin".lstrip("/")) as local:
            content = local.read_bytes()
        begin = vector["offset"] + 4  # after the size
        return _bitmap(content[begin : begin + size])

    def _vectors(self, files: Mapping[str, DataFile]) -> dict[str, dict[str, Any]]:
        """The deletion vectors of files: short ones in the log, the others together in one file."""
        vectors: dict[str, dict[str, Any]] = {}
        content, name = bytearray(b"\x01"), uuid.uuid4()
        for path, file in files.items():
            raw = struct.pack("<I", _BITMAP_MAGIC) + file.deleted.serialize()
            vector: dict[str, Any] = {"sizeInBytes": len(raw), "cardinality": len(file.deleted)}
            if len(raw) <= _INLINE_BYTES:
                vectors[path] = vector | {"storageType": "i", "pathOrInlineDv": _to_z85(raw)}
                continue
            vectors[path] = vector | {
                "storageType": "u",
                "pathOrInlineDv": _to_z85(name.bytes),
                "offset": len(content),
            }
            content += struct.pack(">I", len(raw)) + raw + struct.pack(">I", zlib.crc32(raw))
        if len(content) > 1:
            with self._upload(f"deletion_vector_{name}.bin") as local:
                local.write_bytes(content)
                self._keep(f"deletion_vector_{name}.bin", local)
        return vectors

    def _store(self, rows: pa.Table, name: str) -> int:
        with self._upload(name) as local:
            pq.write_table(rows, local, compression="zstd", coerce_timestamps=None)
            self._keep(name, local)
            return local.stat().st_size

    def _keep(self, name: str, local: Path) -> None:
        if self._folder is None:
            _WRITTEN.keep_file(f"{self._path}/{name}", local.read_bytes())

    @contextmanager
    def _local(self, name: str) -> Iterator[Path]:
        """A file of the table on this machine's disk."""
        if self._folder is not None:
            yield self._folder / name
            return
        with tempfile.TemporaryDirectory(prefix="lakehouse-") as folder:
            local = Path(folder) / "file"
            if (content := _WRITTEN.file(f"{self._path}/{name}")) is not None:
                local.write_bytes(content)
            else:
                self._download(name, local)
            yield local

    def _download(self, name: str, local: Path) -> None:
        try:
            source = self._files.open(self._remote(name))
            self._copy(source, self._on_disk.create(self._hadoop_path(str(local))))
        except Py4JJavaError as error:
            if error.java_exception.getClass().getName() == "java.io.FileNotFoundException":
                raise FileNotFoundError(str(error.java_exception.getMessage())) from error
            raise

    @contextmanager
    def _upload(self, name: str) -> Iterator[Path]:
        """A path to write a file of the table to."""
        if self._folder is not None:
            local = self._folder / name
            local.parent.mkdir(parents=True, exist_ok=True)
            unfinished = local.with_name(f".{local.name}.unfinished")
            yield unfinished
            unfinished.replace(local)
            return
        with tempfile.TemporaryDirectory(prefix="lakehouse-") as folder:
            local = Path(folder) / "file"
            yield local
            target = self._files.create(self._remote(name), False)
            self._copy(self._on_disk.open(self._hadoop_path(str(local))), target)

    def _copy(self, source: Any, target: Any) -> None:
        """Copies a stream and closes both.

        Hadoop's copies of whole files first ask the store what is there, and whether it is a folder.
        """
        self._class("org.apache.hadoop.io.IOUtils").copyBytes(source, target, _COPY_BYTES, True)

    def _remote(self, name: str) -> Any:
        return self._hadoop_path(f"{self._path}/{name}")

    def _class(self, name: str) -> Any:
        return java_class(self._spark, name)

    def _hadoop_path(self, path: str) -> Any:
        return self._class("org.apache.hadoop.fs.Path")(path)


def changes_data(actions: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a commit's actions change the table's rows, and do not only rearrange them."""
    files = [action[kind] for action in actions for kind in ("add", "remove") if kind in action]
    return any(file.get("dataChange") for file in files)


def tells(actions: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a commit's actions say what is true of the table from then on, as `commit` does."""
    told = [action["domainMetadata"] for action in actions if "domainMetadata" in action]
    return any(domain["domain"] == DOMAIN and not domain["removed"] for domain in told)


def _folder(partition: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}/" for name, value in partition.items())


def _statistics(rows: pa.Table, columns: Collection[str]) -> dict[str, Any]:
    least: dict[str, Any] = {}
    greatest: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for name in columns:
        column = rows[name]
        nulls[name] = column.null_count
        if not (pa.types.is_integer(column.type) or pa.types.is_string(column.type)):
            continue  # of other types the log's own form is needed; a file without them is read
        bounds = pc.min_max(column).as_py()
        if bounds["min"] is None:
            continue
        if isinstance(bounds["min"], str):
            if len(bounds["max"]) > _STATS_LENGTH:  # cut short it has to stay the greatest
                bounds["max"] = bounds["max"][:_STATS_LENGTH] + "\U0010ffff"
            bounds["min"] = bounds["min"][:_STATS_LENGTH]
        least[name], greatest[name] = bounds["min"], bounds["max"]
    return {
        "numRecords": rows.num_rows,
        "minValues": least,
        "maxValues": greatest,
        "nullCount": nulls,
        "tightBounds": True,
    }


def _bitmap(raw: bytes) -> BitMap64:
    (magic,) = struct.unpack("<I", raw[:4])
    if magic != _BITMAP_MAGIC:
        raise ValueError(f"a deletion vector begins with {magic}")
    return BitMap64.deserialize(raw[4:])


def _to_z85(raw: bytes) -> str:
    """ZeroMQ RFC 32."""
    raw += bytes(-len(raw) % 4)
    digits = []
    for (number,) in struct.iter_unpack(">I", raw):
        digits += [number // 85**power % 85 for power in (4, 3, 2, 1, 0)]
    return "".join(_Z85[digit] for digit in digits)


def _from_z85(text: str) -> bytes:
    raw = bytearray()
    for begin in range(0, len(text), 5):
        number = 0
        for character in text[begin : begin + 5]:
            number = number * 85 + _Z85.index(character)
        raw += struct.pack(">I", number)
    return bytes(raw)
