"""Events of identity: who there is, what they may do, which sessions live.

A user's change of access is two facts at two versions: what happened (`role_changed`, `user_disabled`,
`password_changed` by a reset) and, at the next version, `access_changed`, which kills older tokens. The
gateway and the services tail `identity.events` and read only `session_ended` and `access_changed`. Erasure
records `access_changed` first and `user_erased` last, so that the tombstone is the last word on
`identity.users`. A change of the password by its owner ends the other sessions one by one and keeps
the calling one: no `access_changed`.
"""

from typing import Literal
from uuid import UUID

from libs.common.events.base import Event, State
from libs.common.events.fields import Count, Instant
from libs.common.events.privacy import PrivacyFact, Sha256
from libs.common.runtime.roles import Role


class UserRegistered(Event):
    """Trigger: an account is made, by whoever registers its address first or by `lectern admin create`.
    Key: user. Consumers: analytics."""

    type = "identity.user_registered.v1"
    topic = "identity.events"
    key_field = "user"

    user: UUID
    role: Role


class EmailVerified(Event):
    """Trigger: the owner proves the address, with a mailed code or by an operator's word; what the state says
    of the person is new from here on. Key: user. Consumers: analytics."""

    type = "identity.email_verified.v1"
    topic = "identity.events"
    key_field = "user"

    user: UUID


class ProfileUpdated(Event):
    """Trigger: a user's name, avatar or profile changes; `changed` names the fields, never their values.
    Key: user. Consumers: analytics."""

    type = "identity.profile_updated.v1"
    topic = "identity.events"
    key_field = "user"

    user: UUID
    changed: tuple[str, ...]


class RoleChanged(Event):
    """Trigger: a manager or admin gives a user another role; `access_changed` follows. Key: user.
    Consumers: analytics."""

    type = "identity.role_changed.v1"
    topic = "identity.events"
    key_field = "user"

    user: UUID
    role: Role
    previous: Role
    actor: UUID | None


class UserDisabled(Event):
    """Trigger: a manager or admin locks a user out; `access_changed` follows. Key: user.
    Consumers: analytics."""

    type = "identity.user_disabled.v1"
    topic = "identity.events"
    key_field = "user"

    user: UUID
    actor: UUID | None


class UserEnabled(Event):
    """Trigger: a manager or admin lets a disabled user in again. Key: user. Consumers: analytics."""

    type = "identity.user_enabled.v1"
    topic = "identity.events"
    key_field = "user"

    user: UUID
    actor: UUID | None


class PasswordChanged(Event):
    """Trigger: a password is changed by its owner, or reset by mailed code (`access_changed` follows a
    reset). Key: user. Consumers: analytics."""

    type = "identity.password_changed.v1"
    topic = "identity.events"
    key_field = "user"

    user: UUID
    by_reset: bool


class AccessChanged(Event):
    """Trigger: what a user may do has shrunk or changed: every token of theirs whose claim `ver` is below
    `ver`, the user's version at this fact, is dead. Key: user. Consumers: gateway, analytics, catalog,
    forum, identity, learning, notify, support."""

    type = "identity.access_changed.v1"
    topic = "identity.events"
    key_field = "user"

    user: UUID
    ver: Count
    reason: Literal["role_changed", "disabled", "password_changed", "erased"]


class UserErased(Event):
    """Trigger: a person is erased; the tombstone on `identity.users` has the same version. Key: user.
    Consumers: analytics."""

    type = "identity.user_erased.v1"
    topic = "identity.events"
    key_field = "user"

    user: UUID


class SessionStarted(Event):
    """Trigger: a user logs in, or verifies their address and so is logged in. Key: session.
    Consumers: analytics."""

    type = "identity.session_started.v1"
    topic = "identity.events"
    key_field = "session"

    session: UUID
    user: UUID


class SessionEnded(Event):
    """Trigger: a session ends for whatever reason: its tokens are dead, its sockets close. Key: session.
    Consumers: gateway, analytics, catalog, forum, identity, learning, notify, support."""

    type = "identity.session_ended.v1"
    topic = "identity.events"
    key_field = "session"

    session: UUID
    user: UUID
    reason: Literal[
        "logout", "logout_all", "revoked", "refresh_reused", "expired", "password_changed", "role_changed",
        "disabled", "erased",
    ]  # fmt: skip


class ExportRequested(PrivacyFact):
    """Trigger: a person asks for a copy of all their data: every service packs its part. Key: job.
    Consumers: analytics, catalog, forum, learning, notify, support."""

    type = "identity.export_requested.v1"
    topic = "identity.privacy.events"


class ExportFinished(PrivacyFact):
    """Trigger: all parts of an export are in one archive, which can be downloaded for seven days. Key: job.
    Consumers: analytics."""

    type = "identity.export_finished.v1"
    topic = "identity.privacy.events"

    sha256: Sha256
    bytes: Count


class ExportFailed(PrivacyFact):
    """Trigger: an export is given up, because of a part or of the time; `reason` is a stable code. Key: job.
    Consumers: analytics."""

    type = "identity.export_failed.v1"
    topic = "identity.privacy.events"

    reason: str


class ExportCancelled(PrivacyFact):
    """Trigger: an export is cancelled by its owner, or because its owner is erased. Key: job.
    Consumers: analytics."""

    type = "identity.export_cancelled.v1"
    topic = "identity.privacy.events"

    actor: UUID


class ErasureRequested(PrivacyFact):
    """Trigger: a person's account is erased, `user_version` is the version of its tombstone on
    `identity.users`: every service erases what it holds once it has both. Key: job.
    Consumers: analytics, catalog, forum, learning, notify, support."""

    type = "identity.erasure_requested.v1"
    topic = "identity.privacy.events"

    user_version: Count
    actor: UUID


class ErasureFinished(PrivacyFact):
    """Trigger: the last service has acknowledged an erasure; `rows` is the sum over all. Key: job.
    Consumers: analytics."""

    type = "identity.erasure_finished.v1"
    topic = "identity.privacy.events"

    rows: Count


class UserState(State):
    """Trigger: every version of a user; a tombstone erases the person everywhere. The only topic with
    personal data. Key: uuid. Consumers: analytics, catalog, forum, learning, notify, support."""

    type = "identity.user.v1"
    topic = "identity.users"
    key_field = "uuid"

    uuid: UUID
    email: str
    first_name: str
    last_name: str
    full_name: str
    role: Role
    is_active: bool
    is_verified: bool
    avatar: str | None
    bio: str
    locale: str
    time_zone: str
    date_joined: Instant
