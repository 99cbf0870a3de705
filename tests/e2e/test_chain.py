"""What is hard about the real chain, with Debezium killed in the middle of each; and columns that change."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest

from tests.e2e.running_lab import ROOT, Lab, eventually

pytestmark = pytest.mark.long

FOUR = [{"name": f"public.{name}"} for name in ("customers", "products", "orders", "order_items")]
TWO = [{"name": "public.things"}, {"name": "public.parts"}]
SIX = json.dumps({"lakehouse_tables": FOUR + TWO})
MARK = -1
LARGE = 5000  # characters that are stored apart from their row

Rows = list[tuple[Any, ...]]
Marks = list[tuple[str, Rows]]


class Source:
    """The source as an application sees it, and Debezium, which reads it."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.marks: Marks = []

    def connect(self) -> psycopg2.extensions.connection:
        """A session of an application's."""
        connection = psycopg2.connect(
            host=self._lab.run("node1", "hostname", "-i").split()[0],
            dbname="shop",
            user="shop_app",
            password=(ROOT / ".lab" / "secrets" / "postgres_app").read_text().strip(),
            sslmode="require",
        )
        connection.autocommit = True
        return connection

    def do(self, *statements: str) -> None:
        """Run statements, all in one transaction."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("; ".join(["begin", *statements, "commit"]))

    def kill_debezium(self) -> None:
        """Kill it, and see that another one runs."""
        before = self._debezium()
        self._lab.run("node1", "kill", "-KILL", before)
        eventually("another Debezium", lambda: self._debezium() not in ("0", before))

    def _debezium(self) -> str:
        return self._lab.run("node1", "systemctl", "show", "--property=MainPID", "--value", "debezium")

    def mark(self) -> None:
        """Note the rows as they are between two commits, and give that moment a name in the stream."""
        name = f"mark {len(self.marks)}"
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("begin; lock table things in share mode")
            cursor.execute(f"select id, label, md5(note) from things where id <> {MARK} order by id")
            self.marks.append((name, cursor.fetchall()))
            cursor.execute(
                f"insert into things values ({MARK}, '{name}') "
                "on conflict (id) do update set label = excluded.label; commit"
            )


@pytest.fixture(scope="module")
def source(lab: Lab) -> Iterator[Source]:
    """Two captured tables, one of which the other refers to; gone again afterwards."""
    lab.psql("""
        create table things (id bigint primary key, label text, note text, size int);
        alter table things alter note set storage external;
        create table parts (thing bigint references things on update cascade on delete cascade, number int,
                            primary key (thing, number));
        grant all on things, parts to shop_app""")
    try:
        lab.playbook("site", "-e", SIX)
        yield Source(lab)
    finally:
        lab.playbook("site")
        lab.psql("drop table things, parts")


def copy(source: Source) -> None:
    """Ten thousand rows with one LSN."""
    rows = io.StringIO("".join(f"{number}\tcopied\t\\N\n" for number in range(10_000)))
    with source.connect() as connection, connection.cursor() as cursor:
        cursor.copy_expert("copy things (id, label, note) from stdin", rows)
    source.kill_debezium()


def many_rows_in_a_statement(source: Source) -> None:
    """Some of them again while Debezium is away."""
    source.do("insert into things select n, 'inserted', 'n' || n from generate_series(20000, 20499) n")
    source.kill_debezium()
    source.do("update things set label = 'updated' where id between 20100 and 20399")
    source.do("delete from things where id between 20200 and 20299")


def another_key(source: Source) -> None:
    """The keys of rows move, and some to where another row was."""
    source.do("update things set id = id + 100000 where id between 100 and 199")
    source.kill_debezium()
    source.do("update things set id = id - 50 where id between 100000 and 100199")
    source.do("delete from things where id = 300", "update things set id = 300 where id = 301")


def deleted_and_inserted_again(source: Source) -> None:
    """In one transaction, and in two."""
    source.do("delete from things where id between 400 and 449", "insert into things values (400, 'again')")
    source.do("delete from things where id = 500")
    source.kill_debezium()
    source.do("insert into things values (500, 'again')")


def several_changes_of_a_row(source: Source) -> None:
    """All in a transaction; only the last is seen outside."""
    changes = [f"update things set label = 'change {number}' where id = 600" for number in range(20)]
    source.do(*changes[:10], "delete from things where id = 601")
    source.kill_debezium()
    source.do(
        *changes[10:], "insert into things values (602000, 'a')", "delete from things where id = 602000"
    )


def unchanged_large_values(source: Source) -> None:
    """PostgreSQL's stream leaves out a large value that an update does not touch."""
    large = f"repeat('0123456789', {LARGE // 10})"
    source.do(f"update things set note = {large} || id where id between 700 and 709")
    source.kill_debezium()
    source.do("update things set label = 'small change' where id between 700 and 709")
    source.do("update things set id = id + 200000 where id between 705 and 709")
    source.do("update things set note = null where id = 700")


def truncate(source: Source) -> None:
    """With CASCADE the table that refers to it is emptied too; both fill again."""
    source.do("insert into parts select id, 1 from things where id between 800 and 899")
    source.kill_debezium()
    source.do(
        "truncate things cascade", "insert into things select n, 'new' from generate_series(800, 849) n"
    )
    source.do("insert into parts select id, 2 from things where id between 800 and 849")
    source.do("truncate parts")
    source.do("insert into parts values (800, 3)")


def writers_side_by_side(source: Source) -> None:
    """Two sessions whose transactions begin in one order and commit in another."""
    one, two = source.connect(), source.connect()
    with one, two, one.cursor() as first, two.cursor() as second:
        for number in range(20):
            first.execute("begin")
            second.execute("begin")
            first.execute(f"insert into things values ({30000 + number}, 'first')")
            second.execute(f"insert into things values ({31000 + number}, 'second')")
            first.execute(f"update things set label = 'first {number}' where id = 801")
            second.execute(f"update things set label = 'second {number}' where id = 802")
            for cursor in (second, first) if number % 2 else (first, second):
                cursor.execute("commit")
            if number == 10:
                source.kill_debezium()


