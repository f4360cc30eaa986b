"""Reads of identity that are used twice, and how its rows look to clients."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record, record_tombstone
from libs.common.events.identity import UserState
from libs.common.web import etags
from services.identity.models import Session, User
from services.identity.rules import ROLE_NAMES, is_staff
from services.identity.schemas import ProfileRead


async def user_by_email(session: AsyncSession, email: str, *, lock: bool = False) -> User | None:
    query = select(User).where(User.email == email, User.erased_at.is_(None))
    return (await session.scalars(query.with_for_update(key_share=True) if lock else query)).one_or_none()


def live_sessions(user: UUID) -> Select[Any]:
    return (
        select(Session)
        .where(Session.user_uuid == user, Session.ended_at.is_(None), Session.expires_at > func.now())
        .order_by(Session.last_seen.desc())
    )


STATUSES = ("active", "disabled", "unverified")


def find_users(
    search: str | None,
    role: str | None,
    status: str | None = None,
    is_active: bool | None = None,
    verified: bool | None = None,
) -> Select[Any]:
    """Accounts by name or address, role and status: disabled, else unverified, else active."""
    query = select(User).where(User.erased_at.is_(None))
    if search:
        name = func.concat(User.first_name, " ", User.last_name)
        query = query.where(
            or_(User.email.icontains(search, autoescape=True), name.icontains(search, autoescape=True))
        )
    if role:
        query = query.where(User.role == role)
    if status == "disabled":
        query = query.where(~User.is_active)
    elif status is not None:
        query = query.where(User.is_active, User.is_verified == (status == "active"))
    if is_active is not None:
        query = query.where(User.is_active == is_active)
    if verified is not None:
        query = query.where(User.is_verified == verified)
    return query


def user_answer(user: User) -> dict[str, Any]:
    """The full user, as its owner and managers see it."""
    return {
        "uuid": user.uuid,
        "id": user.uuid,
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "full_name": user.full_name,
        "role": user.role,
        "role_display": ROLE_NAMES[user.role],
        "is_staff": is_staff(user.role),
        "is_verified": user.is_verified,
        "is_active": user.is_active,
        "mfa_enabled": user.mfa_enabled,
        "avatar": user.avatar,
        "phone_number": user.phone_number,
        "date_of_birth": user.date_of_birth,
        "date_joined": user.date_joined,
        "last_login": user.last_login,
        "profile": ProfileRead(
            **user.profile,
            courses_completed=user.courses_completed,
            total_study_hours=round(user.study_seconds / 3600, 2),
            points_earned=user.points,
        ),
    }


def user_tag(user: User, *, full: bool = True) -> str:
    """The entity tag of a user's answer: the version, and what changes without one."""
    learnt = (user.courses_completed, user.study_seconds, user.points) if full else ()
    return etags.etag(user.version, full, user.last_login, *learnt)


def card_answer(user: User) -> dict[str, Any]:
    return {
        "uuid": user.uuid,
        "id": user.uuid,
        "full_name": user.full_name,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "avatar": user.avatar,
        "bio": user.profile.get("bio", ""),
        "role": user.role,
        "role_display": ROLE_NAMES[user.role],
    }


def user_state(user: User) -> UserState:
    """The whole user as it goes to `identity.users`."""
    return UserState(
        uuid=user.uuid,
        email=user.email,
        first_name=user.first_name,
        last_name=user.last_name,
        full_name=user.full_name,
        role=user.role,
        is_active=user.is_active,
        is_verified=user.is_verified,
        avatar=user.avatar,
        bio=user.profile.get("bio", ""),
        locale=user.profile.get("preferred_language") or "en",
        time_zone=user.profile.get("time_zone") or "UTC",
        date_joined=user.date_joined,
    )


async def publish_state(session: AsyncSession, user: User) -> None:
    """Tell the state of a user, whose row the caller has locked, as it is; an erased one is not there."""
    if user.erased_at is None:
        record(session, user_state(user), user.version)
    else:
        record_tombstone(session, UserState, user.uuid, user.version)
