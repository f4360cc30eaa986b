"""What a service's OpenAPI document says beyond its routes: error answers, conditional requests, headers.

They follow from the conventions that every route keeps, so they are derived here and not repeated at each
route. A route adds errors of its own with `responses=raises(CourseFull)`.
"""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from libs.common.runtime.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    LecternError,
    NotAuthenticated,
    NotFound,
    PayloadTooLarge,
    PreconditionFailed,
    ServiceUnavailable,
    TooManyRequests,
    Unprocessable,
)
from libs.common.security.auth import OPTIONAL_SCHEME, SCHEME

Json = dict[str, Any]

PLAIN_TEXT: Json = {"type": "string", "contentMediaType": "text/plain"}
IDENTIFIER: Json = {"type": "string", "format": "identifier"}
PROBLEM: Json = {
    "type": "object",
    "title": "Problem",
    "description": "An error (RFC 9457). `code` is stable; `detail` is one sentence for people.",
    "required": ["type", "title", "status", "code", "detail", "errors", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": PLAIN_TEXT,
        "status": {"type": "integer"},
        "code": IDENTIFIER,
        "detail": PLAIN_TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": IDENTIFIER, "message": PLAIN_TEXT},
            },
        },
        "request_id": IDENTIFIER,
    },
}

HEADERS: Json = {
    "X-Request-ID": {"description": "Finds this request in the logs.", "schema": {"type": "string"}},
    "ETag": {"description": "The version that was read or written.", "schema": {"type": "string"}},
    "Consistency-Token": {
        "description": "Send it back as it came, with a read of the same person that must see this write.",
        "schema": {"type": "string"},
    },
}


def _header(name: str, description: str) -> Json:
    return {
        "name": name, "in": "header", "required": False, "description": description,
        "schema": {"type": "string"},
    }  # fmt: skip


PARAMETERS: Json = {
    "IdempotencyKey": _header(
        "Idempotency-Key",
        "The same key and body get the same answer for 24 hours; another body is a 422."
        " Without effect where the body, an upload, has more than 1 MB.",
    ),
    "IfMatch": _header("If-Match", "The ETag that the change starts from; 412 when it is not the newest."),
    "IfNoneMatch": _header("If-None-Match", "The ETag that is known already; 304 when it is still right."),
}

COMMON: tuple[type[LecternError], ...] = (
    BadRequest, NotAuthenticated, Forbidden, NotFound, Conflict, PreconditionFailed, PayloadTooLarge,
    Unprocessable, TooManyRequests, ServiceUnavailable,
)  # fmt: skip
WRITES = ("post", "put", "patch", "delete")
PROBLEM_JSON = "application/problem+json"


def raises(*errors: type[LecternError]) -> dict[int | str, Json]:
    """`responses=` of a route that may answer these errors beside the common ones of their status."""
    found: dict[int | str, Json] = {}
    for error in (*errors, *COMMON):
        if any(error.status == own.status for own in errors):
            answer = found.setdefault(error.status, _answer(error))
            answer["content"][PROBLEM_JSON]["examples"].update(_example(error))
    return found


def _answer(error: type[LecternError]) -> Json:
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": _example(error)}
    return {"description": HTTPStatus(error.status).phrase, "content": {PROBLEM_JSON: content}}


def _example(error: type[LecternError]) -> Json:
    value = {
        "type": f"urn:lectern:problem:{error.code}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "errors": [],
        "request_id": "01990f5e8c7b4d1a9e3f2b6a7c8d9e0f",
    }
    return {error.code: {"value": value}}


def document(app: FastAPI) -> Json:
    """The OpenAPI 3.1 document of one service."""
    described = get_openapi(
        title=app.title, version=app.version, openapi_version=app.openapi_version, routes=app.routes
    )
    components = described.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = PROBLEM
    components["headers"] = HEADERS
    components["parameters"] = PARAMETERS
    components["responses"] = {error.__name__: _answer(error) for error in COMMON}
    components.get("securitySchemes", {}).pop(OPTIONAL_SCHEME, None)
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            _describe(path, method, operation)
            if method == "patch":
                _drop_defaults(operation, schemas)
    return described


def _drop_defaults(operation: Json, schemas: Json) -> None:
    """A field that a PATCH leaves out stays as it is: it has no default."""
    for media in operation.get("requestBody", {}).get("content", {}).values():
        body = schemas.get(media["schema"].get("$ref", "").rpartition("/")[2], {})
        for field in body.get("properties", {}).values():
            field.pop("default", None)


def _describe(path: str, method: str, operation: Json) -> None:
    if {OPTIONAL_SCHEME: []} in operation.get("security", []):
        operation["security"] = [{}, {SCHEME: []}]
    security = bool(operation.get("security"))
    write = method in WRITES
    changes = method in ("put", "patch", "delete")
    read = method == "get" and "application/json" in operation["responses"].get("200", {}).get("content", {})
    tagged = read or (method in ("put", "patch") and path.rstrip("/").endswith("}"))
    possible: dict[type[LecternError], bool] = {
        BadRequest: True, NotAuthenticated: security, Forbidden: security, NotFound: write or "{" in path,
        Conflict: write, PreconditionFailed: changes, PayloadTooLarge: write, Unprocessable: write,
        TooManyRequests: True, ServiceUnavailable: True,
    }  # fmt: skip
    answers = operation["responses"]
    if "application/json" in answers.get("422", {}).get("content", {}):  # what FastAPI adds by itself
        del answers["422"]
    for status, answer in answers.items():
        if status.startswith("2"):
            names = ["X-Request-ID", *(["ETag"] if tagged else []), *(["Consistency-Token"] if write else [])]
            answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    for error, is_possible in possible.items():
        if is_possible:
            answers.setdefault(str(error.status), {"$ref": f"#/components/responses/{error.__name__}"})
    if read:
        answers["304"] = {"description": "What `If-None-Match` names is still right."}
    operation["responses"] = dict(sorted(answers.items()))
    wanted = {
        "IdempotencyKey": write and security,
        "IfMatch": changes,
        "IfNoneMatch": read,
    }
    headers = [{"$ref": f"#/components/parameters/{name}"} for name, true in wanted.items() if true]
    if headers:
        operation.setdefault("parameters", []).extend(headers)