def a_wait_for_the_unique_index(source: Source) -> None:
    """An insert that waits until the row it collides with is deleted: its LSN is below the delete's."""
    deleter, inserter = source.connect(), source.connect()
    with (
        deleter,
        inserter,
        deleter.cursor() as delete,
        inserter.cursor() as insert,
        source.connect() as third,
    ):
        for key in (803, 804, 805):
            delete.execute(f"begin; update things set label = 'doomed' where id = {key}")
            insert.execute("begin")
            waiting = threading.Thread(
                target=insert.execute, args=(f"insert into things values ({key}, 'lives')",)
            )
            waiting.start()
            with third.cursor() as look:
                blocked = (
                    "select count(*) from pg_stat_activity "
                    f"where pid = {inserter.info.backend_pid} and wait_event_type = 'Lock'"
                )
                eventually("the insert waits", lambda: look.execute(blocked) or look.fetchone() == (1,))  # noqa: B023
            delete.execute(f"delete from things where id = {key}; commit")
            waiting.join(60)
            insert.execute("commit")
            if key == 804:
                source.kill_debezium()


WORK: list[Callable[[Source], None]] = [
    copy,
    many_rows_in_a_statement,
    another_key,
    deleted_and_inserted_again,
    several_changes_of_a_row,
    unchanged_large_values,
    truncate,
    writers_side_by_side,
    a_wait_for_the_unique_index,
]


def verify(lab: Lab) -> None:
    """The two tables, and gold."""
    verified = lab.playbook("verify", "-e", json.dumps({"lakehouse_tables": TWO}), check=False)
    assert verified.returncode == 0, verified.stdout
    assert "no difference" in verified.stdout


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_the_lakehouse_equals_the_source_after(
    lab: Lab, source: Source, work: Callable[[Source], None]
) -> None:
    source.mark()
    work(source)
    source.mark()
    verify(lab)


def test_history_has_every_state_that_there_was(lab: Lab, source: Source) -> None:
    """The state as of a position is what a look at the source saw there."""
    assert len(source.marks) == 2 * len(WORK)
    for name, rows in source.marks:
        (mark,) = lab.sql(
            "select valid_from_position.offset as at from silver.things_history "
            f"where id = {MARK} and label = '{name}'"
        )
        then = lab.sql(
            "select id, label, md5(note) as note from silver.things_history "
            f"where id <> {MARK} and valid_from_position.offset <= {mark['at']} "
            f"and (valid_to_position is null or valid_to_position.offset > {mark['at']}) order by id"
        )
        seen = [(int(row["id"]), row["label"], row["note"]) for row in then]
        assert seen == [(number, label or "", note or "") for number, label, note in rows], name


def trouble(lab: Lab) -> str:
    """Why silver's things stand still; empty when they do not."""
    state = lab.pipeline()["tables"]["things"]
    return str(state["error"]["message"]) if state["state"] == "failed" else ""


def test_columns_that_come_go_and_widen(lab: Lab, source: Source) -> None:
    source.do("insert into things values (900000, 'before', 'dropped later', 1)")
    history = "select * from silver.things_history where id = 900000 order by version"
    eventually("the row", lambda: lab.sql(history))
    lab.psql("alter table things add color text, drop note, alter size type bigint")
    source.do("update things set color = 'red', size = 3000000000 where id = 900000")
    assert "new columns in the source: color. Run site.yml" in eventually("the alarm", lambda: trouble(lab))
    lab.playbook("site", "-e", SIX)
    first, second = eventually("two versions", lambda: rows if len(rows := lab.sql(history)) == 2 else None)
    assert [first[name] for name in ("label", "note", "size", "color")] == [
        "before",
        "dropped later",
        "1",
        "",
    ]
    assert [second[name] for name in ("label", "note", "size", "color")] == [
        "before",
        "",
        "3000000000",
        "red",
    ]
    (current,) = lab.sql("select * from silver.things where id = 900000")
    assert list(current) == ["id", "label", "size", "color"]
    lab.psql("alter table things alter size type numeric(22,2)")
    source.do("update things set size = 1.25 where id = 900000")
    sizes = (
        "select cast(size as string) as size from silver.things_history where id = 900000 order by version"
    )
    expected = [{"size": size} for size in ("1.00", "3000000000.00", "1.25")]
    eventually("the wider type, without a declaration", lambda: lab.sql(sizes) == expected)
    verify(lab)


def test_a_renamed_column_stops_its_table_alone_until_it_is_made_anew(lab: Lab, source: Source) -> None:
    lab.psql("alter table things rename label to title")
    source.do("update things set title = 'renamed' where id = 900000", "insert into parts values (900000, 1)")
    part = "select 1 from silver.parts where thing = 900000"
    assert "title" in eventually("the alarm", lambda: trouble(lab))
    eventually("the other table's row", lambda: lab.sql(part))
    refused = lab.playbook("site", "-e", SIX, check=False)
    assert refused.returncode
    assert "its column label is called title now" in refused.stdout
    again = lab.playbook("resnapshot", "-e", SIX, "-e", json.dumps({"resnapshot_tables": ["public.things"]}))
    assert "its column label is called title now" in again.stdout
    lab.playbook("rebuild", "-e", SIX)
    lab.playbook("site", "-e", SIX)
    (current,) = lab.sql("select * from silver.things where id = 900000")
    assert (list(current), current["title"]) == (["id", "title", "size", "color"], "renamed")
    verify(lab)
