"""Documents of the API: OpenAPI, AsyncAPI, and a page that shows the first; the page of the suite's state;
the console.

The pages load nothing from outside and their policy forbids them to: scripts and styles come from here, and
they may call this origin only. OpenAPI is merged at build time (`python -m deploy.openapi`); AsyncAPI comes
from the event classes.
"""

import hashlib
from collections.abc import Callable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

import orjson

from gateway.entries import fields_of, matches
from gateway.proxy import Exchange
from libs.common.events.asyncapi import document as asyncapi

OPENAPI = files("gateway") / "static" / "openapi.json"
STATUS = files("gateway") / "static" / "status"
CONSOLE = files("gateway") / "static" / "console"
HTML, STYLE, SCRIPT = (f"text/{kind}; charset=utf-8" for kind in ("html", "css", "javascript"))
KINDS = {"html": HTML, "css": STYLE, "js": SCRIPT, "svg": "image/svg+xml", "md": "text/plain; charset=utf-8"}
ASSETS = files("fastapi_offline") / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CONSOLE_POLICY = f"{POLICY}; require-trusted-types-for 'script'; trusted-types 'none'"
"""The console makes no HTML of text, and this keeps it so."""
PAGE = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Lectern API</title><link rel="icon" href="/api/docs/favicon.png">
<link rel="stylesheet" href="/api/docs/swagger-ui.css"></head>
<body><div id="api"></div>
<script src="/api/docs/swagger-ui-bundle.js"></script><script src="/api/docs/start.js"></script></body></html>
"""
START = b"""SwaggerUIBundle({
  url: "/api/openapi.json", dom_id: "#api", deepLinking: true, docExpansion: "none", filter: true,
  persistAuthorization: false, validatorUrl: null, tryItOutEnabled: true
})
"""


class Document:
    """Bytes that never change while the process lives, with their entity tag."""

    def __init__(self, body: bytes, kind: str, *headers: tuple[str, str]) -> None:
        self._body = body
        self._kind = kind
        self._tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        given = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", **dict(headers)}
        self._headers = (("ETag", self._tag), *given.items())

    def answer(self, exchange: Exchange) -> None:
        if matches(fields_of(exchange.request).get(b"if-none-match"), self._tag.encode()):
            exchange.answer(304, b"", self._kind, self._headers)
        else:
            exchange.answer(200, self._body, self._kind, self._headers)


def documents() -> dict[str, Callable[[Exchange], None]]:
    """Handlers by exact path, without the last slash."""
    page = Document(
        PAGE,
        HTML,
        ("Content-Security-Policy", POLICY),
        ("Referrer-Policy", "no-referrer"),
    )
    found = {
        "/api/openapi.json": Document(OPENAPI.read_bytes(), "application/json"),
        "/api/asyncapi.json": Document(orjson.dumps(asyncapi()), "application/json"),
        "/api/docs": page,
        "/api/docs/start.js": Document(START, SCRIPT),
        "/api/docs/swagger-ui.css": Document((ASSETS / "swagger-ui.css").read_bytes(), STYLE),
        "/api/docs/swagger-ui-bundle.js": Document((ASSETS / "swagger-ui-bundle.js").read_bytes(), SCRIPT),
        "/api/docs/favicon.png": Document((ASSETS / "favicon.png").read_bytes(), "image/png"),
    }
    found |= _status_page() | _console()
    return {path: document.answer for path, document in found.items()}


def _status_page() -> dict[str, Document]:
    """The page for everybody about how the platform is. It asks for the state itself, so it may be cached."""
    kinds = {"index.html": HTML, "status.css": STYLE, "status.js": SCRIPT}
    cached = ("Cache-Control", "public, max-age=300")
    found = {}
    for name, kind in kinds.items():
        page = (
            (("Content-Security-Policy", POLICY), ("Referrer-Policy", "no-referrer")) if kind is HTML else ()
        )
        found[f"/status/{name}"] = Document((STATUS / name).read_bytes(), kind, cached, *page)
    found["/status"] = found.pop("/status/index.html")
    return found


def _console() -> dict[str, Document]:
    """The console: a page and its modules, which use nothing but the public API with the user's own login."""
    page = (("Content-Security-Policy", CONSOLE_POLICY), ("Referrer-Policy", "no-referrer"))
    found = {
        f"/console/{name}": Document(file.read_bytes(), KINDS[name.rpartition(".")[2]], *page)
        for name, file in _walk(CONSOLE)
    }
    found["/console"] = found.pop("/console/index.html")
    return found


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry
