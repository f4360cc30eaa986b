"""The gate that every change of an event must pass: fully compatible with every stored schema of its type.

Events stay in the log for ever, and old and new versions of a service run side by side. So new readers must
read old events, and old readers new ones. A field with a default may be added; anything else is a new type
`.vN`, published beside the old one. Each accepted change of a type adds `schemas/<type>/<n>.json`; none is
ever rewritten.

`python -m libs.common.events.compatibility [--since REF]` exits 1 and names what is refused; with `--since`
also the stored schemas that differ from those of that git commit.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from libs.common.events import EVENTS
from libs.common.events.base import Event

SCHEMAS = Path(__file__).with_name("schemas")

Schema = dict[str, Any]

_WORDS = ("title", "description")


def schema_of(event: type[Event]) -> Schema:
    """The contract of a type: structure of the value, topic and key; without prose, in a fixed order."""
    contract: Schema = _without_words(event.model_json_schema())
    contract["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    contract["x-type"] = event.type
    contract["x-topic"] = event.topic
    contract["x-key"] = event.key_field
    contract["x-state"] = event.state
    return contract


def rendered(schema: Schema) -> str:
    """The schema as it is stored."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def stored_schemas(event_type: str, directory: Path = SCHEMAS) -> dict[int, Schema]:
    """Every stored schema of a type by its number, oldest first."""
    found = {int(path.stem): path for path in (directory / event_type).glob("*.json")}
    return {number: json.loads(found[number].read_text()) for number in sorted(found)}


def incompatibilities(stored: Schema, current: Schema) -> list[str]:
    """Why a reader of one schema could not read events of the other; empty when each reads both."""
    problems = [
        f"{name.removeprefix('x-')} changed from {stored.get(name)} to {current.get(name)}"
        for name in ("x-type", "x-topic", "x-key", "x-state")
        if stored.get(name) != current.get(name)
    ]
    old, new = _without_words(stored), _without_words(current)
    return problems + _compare(_resolved(old, old), _resolved(new, new), "")


def refusals(registry: Mapping[str, type[Event]] = EVENTS, directory: Path = SCHEMAS) -> list[str]:
    """Everything that the gate refuses: one sentence each, with type and stored schema."""
    problems = []
    for gone in sorted({path.name for path in directory.iterdir()} - set(registry)):
        problems.append(f"{gone}: the class is gone, but its events stay in the log")
    for event_type, event in sorted(registry.items()):
        stored = stored_schemas(event_type, directory)
        if list(stored) != list(range(1, len(stored) + 1)):
            problems.append(f"{event_type}: stored schemas are {list(stored)}, not 1, 2, 3 without gaps")
        for number, schema in stored.items():
            for problem in incompatibilities(schema, schema_of(event)):
                problems.append(f"{event_type} against {number}.json: {problem}")
    return problems


def rewritten_since(ref: str, directory: Path = SCHEMAS) -> list[str]:
    """Stored schemas of a git commit that are changed or gone in the working tree."""
    command = ["git", "diff", "--name-only", "--no-renames", "--diff-filter=DMT", ref, "--", "."]
    done = subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True)
    return [f"{path}: a stored schema is never rewritten" for path in done.stdout.split()]


def _without_words(schema: Any) -> Any:
    """Drops titles and descriptions, but not the fields that happen to be called so."""
    if isinstance(schema, list):
        return [_without_words(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept: Schema = {}
    for keyword, value in schema.items():
        if keyword in ("properties", "$defs"):
            kept[keyword] = {name: _without_words(each) for name, each in value.items()}
        elif keyword in ("default", "enum", "const"):
            kept[keyword] = value
        elif keyword not in _WORDS:
            kept[keyword] = _without_words(value)
    return kept


def _resolved(schema: Any, root: Schema) -> Any:
    """The schema with every `$ref` replaced by what it points to."""
    if isinstance(schema, list):
        return [_resolved(each, root) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        target = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        rest = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
        return _resolved({**target, **rest}, root)
    return {
        keyword: _resolved(value, root)
        for keyword, value in schema.items()
        if not keyword.startswith(("$", "x-"))
    }


def _compare(old: Schema, new: Schema, where: str) -> list[str]:
    (old, old_null), (new, new_null) = _nullable(old), _nullable(new)
    field = f"field {where}" if where else "the event"
    if old_null != new_null:
        change = "may be null now: old readers refuse it" if new_null else "may no longer be null"
        return [f"{field} {change}"]
    if "properties" in old and "properties" in new:
        return _compare_fields(old, new, where) + _compare_rest(old, new, field, ("properties", "required"))
    if "items" in old and "items" in new:
        inside = _compare(old["items"], new["items"], f"{where}[]")
        return inside + _compare_rest(old, new, field, ("items",))
    if "enum" in old and "enum" in new:
        problems = []
        if lost := [value for value in old["enum"] if value not in new["enum"]]:
            problems.append(f"{field} lost the values {lost}: new readers refuse old events")
        if added := [value for value in new["enum"] if value not in old["enum"]]:
            problems.append(f"{field} got the values {added}: old readers refuse new events")
        return problems + _compare_rest(old, new, field, ("enum",))
    return _compare_rest(old, new, field, ())


def _compare_fields(old: Schema, new: Schema, where: str) -> list[str]:
    problems = []
    had, has = set(old.get("required", ())), set(new.get("required", ()))
    for name, before in old["properties"].items():
        path = f"{where}.{name}" if where else name
        if name not in new["properties"]:
            problems.append(f"field {path} was removed or renamed: keep it, or make a new type")
            continue
        if name in had - has:
            problems.append(f"field {path} may be left out now: old readers require it")
        if name in has - had:
            problems.append(f"field {path} is required now: old events may lack it")
        problems += _compare(before, new["properties"][name], path)
    for name in has - set(old["properties"]):
        path = f"{where}.{name}" if where else name
        problems.append(f"new field {path} has no default: old events lack it")
    return sorted(problems)


def _compare_rest(old: Schema, new: Schema, field: str, compared: tuple[str, ...]) -> list[str]:
    before = {keyword: value for keyword, value in old.items() if keyword not in compared}
    after = {keyword: value for keyword, value in new.items() if keyword not in compared}
    if before == after:
        return []
    return [
        f"{field} changed from {json.dumps(before, sort_keys=True)} to {json.dumps(after, sort_keys=True)}"
    ]


def _nullable(schema: Schema) -> tuple[Schema, bool]:
    """The schema without its null variant, and whether it had one."""
    if "const" in schema:
        schema = {
            **{key: value for key, value in schema.items() if key != "const"},
            "enum": [schema["const"]],
        }
    variants = schema.get("anyOf", [])
    others = [each for each in variants if each != {"type": "null"}]
    if len(others) == len(variants):
        return schema, False
    rest = {keyword: value for keyword, value in schema.items() if keyword != "anyOf"}
    if len(others) == 1:
        return {**_nullable(others[0])[0], **rest}, True
    return {**rest, "anyOf": others}, True


def main(arguments: list[str] | None = None) -> int:
    """Prints what is refused; exit code 1 if anything is."""
    parser = argparse.ArgumentParser(prog="python -m libs.common.events.compatibility")
    parser.add_argument("--since", metavar="REF", help="git commit whose stored schemas must be unchanged")
    options = parser.parse_args(arguments)
    problems = refusals() + (rewritten_since(options.since) if options.since else [])
    for problem in problems:
        print(f"refused: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
