"""Who calls: named types for signatures, so that a route says who may use it.

`CurrentUser` refuses without a valid token (401); `Teacher`, `Moderator`, `Manager` and `Admin` refuse lower
roles (403). What depends on the object (owner, instructor, enrolled) is decided by the service's `access.py`.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from libs.common.errors import Forbidden, NotAuthenticated
from libs.common.revocation import RevocationList
from libs.common.tokens import ROLES, InvalidToken, Principal, TokenVerifier


def rank(role: str) -> int:
    """Place of a role: student < teacher < moderator < manager < admin."""
    return ROLES.index(role)


def at_least(principal: Principal | None, role: str) -> bool:
    return principal is not None and rank(principal.role) >= rank(role)


def is_staff(principal: Principal | None) -> bool:
    """Moderators, managers and admins."""
    return at_least(principal, "moderator")


async def check_token(request: Request) -> Principal | None:
    """The caller, or None without an Authorization header. Raises NotAuthenticated for a bad token."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    kind, _, token = header.partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("The Authorization header takes `Bearer` and an access token.")
    verifier: TokenVerifier = request.app.state.verifier
    revocations: RevocationList = request.app.state.revocations
    try:
        principal = await verifier.verify_fetching(token.strip())
    except InvalidToken as error:
        raise NotAuthenticated("The access token is not valid, or no longer.") from error
    if revocations.is_revoked(principal):
        raise NotAuthenticated("The session of this access token has ended.")
    return principal


async def optional_user(request: Request) -> Principal | None:
    return await check_token(request)


async def current_user(request: Request) -> Principal:
    principal = await check_token(request)
    if principal is None:
        raise NotAuthenticated
    return principal


def requires(role: str) -> Callable[[Request], Awaitable[Principal]]:
    async def dependency(request: Request) -> Principal:
        principal = await current_user(request)
        if rank(principal.role) < rank(role):
            raise Forbidden(f"This call is for {role}s and above.")
        return principal

    return dependency


OptionalUser = Annotated[Principal | None, Depends(optional_user)]
CurrentUser = Annotated[Principal, Depends(current_user)]
Teacher = Annotated[Principal, Depends(requires("teacher"))]
Moderator = Annotated[Principal, Depends(requires("moderator"))]
Manager = Annotated[Principal, Depends(requires("manager"))]
Admin = Annotated[Principal, Depends(requires("admin"))]
