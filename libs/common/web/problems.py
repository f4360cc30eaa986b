"""Every error as problem+json (RFC 9457), with a stable `code` and the request id."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from psycopg_pool import PoolTimeout
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from libs.common.runtime.errors import (
    BadRequest,
    LecternError,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    ServiceUnavailable,
    is_transient,
    of_fields,
    sentence,
)
from libs.common.runtime.logs import get_logger
from libs.common.runtime.trace import current_trace

log = get_logger(__name__)


def problem(
    status: int,
    code: str,
    detail: str,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem+json answer that carries the request id."""
    body = {
        "type": f"urn:lectern:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": sentence(detail),
        "errors": list(errors),
        "request_id": current_trace().request_id,
    }
    return Response(orjson.dumps(body), status, dict(headers or {}), "application/problem+json")


def _message(error: Mapping[str, Any]) -> str:
    limit = {"too_short": "at least", "too_long": "at most"}.get(error["type"])
    if limit and isinstance(error.get("input"), str):  # of which pydantic says "items"
        length = error["ctx"].get("min_length") or error["ctx"]["max_length"]
        return f"string should have {limit} {length} character{'s' * (length != 1)}"
    text = str(error["msg"])
    text = text.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return text[:1].lower() + text[1:]


def _field(location: Sequence[Any]) -> str:
    parts = [str(part) for part in location]
    if parts and parts[0] in ("body", "query", "path", "header", "cookie"):
        parts = parts[1:]
    return ".".join(parts) or "body"


def validation_problem(failures: Sequence[Mapping[str, Any]]) -> Response:
    """422 that names each field; 400 for malformed JSON and unknown filter values; 404 for a malformed id."""
    for failure in failures:
        if failure["type"] == "json_invalid":
            return problem(400, "malformed_json", "The body is not valid JSON.")
    if any(failure["loc"][:1] == ("path",) for failure in failures):
        return problem(404, NotFound.code, NotFound.detail)
    errors = [{"field": _field(f["loc"]), "message": _message(f)} for f in failures]
    detail = of_fields(errors)
    if all(failure["loc"][:1] == ("query",) for failure in failures):
        return problem(400, "invalid_filter", detail, errors)
    # A check of one field may have a code of its own; that of several faults is the common one.
    codes = {(failure.get("ctx") or {}).get("code") for failure in failures}
    [code] = codes if len(codes) == 1 else [None]
    return problem(422, code or "invalid_input", detail, errors)


def _unreadable(error: HTTPException) -> Response:
    """400 that says what is wrong with a request; most often it is a body that the framework cannot read."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, MultiPartException):
        fault = cause.message.rstrip(".").replace(". Maximum", "; maximum")
        return problem(400, "malformed_body", f"The form cannot be read: {fault[:1].lower()}{fault[1:]}.")
    if isinstance(cause, UnicodeDecodeError):
        return problem(400, "malformed_body", "The body is not valid UTF-8.")
    if cause is not None:
        return problem(400, "malformed_body", "The body cannot be read.")
    return problem(400, BadRequest.code, BadRequest.detail)


def _database_problem(error: DBAPIError | psycopg.Error) -> Response:
    """An error of the database, whether it came through SQLAlchemy or from a hot path below."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    if is_transient(error):
        log.warning("database_away", error=(str(origin).splitlines() or [repr(origin)])[0])
        return _unavailable()
    if isinstance(error, (IntegrityError, psycopg.IntegrityError)):
        constraint = getattr(getattr(origin, "diag", None), "constraint_name", None)
        log.warning("constraint_violated", constraint=constraint)
        return problem(409, "conflict", "Another change got there first, or the references do not fit.")
    state = getattr(origin, "sqlstate", "") or ""
    # Data that PostgreSQL cannot hold, such as NUL or a number out of range.
    if state.startswith("22") or isinstance(error, (DataError, psycopg.DataError)):
        return problem(422, "invalid_input", "A value cannot be stored: it is out of range or malformed.")
    log.error("database_error", exc_info=error)
    return problem(500, LecternError.code, LecternError.detail)


def render(error: Exception) -> Response:
    """The answer to any error; one of a defect of ours is logged with its traceback."""
    if isinstance(error, LecternError):
        return problem(error.status, error.code, error.detail, error.errors, error.headers)
    if isinstance(error, (DBAPIError, psycopg.Error)):
        return _database_problem(error)
    if is_transient(error):
        log.warning("dependency_away", error=repr(error)[:300])
        return _unavailable()
    log.error("unexpected_error", exc_info=error)
    return problem(500, LecternError.code, LecternError.detail)


def install_error_handlers(app: FastAPI) -> None:
    """Render every error as problem+json; nothing that a client sends may become a 500."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return validation_problem(error.errors())

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        if error.status_code == 400:
            return _unreadable(error)
        if error.status_code == 405:
            allowed = ", ".join(app.state.routes.allowed(request.scope))
            return render(MethodNotAllowed(allowed or (error.headers or {}).get("Allow", "")))
        codes = {404: NotFound, 413: PayloadTooLarge}
        known = codes.get(error.status_code)
        if known:
            return problem(known.status, known.code, known.detail)
        phrase = HTTPStatus(error.status_code).phrase
        code = phrase.lower().replace(" ", "_").replace("-", "_")
        return problem(error.status_code, code, f"{phrase}.", headers=error.headers)

    for kind in (LecternError, DBAPIError, psycopg.Error, PoolExhausted, PoolTimeout, OSError, TimeoutError):

        @app.exception_handler(kind)
        async def known(_: Request, error: Exception) -> Response:
            return render(error)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        return render(error)


def _unavailable() -> Response:
    error = ServiceUnavailable()
    return problem(error.status, error.code, error.detail, headers=error.headers)
