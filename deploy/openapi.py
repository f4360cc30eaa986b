"""Merges the seven services' OpenAPI documents into the one that the gateway serves.

`python -m deploy.openapi` writes `gateway/static/openapi.json`; with `--check` it writes nothing and exits 1
when the file is stale. Operation ids and schema names get the service's name in front, so that they are
unique; every request and success answer gets an example.
"""

import argparse
import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from deploy.examples import Examples
from gateway.documents import OPENAPI
from gateway.routes import RouteTable
from libs.common.runtime.settings import SERVICES
from libs.common.web.openapi import PROBLEM_JSON

Json = dict[str, Any]

NO_ONE = "00000000-0000-4000-8000-000000000000"
SHARED = ("headers", "parameters", "responses", "securitySchemes")
DESCRIPTION = """\
The API of Lectern through its gateway. Lists answer `{count, next, previous, results}`; errors are
problem+json (RFC 9457) with a stable `code`; times are RFC 3339 in UTC. Log in at `/api/accounts/login/`
and send the access token as `Authorization: Bearer …`. The form of a path without the last slash answers the
same, and HEAD answers like GET. In JSON, text has neither NUL nor half of a surrogate pair, integers lie
within ±9007199254740991 (2^53 - 1), other numbers are finite doubles, and nothing is nested more than 64
levels deep: else it is a 422 that names the field. Sockets: `/ws/notifications/`, `/ws/chat/{discussion}/`,
with a ticket from `/api/ws-ticket/`. Events: `/api/asyncapi.json`.
"""


def merged() -> Json:
    """The document of the whole suite."""
    document: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "Lectern",
            "version": "1",
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "this gateway"}],
        "tags": [],
        "paths": {},
        "components": {"schemas": {}},
    }
    for service in SERVICES:
        app = import_module(f"services.{service}.app").make_app()
        _add(document, service, _prefixed(service, app.openapi()))
    document["tags"] = [{"name": name} for name in sorted({t["name"] for t in document["tags"]})]
    _add_refusals(document)
    _add_links(document)
    _add_examples(document)
    return document


def _prefixed(service: str, part: Json) -> Json:
    """`part` with its schemas called `<Service><Name>`; the problem keeps its name."""
    names = {
        name: name if name == "Problem" else _name(service, name) for name in part["components"]["schemas"]
    }
    text = json.dumps(part)
    for old in sorted(names, key=len, reverse=True):
        text = text.replace(f'"#/components/schemas/{old}"', f'"#/components/schemas/{names[old]}"')
    renamed: Json = json.loads(text)
    schemas = renamed["components"]["schemas"]
    renamed["components"]["schemas"] = {names[name]: schema for name, schema in schemas.items()}
    return renamed


def _name(service: str, name: str) -> str:
    words = "".join(word[:1].upper() + word[1:] for word in name.replace("-", "_").split("_") if word)
    return service.capitalize() + words


def _add(document: Json, service: str, part: Json) -> None:
    for path, methods in part["paths"].items():
        if path in document["paths"]:
            raise ValueError(f"{path} is served by two services")
        for operation in methods.values():
            operation["operationId"] = f"{service}_{operation['operationId']}"
            document["tags"] += [{"name": tag} for tag in operation.get("tags", [])]
        document["paths"][path] = methods
    document["components"]["schemas"].update(part["components"]["schemas"])
    for kind in SHARED:
        document["components"].setdefault(kind, {}).update(part["components"].get(kind, {}))


def _add_refusals(document: Json) -> None:
    """The gateway checks a token wherever one is sent, also where none is needed."""
    table = RouteTable()
    for path, methods in document["paths"].items():
        match = table.match(re.sub(r"{\w+}", NO_ONE, path))
        if match is not None and match.route.auth != "ignore":
            for operation in methods.values():
                answers = operation["responses"]
                answers.setdefault("401", {"$ref": "#/components/responses/NotAuthenticated"})
                operation["responses"] = dict(sorted(answers.items()))


def _add_links(document: Json) -> None:
    """From what makes a thing to everything that can be done with it, by path."""
    for path, methods in document["paths"].items():
        answer = methods.get("post", {}).get("responses", {}).get("201")
        if answer is None or "uuid" not in _fields(document, answer):
            continue
        given = re.findall(r"{(\w+)}", path)
        for other, operations in document["paths"].items():
            if (
                not other.startswith(f"{path}{{")
                or len(names := re.findall(r"{(\w+)}", other)) != len(given) + 1
            ):
                continue
            parameters = {name: f"$request.path.{before}" for name, before in zip(names, given, strict=False)}
            parameters[names[-1]] = "$response.body#/uuid"
            for operation in operations.values():
                name = operation["operationId"]
                answer.setdefault("links", {})[name] = {"operationId": name, "parameters": parameters}


def _fields(document: Json, answer: Json) -> Json:
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    fields: Json = document["components"]["schemas"].get(name, {}).get("properties", {})
    return fields


def _add_examples(document: Json) -> None:
    examples = Examples(document["components"]["schemas"])
    for methods in document["paths"].values():
        for operation in methods.values():
            contents = [operation.get("requestBody", {}).get("content", {})]
            contents += [answer.get("content", {}) for answer in operation["responses"].values()]
            for content in contents:
                for kind, media in content.items():
                    if kind != PROBLEM_JSON and "schema" in media and "example" not in media:
                        media["example"] = examples.of(media["schema"])


def rendered() -> str:
    return json.dumps(merged(), indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the file is stale")
    check = parser.parse_args().check
    text = rendered()
    path = Path(str(OPENAPI))
    if check:
        if not path.exists() or path.read_text() != text:
            print(f"{path.name} is stale: run `python -m deploy.openapi`", file=sys.stderr)
            return 1
        return 0
    path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
