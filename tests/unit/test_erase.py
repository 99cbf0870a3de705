"""What erase.yml asks for: keys in the form in which events have them; and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from lakehouse.config import Column, Table
from lakehouse.events import Events

from tests.local_postgresql import execute

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")

# Type, what somebody writes, what the jobs are asked for, and what Debezium writes (as in
# molecule/debezium/every_type.py).
KEYS: list[tuple[str, Any, str, Any]] = [
    ("boolean", True, "true", True),
    ("boolean", "off", "false", False),
    ("smallint", "-1", "-1", -1),
    ("integer", 2, "2", 2),
    ("bigint", "9223372036854775807", "9223372036854775807", 9223372036854775807),
    ("real", 1.5, "1.5", 1.5),
    ("double precision", "NaN", "NaN", "NaN"),
    ("double precision", "1e30", "1e+30", 1.0e30),
    ("numeric", "1.50", "1.50", "1.50"),
    ("numeric(12,2)", 12.5, "12.50", "12.50"),
    ("money", "1234.5", "1234.50", "1234.50"),
    ("text", 'it\'s "x" \\ 100 %s', 'it\'s "x" \\ 100 %s', 'it\'s "x" \\ 100 %s'),
    ("character varying(20)", "Grüße", "Grüße", "Grüße"),
    ("character(5)", "ab", "ab   ", "ab   "),
    ("mood", "it's fine", "it's fine", "it's fine"),
    (
        "uuid",
        "A0EEBC999C0B4EF8BB6D6BB9BD380A11",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    ),
    ("jsonb", '{"b":1.10}', '{"b": 1.10}', '{"b": 1.10}'),
    ("bytea", "\\x00ff10", "AP8Q", "AP8Q"),
    ("bytea", "\\x" + "61" * 60, "YWFh" * 20, "YWFh" * 20),
    ("date", "20260301", "2026-03-01Z", "2026-03-01Z"),
    ("date", "2026-3-1", "2026-03-01Z", "2026-03-01Z"),
    ("time without time zone", "12:34:56.1234560", "12:34:56.123456Z", "12:34:56.123456Z"),
    ("time without time zone", "12:34", "12:34:00Z", "12:34:00Z"),
    ("time with time zone", "12:34:56+02", "10:34:56Z", "10:34:56Z"),
    (
        "timestamp without time zone",
        "2026-03-01 12:34:56.50",
        "2026-03-01T12:34:56.5Z",
        "2026-03-01T12:34:56.5Z",
    ),
    (
        "timestamp with time zone",
        "2026-03-01 12:34:56.5",
        "2026-03-01T12:34:56.5Z",
        "2026-03-01T12:34:56.500000Z",
    ),
    ("timestamp with time zone", "2026-03-01 12:34:56+02", "2026-03-01T10:34:56Z", "2026-03-01T10:34:56Z"),
    ("interval", "1 year 2 months 3 days 04:05:06.7890", "P1Y2M3DT4H5M6.789S", "P1Y2M3DT4H5M6.789S"),
    ("interval", "1 day", "P0Y0M1DT0H0M0S", "P0Y0M1DT0H0M0S"),
    ("inet", "10.0.0.1", "10.0.0.1", "10.0.0.1"),
    ("int4range", "[1,4]", "[1,5)", "[1,5)"),
    ("birthday", "1815-12-10", "1815-12-10Z", "1815-12-10Z"),
]
SQL = """
CREATE ROLE cdc LOGIN;
CREATE TYPE mood AS ENUM ('sad', 'it''s fine');
CREATE DOMAIN birthday AS date;
CREATE SCHEMA "order";
"""


@pytest.mark.parametrize(("kind", "asked", "told"), [(kind, *rest) for kind, _, *rest in KEYS])
def test_a_key_is_read_as_that_of_the_event(kind: str, asked: str, told: Any) -> None:
    events = Events(Table("public.things", ("id",), (Column("id", kind),), ()))
    assert events.key(json.dumps({"id": asked})) == events.key(json.dumps({"id": told}))


@pytest.fixture(scope="module")
def source(postgresql: str) -> str:
    """A PostgreSQL 15 with what the keys need, by the folder of its socket."""
    execute(postgresql, SQL)
    return postgresql


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def create(source: str, table: str, kinds: dict[str, str]) -> None:
    """A table that has its key alone."""
    columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in kinds.items())
    name = ".".join(map(quoted, table.split(".")))
    key = ", ".join(map(quoted, kinds))
    execute(source, f"DROP TABLE IF EXISTS {name}; CREATE TABLE {name} ({columns}, PRIMARY KEY ({key}))")
    execute(
        source, f"GRANT USAGE ON SCHEMA {quoted(table.split('.')[0])} TO cdc; GRANT SELECT ON {name} TO cdc"
    )


def ask(
    folder: Path, source: str, table: str, key: list[str], *rows: dict[str, Any]
) -> tuple[str, list[dict[str, Any]] | None]:
    """Do what erase.yml does before it asks the jobs.

    Returns:
        Its output, and the keys that it would ask for; None when it fails.
    """
    text = (ROOT / "playbooks/erase.yml").read_text().replace("ssl_mode: require", "ssl_mode: disable")
    first = yaml.safe_load(text)[0]["tasks"]
    found = "{{ erase_found.results | map(attribute='query_result.0.key') | to_json }}"
    copy = {"ansible.builtin.copy": {"content": found, "dest": str(folder / "found")}}
    (folder / "templates").symlink_to(ROOT / "playbooks/templates")
    done = play(
        folder,
        [*(task for task in first if "ansible.builtin.include_role" not in task), copy],
        lakehouse_source_host=source,
        lakehouse_source_port=5432,
        lakehouse_source_database="postgres",
        lakehouse_secret_postgres_cdc="any",
        lakehouse_tables=[{"name": table}],
        postgres_cdc_catalog={"tables": [{"name": table, "key": key}]},
        erase_rows={table: rows},
    )
    return done.stdout + done.stderr, None if done.returncode else json.loads((folder / "found").read_text())


def play(folder: Path, tasks: list[Any], **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run tasks here."""
    (folder / "play.yml").write_text(
        yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}])
    )
    settings["ansible_python_interpreter"] = sys.executable
    return subprocess.run(
        [
            ANSIBLE_PLAYBOOK,
            "-i",
            "localhost,",
            "-c",
            "local",
            folder / "play.yml",
            "-e",
            json.dumps(settings),
        ],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.mark.slow
def test_keys_are_asked_for_as_debezium_writes_them(source: str, tmp_path: Path) -> None:
    """One key of all types; PostgreSQL takes 32 columns."""
    names = [f'a "%(key)s" it\'s {place}' for place in range(len(KEYS))]
    create(source, "order.every_type", dict(zip(names, (kind for kind, *_ in KEYS), strict=True)))
    row = dict(zip(names, (written for _, written, *_ in KEYS), strict=True))
    said, found = ask(tmp_path, source, "order.every_type", names, row)
    assert found == [dict(zip(names, (asked for _, _, asked, _ in KEYS), strict=True))], said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("integer", 17, "The source still has {'id': 17} in order.items"),
        ("character varying(2)", "abc", "it would be another row's"),
        ("numeric(4,1)", 1.25, "it would be another row's"),
        ("integer[]", "{1}", "whose key has id: erase.yml does not know how events tell integer[]"),
        ("text", None, "Give a value for each column"),
        ("date", "soon", "invalid input syntax for type date"),
    ],
)
def test_what_cannot_be_erased_is_refused(
    source: str, tmp_path: Path, kind: str, value: Any, said: str
) -> None:
    create(source, "order.items", {"id": kind})
    if kind == "integer":
        execute(source, 'INSERT INTO "order".items VALUES (17)')
    output, found = ask(tmp_path, source, "order.items", ["id"], {"id": value})
    assert found is None
    assert said in " ".join(output.split())


