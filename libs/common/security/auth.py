"""Who calls: named types for signatures, so that a route says who may use it.

`CurrentUser` refuses without a valid token (401); `Teacher`, `Moderator`, `Manager` and `Admin` refuse lower
roles (403). What depends on the object (owner, instructor, enrolled) is decided by the service's `access.py`.
"""

from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from libs.common.runtime.errors import Forbidden, NotAuthenticated
from libs.common.runtime.roles import ROLES, rank
from libs.common.security.revocation import RevocationList
from libs.common.security.tokens import InvalidToken, Principal, TokenVerifier

SCHEME = "accessToken"
OPTIONAL_SCHEME = "optionalAccessToken"


def at_least(principal: Principal | None, role: str) -> bool:
    return principal is not None and rank(principal.role) >= rank(role)


def is_staff(principal: Principal | None) -> bool:
    """Moderators, managers and admins."""
    return at_least(principal, "moderator")


async def check_token(request: Request) -> Principal | None:
    """The caller, or None without an Authorization header. Raises NotAuthenticated for a bad token.

    Whoever asks first in a request decides for it: the answer is kept in the scope."""
    known: Principal | None = request.scope.get("lectern.principal")
    if known is not None:
        return known
    header = request.headers.get("authorization")
    if header is None:
        return None
    kind, _, token = header.partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("What was sent is no access token.")
    verifier: TokenVerifier = request.app.state.verifier
    revocations: RevocationList = request.app.state.revocations
    try:
        principal = await verifier.verify_fetching(token.strip())
    except InvalidToken as error:
        raise NotAuthenticated("The access token is not valid, or no longer.") from error
    if revocations.is_revoked(principal):
        raise NotAuthenticated("The session of this access token has ended.")
    request.scope["lectern.principal"] = principal
    return principal


class AccessToken(SecurityBase):
    """The dependency behind the named types, and what the OpenAPI document says of it.

    `role` is the least role; None lets anonymous calls through.
    """

    def __init__(self, role: str | None) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description="The access token that a login answers.")
        self.scheme_name = OPTIONAL_SCHEME if role is None else SCHEME
        self.role = role

    async def __call__(self, request: Request) -> Principal | None:
        principal = await check_token(request)
        if self.role is None:
            return principal
        if principal is None:
            raise NotAuthenticated
        if not at_least(principal, self.role):
            raise Forbidden(f"This call is for {self.role}s and above.")
        return principal


def _least(role: str) -> Any:
    return Security(AccessToken(role), scopes=[] if role == ROLES[0] else [role])


OptionalUser = Annotated[Principal | None, Depends(AccessToken(None))]
CurrentUser = Annotated[Principal, _least("student")]
Teacher = Annotated[Principal, _least("teacher")]
Moderator = Annotated[Principal, _least("moderator")]
Manager = Annotated[Principal, _least("manager")]
Admin = Annotated[Principal, _least("admin")]
