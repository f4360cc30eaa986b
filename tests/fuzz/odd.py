"""What no JSON Schema describes: bytes on the wire that an encoder would never write.

A share of the fuzzer's requests is altered after they are encoded: a value of the body is half a surrogate
pair or a number that no double holds, a path or a query is spelled otherwise, meaning the same or not.
"""

import json
import random
import re
from typing import Any
from urllib.parse import quote, urlsplit

SHARE = 0.25
"""Of all requests, those that are altered."""
VALUES = (
    r'"a\ud800"', r'"\udc00\ud800"', r'"\uD83D"', r'"\u0000"', str(10**30), str(-(10**30)), "9" * 5000,
    "9007199254740993", "1e400", "-1e400", "1e-400", "NaN", "Infinity", "-Infinity", "-0", "1E5", "0x10",
    "[" * 100 + "]" * 100,
)  # fmt: skip
"""JSON, as it is sent, or nearly."""
ESCAPES = ("%ED%A0%80", "%00", "%FF", "%C0%AF", str(10**30), "1e400", "NaN", "%F0%9F%99%82", "%", "%zz")
"""Parts of a path or a query: a surrogate in UTF-8, NUL, what is no UTF-8, an overlong slash, numbers."""
_MARK = "\x00mark\x00"


def spoil_json(body: bytes, chance: random.Random) -> bytes:
    """The same document with one value, or one name, that is odd; as it is where it is no object or list."""
    try:
        document = json.loads(body)
    except ValueError:
        return body
    places = [*_places(document)]
    if not places:
        return body
    odd = chance.choice(VALUES)
    holder, key = chance.choice(places)
    if isinstance(holder, dict) and odd.startswith('"') and chance.random() < 0.2:
        holder[_MARK] = holder.pop(key)
    else:
        holder[key] = _MARK
    return json.dumps(document).replace(json.dumps(_MARK), odd, 1).encode()


def _places(value: Any) -> Any:
    """Every container with each key of it."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def spell(path: str, chance: random.Random) -> str:
    """The same path with some of its letters percent-encoded, which says the same (RFC 3986, 6.2.2.2)."""

    def encoded(letter: re.Match[str]) -> str:
        if chance.random() > 0.15:
            return letter[0]
        code = f"%{ord(letter[0]):02x}"
        return code.upper() if chance.random() < 0.5 else code

    return re.sub(r"(?<!%)(?<!%.)[A-Za-z0-9~._-]", encoded, path)


def bend(path: str, chance: random.Random) -> str:
    """A path that says something else, or nothing: its route may not be the operation's."""
    at = chance.choice([place.start() for place in re.finditer("/", path)][1:] or [0])
    odd = chance.choice(("//", "/./", "/../", "/%2e%2E/", "%2F", "/;x=1/", "%5C", "/%00/", "/%ED%A0%80/"))
    bent = path[:at] + odd + path[at + 1 :]
    return bent if bent.startswith("/") else f"/{bent}"


def alter(request: Any, chance: random.Random) -> bool:
    """Alter a prepared request; returns whether it may be for another operation now."""
    parts = urlsplit(request.url)
    path, query, bent = parts.path, parts.query, False
    body = request.body.encode() if isinstance(request.body, str) else request.body
    kinds = ["spell", "bend", "escape"]
    kinds += (
        ["json"] * 4 if isinstance(body, bytes) and "json" in request.headers.get("Content-Type", "") else []
    )
    kinds += ["query"] * 2 if "=" in query else []
    kind = chance.choice(kinds)
    if kind == "json" and body is not None:
        request.body = spoil_json(body, chance)
        request.headers["Content-Length"] = str(len(request.body))
    elif kind == "query":
        names = query.split("&")
        at = chance.randrange(len(names))
        names[at] = names[at].partition("=")[0] + "=" + chance.choice(ESCAPES)
        query = "&".join(names)
    elif kind == "escape":
        segments = path.split("/")
        at = chance.choice([n for n, part in enumerate(segments) if part])
        bent = not re.search(r"\d", segments[at])  # a name of the route, and no id
        segments[at] = chance.choice(ESCAPES)
        path = "/".join(segments)
    elif kind == "bend":
        path, bent = bend(path, chance), True
    else:
        path = spell(path, chance)
    # `%` alone would be mended by the client's own encoding: it is sent as `%25`, which is odd enough.
    request.url = f"{parts.scheme}://{parts.netloc}{quote(path, safe='/%;=~.')}" + (
        f"?{query}" if query else ""
    )
    return bent