TABLE, SEVENTEEN, NINE = "public.customers", {"customer_id": "17"}, {"customer_id": "9"}


def erase(folder: Path, answer: Any, failing: bool = False) -> tuple[bool, str]:
    """Do what erase.yml does with the pipeline, in a folder; whether it went well, and its output.

    Args:
        folder: The jobs' own.
        answer: What the jobs tell of it.
        failing: Whether gold is not there in time.
    """
    jobs = "import pathlib, sys; pathlib.Path('erased.json').write_text(sys.argv[1]); "
    jobs += "pathlib.Path('erase.json').unlink()"
    argv = [sys.executable, "-c", jobs, json.dumps(answer)]
    instead: dict[str, dict[str, Any]] = {
        "systemd_service": {"command": {"argv": argv, "chdir": str(folder)}},
        "include_tasks": {"fail": {"msg": "gold is late"}} if failing else {"meta": "noop"},
    }
    tasks = yaml.safe_load((ROOT / "roles/pipeline/tasks/request.yml").read_text())
    for task in tasks:
        for module in [name for name in task if name.removeprefix("ansible.builtin.") in instead]:
            del task[module]
            task.update(instead[module.removeprefix("ansible.builtin.")])
        for user in ("owner", "group"):
            task.get("ansible.builtin.copy", {}).pop(user, None)
    last = yaml.safe_load((ROOT / "playbooks/erase.yml").read_text())[2]["tasks"][-1]
    (role,) = last["block"]
    last["block"] = [{"vars": role["vars"], "block": tasks}]
    rows: dict[str, Any] = {TABLE: [{"customer_id": 17}, {"customer_id": 9}]}
    found = [
        {"item": [{"key": TABLE}, asked], "query_result": [{"key": told}]}
        for asked, told in zip(rows[TABLE], (SEVENTEEN, NINE), strict=True)
    ]
    done = play(
        folder,
        [last],
        __pipeline_state=str(folder),
        __pipeline_erased=str(folder / "erased.json"),
        pipeline_catch_up_timeout=20,
        erase_rows=rows,
        erase_found={"results": found},
    )
    return done.returncode == 0, " ".join((done.stdout + done.stderr).split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "failing", "said"),
    [
        ({TABLE: [True, True]}, False, None),
        (
            {TABLE: [True, False]},
            False,
            "has nothing of public.customers {'customer_id': 9}, or not any more",
        ),
        ({TABLE: [True, False]}, True, "has nothing of public.customers {'customer_id': 9}, or not any more"),
        ({"error": "its key is id"}, False, "The pipeline has erased nothing: its key is id."),
    ],
)
def test_what_the_jobs_tell_is_told(tmp_path: Path, answer: Any, failing: bool, said: str | None) -> None:
    (tmp_path / "erased.json").write_text("of another one")
    went_well, output = erase(tmp_path, answer, failing)
    assert went_well == (said is None), output
    assert said is None or said in output
    assert ("gold is late" in output) == failing


@pytest.mark.slow
@pytest.mark.parametrize("older", [[SEVENTEEN, NINE], [SEVENTEEN]])
def test_another_request_that_is_not_done_is_not_replaced(
    tmp_path: Path, older: list[dict[str, str]]
) -> None:
    """The same one goes on, with what it had told already."""
    (tmp_path / "erase.json").write_text(json.dumps({TABLE: older}))
    (tmp_path / "erased.json").write_text("told")
    went_well, output = erase(tmp_path, {TABLE: [True, True]})
    assert went_well == (older == [SEVENTEEN, NINE]), output
    if not went_well:
        assert "was asked for another erase before" in output
        assert json.loads((tmp_path / "erase.json").read_text()) == {TABLE: older}
        assert (tmp_path / "erased.json").read_text() == "told"
