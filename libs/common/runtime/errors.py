"""What may go wrong, by name; libs/common/web/problems.py says it to clients."""

import re
from collections.abc import Mapping, Sequence

import psycopg
from psycopg_pool import PoolTimeout
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted

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
