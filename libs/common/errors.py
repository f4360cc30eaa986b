"""Named errors and their rendering as problem+json (RFC 9457)."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from psycopg_pool import PoolTimeout
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from libs.common.logs import get_logger
from libs.common.trace import current_trace

log = get_logger(__name__)

_STOPS = re.compile(r"(?<=[.!?…])\.+\Z")


def sentence(text: str) -> str:
    """`text` with exactly one mark at its end: what is put together of other sentences may have more."""
    text = text.rstrip()
    return _STOPS.sub("", text) if text.endswith((".", "!", "?", "…")) else f"{text}."


def of_fields(errors: Sequence[Mapping[str, str]]) -> str:
    """The `detail` of an answer that names fields."""
    first = f"{errors[0]['field']}: {errors[0]['message']}"
    return sentence(first if len(errors) == 1 else f"{len(errors)} fields do not fit; the first is {first}")


class LecternError(Exception):
    """A fact that ends a request. Subclasses set `status`, `code` (stable, snake_case) and `detail`."""

    status = 500
    code = "internal_error"
    detail = "Something went wrong on our side; the request id finds it in the logs."

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.detail = sentence(detail or type(self).detail)
        self.errors = list(errors)
        self.headers = dict(headers or {})
        super().__init__(self.detail)


class BadRequest(LecternError):
    status, code, detail = 400, "bad_request", "The request cannot be understood."


class InvalidFilter(BadRequest):
    code = "invalid_filter"

    def __init__(self, field: str, allowed: Sequence[str]) -> None:
        names = ", ".join(allowed)
        super().__init__(
            f"{field} takes one of: {names}.",
            errors=[{"field": field, "message": f"must be one of: {names}"}],
        )


class InvalidQuery(BadRequest):
    """What is wrong with the parameters of a query."""

    code = "invalid_filter"

    def __init__(self, errors: Sequence[Mapping[str, str]]) -> None:
        super().__init__(of_fields(errors), errors=errors)


class NotAuthenticated(LecternError):
    status, code = 401, "not_authenticated"
    detail = "This call needs a valid access token."

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(LecternError):
    status, code, detail = 403, "forbidden", "You may see this, but not do that."


class NotFound(LecternError):
    status, code, detail = 404, "not_found", "There is nothing here, or nothing that you may see."


class MethodNotAllowed(LecternError):
    status, code, detail = 405, "method_not_allowed", "This method is not served here."

    def __init__(self, allowed: str) -> None:
        super().__init__(headers={"Allow": allowed})


class Conflict(LecternError):
    status, code, detail = 409, "conflict", "The present state does not allow this."


class PreconditionFailed(LecternError):
    status, code = 412, "precondition_failed"
    detail = "Somebody else has changed it meanwhile: what you started from is no longer the newest version."


class PayloadTooLarge(LecternError):
    status, code, detail = 413, "payload_too_large", "The body is larger than this call allows."


class Unprocessable(LecternError):
    status, code, detail = 422, "invalid_input", "The input does not fit."

    @classmethod
    def field(cls, field: str, message: str) -> "Unprocessable":
        """An error of one field, told in the same words as `detail`."""
        errors = [{"field": field, "message": message}]
        return cls(of_fields(errors), errors=errors)


class InvalidInput(Unprocessable):
    """All that is wrong with the fields of a body, told at once."""

    def __init__(self, errors: Sequence[Mapping[str, str]]) -> None:
        super().__init__(of_fields(errors), errors=errors)


class FileTypeRefused(Unprocessable):
    code = "file_type_refused"

    def __init__(self, detail: str) -> None:
        super().__init__(f"file: {detail}", errors=[{"field": "file", "message": detail}])


class TooManyRequests(LecternError):
    status, code = 429, "rate_limited"
    detail = "That was too much in a short time. It works again in a moment."


class ServiceUnavailable(LecternError):
    status, code = 503, "service_unavailable"
    detail = "A part that this call needs is away at the moment; try again shortly."

    def __init__(self, detail: str | None = None, *, retry_after: int = 2) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


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


def is_transient(error: BaseException) -> bool:
    """Whether infrastructure failed, so that the same work may succeed when repeated unchanged."""
    if isinstance(error, (OSError, TimeoutError, PoolTimeout, PoolExhausted, InterfaceError)):
        return True
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        gone = isinstance(error, OperationalError) or error.connection_invalidated
    elif isinstance(error, psycopg.Error):  # of a hot path, below SQLAlchemy
        state = error.sqlstate
        gone = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    else:
        return False
    if state is None:
        return gone
    # connection, resources (disk full too), operator intervention, lock and serialisation failures
    return state[:2] in {"08", "53", "57", "58", "40", "55"} or state in {"25P03", "25006"}


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
