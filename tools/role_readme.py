"""Writes the variables of each role into its README, and checks that defaults and argument specs agree.

python tools/role_readme.py            write
python tools/role_readme.py --check    change nothing; end with 1 and say what is wrong
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parent.parent / "roles"
BEGIN, END = "<!-- specs -->", "<!-- /specs -->"
REQUIRED = object()


def main() -> int:
    """Go through the roles; 1 when something is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing, and fail where something differs"
    )
    check = parser.parse_args().check
    problems = [
        problem for role in sorted(ROLES.iterdir()) if role.is_dir() for problem in bring(role, check=check)
    ]
    print("\n".join(problems), file=sys.stderr, end="\n" * bool(problems))
    return bool(problems)


def bring(role: Path, *, check: bool) -> Iterator[str]:
    """Write the role's table, or with ``check`` compare it; what is wrong with the role."""
    where = f"roles/{role.name}"
    specs = read_yaml(role / "meta/argument_specs.yml").get("argument_specs", {})
    if not specs:
        yield f"{where}: there is no meta/argument_specs.yml"
        return
    yield from (
        f"{where}: {difference}" for difference in differences(read_yaml(role / "defaults/main.yml"), specs)
    )
    readme = role / "README.md"
    if not readme.exists():
        if not role.name.startswith("_"):
            yield f"{where}: there is no README.md"
        return
    text = readme.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        yield f"{where}/README.md: needs a line {BEGIN} and after it a line {END}, for the variables"
        return
    before, _, rest = text.partition(BEGIN)
    wanted = f"{before}{BEGIN}\n{documentation(specs)}{END}{rest.partition(END)[2]}"
    if wanted != text and check:
        yield f"{where}/README.md: its variables are not those of the specs; run: python tools/role_readme.py"
    elif wanted != text:
        readme.write_text(wanted)


def differences(defaults: dict[str, Any], specs: dict[str, Any]) -> Iterator[str]:
    """Where defaults/main.yml and the argument specs of all entry points disagree."""
    declared: dict[str, Any] = {}
    for entry, spec in specs.items():
        for name, option in (spec.get("options") or {}).items():
            value = option.get("default", REQUIRED)
            if name in declared and declared[name] != value:
                yield f"{name} has another default in the entry point {entry} than in one before"
            declared[name] = value
            if value is not REQUIRED and option.get("required"):
                yield f"{name} is required and has a default"
    for name, value in declared.items():
        if value is REQUIRED and name in defaults:
            yield f"{name} has the default {defaults[name]!r} in defaults/main.yml, and none in the specs"
        elif value is not REQUIRED and name not in defaults:
            yield f"{name} has the default {value!r} in the specs, and none in defaults/main.yml"
        elif value is not REQUIRED and (type(value), value) != (type(defaults[name]), defaults[name]):
            yield f"{name} is {defaults[name]!r} in defaults/main.yml, and {value!r} in the specs"
    for name in defaults.keys() - declared.keys():
        yield f"{name} is in defaults/main.yml, and not in the specs"


def documentation(specs: dict[str, Any]) -> str:
    """The variables as Markdown: a table, or one for each entry point."""
    parts = []
    for entry, spec in specs.items():
        if len(specs) > 1:
            parts.append(f"`{entry}`: {spec['short_description']}\n")
        rows = [row(name, option) for name, option in (spec.get("options") or {}).items()]
        table = ["| variable | type | default | meaning |", "|---|---|---|---|", *rows] if rows else ["None."]
        parts.append("\n".join(table) + "\n")
    return "\n".join(parts)


def row(name: str, option: dict[str, Any]) -> str:
    """A line of the table."""
    kind = f"{option['type']} of {option['elements']}" if "elements" in option else option.get("type", "str")
    default = (
        f"`{shown(option['default'])}`"
        if "default" in option
        else "*required*"
        if option.get("required")
        else ""
    )
    description = option["description"]
    meaning = description if isinstance(description, str) else " ".join(description)
    if "choices" in option:
        meaning += f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}."
    if "options" in option:
        meaning += " Each has " + "; ".join(
            f"`{inner}` ({member(spec)})" for inner, spec in option["options"].items()
        )
    cells = (f"`{name}`", kind, default, markdown(meaning))
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def member(option: dict[str, Any]) -> str:
    """A key of a dictionary, in brackets behind its name."""
    description = option["description"]
    text = description if isinstance(description, str) else " ".join(description)
    default = f", default `{shown(option['default'])}`" if "default" in option else ""
    required = ", required" if option.get("required") else ""
    return f"{option.get('type', 'str')}{required}{default}: {text.rstrip('.')}"


def shown(value: Any) -> str:
    """A value as one writes it on one line; text as it is."""
    if isinstance(value, str) and value:
        return value
    return yaml.safe_dump(value, default_flow_style=True, width=sys.maxsize).removesuffix("\n...\n").strip()


def markdown(text: str) -> str:
    """Ansible's C(…), V(…) and O(…) as code."""
    return re.sub(r"\b[CVO]\(([^)]*)\)", r"`\1`", text)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file; empty where there is none."""
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


if __name__ == "__main__":
    sys.exit(main())
