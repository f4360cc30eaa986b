"""A strict reader of Lists of Items (RFC 9651), as far as the RateLimit fields use them."""

import re

STRING = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
INTEGER = re.compile(r"-?[0-9]{1,15}(?![0-9.])")
KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")

Item = tuple[str, dict[str, int]]


def parse_list(text: str) -> list[Item]:
    """`"name";key=1, …` as (name, parameters). Raises ValueError on anything else."""
    items: list[Item] = []
    at = len(text) - len(text.lstrip(" "))
    while True:
        name, at = _take(STRING, text, at)
        parameters: dict[str, int] = {}
        while text[at : at + 1] == ";":
            key, at = _take(KEY, text, at + 1 + len(text[at + 1 :]) - len(text[at + 1 :].lstrip(" ")))
            if text[at : at + 1] != "=" or key in parameters:
                raise ValueError(f"a parameter without an integer, or twice: {text[at:]!r}")
            number, at = _take(INTEGER, text, at + 1)
            parameters[key] = int(number)
        items.append((name, parameters))
        rest = text[at:].lstrip(" \t")
        if not rest:
            return items
        if not rest.startswith(",") or not rest[1:].strip(" \t"):
            raise ValueError(f"no list: {rest!r}")
        at = len(text) - len(rest[1:].lstrip(" \t"))


def _take(pattern: re.Pattern[str], text: str, at: int) -> tuple[str, int]:
    match = pattern.match(text, at)
    if match is None:
        raise ValueError(f"{pattern.pattern} expected at {text[at:]!r}")
    return match[match.lastindex or 0], match.end()
