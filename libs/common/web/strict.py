"""What of a client's input is text and numbers that every part of the suite, and every client, can hold.

One rule for every JSON body, frame of a socket and field of a form, applied before anything else reads it:

- text, keys too, has neither NUL (PostgreSQL stores none) nor half of a surrogate pair (UTF-8 has none);
- integers lie within ±(2^53 - 1), what JavaScript and I-JSON (RFC 7493) hold exactly; other numbers are
  finite doubles; NaN and Infinity are no numbers;
- nothing is nested more than 64 levels deep.
"""

import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from math import isfinite
from typing import Any
from urllib.parse import parse_qsl

import orjson
from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from libs.common.runtime.errors import BadRequest, InvalidInput, InvalidQuery

MOST_DEPTH = 64
MOST_INTEGER = 2**53 - 1
MOST_TOLD = 20

_NUL = "must not contain NUL"
_HALF = "must not contain half of a surrogate pair"
_INTEGER = f"must be an integer within ±{MOST_INTEGER}"
_FINITE = "must be a finite number"

_HALVES = re.compile("[\ud800-\udfff]")
# What the fast parser lets pass: a NUL by its escape, and integers that it makes a float of or that are
# too long. Digits behind a point are no integer.
_SUSPECT = re.compile(rb"\\u0000|(?<![.0-9])[0-9]{16}")

Fault = tuple[str, str]
"""A field and what is wrong with it."""


class TooDeep(BadRequest):
    code, detail = "malformed_json", "The JSON of the body is nested too deeply."


class _Bad:
    """Stands where a number is that is none of ours."""

    def __init__(self, message: str) -> None:
        self.message = message


class _Pairs(list[tuple[str, Any]]):
    """The members of an object as written: one that a later one replaces is looked at too."""


def parse(data: bytes) -> Any:
    """The value of a JSON text. Raises ValueError where it is no JSON, TooDeep, and InvalidInput."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:  # also of what is JSON and against the rule: the slow way tells
        return _parse_slowly(data)
    if _SUSPECT.search(data) is not None:
        return _parse_slowly(data)
    if data.count(b"[") + data.count(b"{") > MOST_DEPTH and _is_deep(value):
        raise TooDeep
    return value


def _parse_slowly(data: bytes) -> Any:
    try:
        written = json.loads(
            data, parse_int=_int, parse_float=_float, parse_constant=lambda _: _Bad(_FINITE),
            object_pairs_hook=_Pairs,
        )  # fmt: skip
        if _is_deep(written):
            raise TooDeep
        _refuse(_faults(written, ()))
        return json.loads(data)
    except RecursionError:
        raise TooDeep from None


def _int(text: str) -> int | _Bad:
    number = int(text) if len(text) <= 17 else MOST_INTEGER + 1
    return number if abs(number) <= MOST_INTEGER else _Bad(_INTEGER)


def _float(text: str) -> float | _Bad:
    number = float(text)
    return number if isfinite(number) else _Bad(_FINITE)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MOST_DEPTH + 1):
        below: list[Any] = []
        containers = False
        for each in level:
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, _Pairs):
                below += [member for _, member in each]
            elif isinstance(each, list):
                below += each
            else:
                continue
            containers = True
        if not containers:
            return False
        level = below
    return True


def _faults(value: Any, path: tuple[str, ...]) -> Iterator[Fault]:
    if isinstance(value, str):
        message = fault_of(value)
    elif isinstance(value, _Bad):
        message = value.message
    elif isinstance(value, _Pairs):
        for key, member in value:
            if fault_of(key) is not None:
                yield ".".join((*path, _spelled(key))), f"its name {fault_of(key)}"
            yield from _faults(member, (*path, _spelled(key)))
        return
    elif isinstance(value, list):
        for place, member in enumerate(value):
            yield from _faults(member, (*path, str(place)))
        return
    else:
        return
    if message is not None:
        yield ".".join(path) or "body", message


def fault_of(text: str) -> str | None:
    """What is wrong with a text; None where nothing is."""
    if "\0" in text:
        return _NUL
    return _HALF if _HALVES.search(text) is not None else None


def _spelled(key: str) -> str:
    """A key as it can be told."""
    return _HALVES.sub("\ufffd", key[:100]).replace("\0", "\ufffd")


def _refuse(faults: Iterator[Fault]) -> None:
    errors = [{"field": field, "message": message} for field, message in islice(faults, MOST_TOLD)]
    if errors:
        raise InvalidInput(errors)


def check_query(query: bytes) -> None:
    """Refuse NUL in names and values of a query string. Raises InvalidQuery."""
    if b"%00" not in query:
        return
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    errors = [{"field": _spelled(name), "message": _NUL} for name, value in pairs if "\0" in name + value]
    if errors:
        raise InvalidQuery(errors[:MOST_TOLD])


def check_texts(fields: Iterable[tuple[str, str]]) -> None:
    """Check names and values of a form's text fields. Raises InvalidInput."""
    _refuse(
        (_spelled(name), message)
        for name, value in fields
        if (message := fault_of(name) or fault_of(value)) is not None
    )


@asynccontextmanager
async def read_form(request: Request, *, max_files: int, max_fields: int) -> AsyncIterator[FormData]:
    """The multipart form of a request, its texts and names by the rule. Raises InvalidInput."""
    async with request.form(max_files=max_files, max_fields=max_fields) as form:
        _refuse(_form_faults(form))
        yield form


def _form_faults(form: FormData) -> Iterator[Fault]:
    for name, value in form.multi_items():
        # The name of a file is never used as it is (uploads.py).
        message = fault_of(name) or (None if isinstance(value, UploadFile) else fault_of(value))
        if message is not None:
            yield _spelled(name), message
