"""Tables of identity."""

from datetime import date, datetime
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import CITEXT, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from libs.common.data.tables import TYPES, Aggregate, Timestamps, service_metadata
from libs.common.runtime.roles import Role


class Base(DeclarativeBase):
    metadata = service_metadata()
    type_annotation_map = TYPES


class User(Aggregate, Timestamps, Base):
    """An account: registered → verified; active ⇄ disabled; erased at last (row kept, person gone).

    Until its address is verified it is a place kept for whoever proves it: what stands here is what the first
    registration said (the password: the last one kept), and what the verified one said replaces all of it.
    The address is unique without regard to case. A token whose `ver` is below the version of the user's last
    change of access is dead. `profile` holds the fields of `rules.PROFILE_FIELDS`. The numbers of what was
    learnt (the last three) are sums over `enrollments` and change without a version.
    """

    __tablename__ = "users"
    __topics__ = ("identity.events", "identity.users")

    email: Mapped[str] = mapped_column(CITEXT(), unique=True)
    password_hash: Mapped[str]
    first_name: Mapped[str]
    last_name: Mapped[str]
    role: Mapped[Role] = mapped_column(Text())
    is_active: Mapped[bool] = mapped_column(default=True)
    is_verified: Mapped[bool] = mapped_column(default=False)
    mfa_enabled: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    avatar: Mapped[str | None]
    phone_number: Mapped[str] = mapped_column(default="")
    date_of_birth: Mapped[date | None]
    profile: Mapped[dict[str, str]] = mapped_column(JSONB, default=dict)
    date_joined: Mapped[datetime] = mapped_column(server_default=func.now())
    last_login: Mapped[datetime | None]
    erased_at: Mapped[datetime | None]
    courses_completed: Mapped[int] = mapped_column(default=0, server_default="0")
    study_seconds: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    points: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")

    __table_args__ = (
        CheckConstraint("role IN ('student', 'teacher', 'moderator', 'manager', 'admin')", name="role"),
        Index(None, "date_joined", "uuid"),
    )

    @property
    def full_name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


class Session(Aggregate, Base):
    """A login on one device: started → ended, or outlived. Its refresh tokens form one family."""

    __tablename__ = "sessions"
    __topics__ = ("identity.events",)

    user_uuid: Mapped[UUID] = mapped_column(ForeignKey("users.uuid"), index=True)
    salt: Mapped[bytes] = mapped_column(LargeBinary)
    device: Mapped[str] = mapped_column(default="")
    ip: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_seen: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None]

    __table_args__ = (
        Index("ix_sessions_expires_at_live", "expires_at", postgresql_where=text("ended_at IS NULL")),
    )


class RefreshToken(Base):
    """One refresh token, by its SHA-256. `retired_at` is set when its successor is first used."""

    __tablename__ = "refresh_tokens"

    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    session_uuid: Mapped[UUID] = mapped_column(ForeignKey("sessions.uuid"), index=True)
    predecessor: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    retired_at: Mapped[datetime | None]


class Registration(Base):
    """What somebody who registered said of themselves: becomes the account when its code is entered.

    All of an account's go when one of them is verified, or the address is proved in another way; those that
    nobody verifies are forgotten after a month. Only one whose code is mailed is kept.
    """

    __tablename__ = "registrations"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_uuid: Mapped[UUID] = mapped_column(ForeignKey("users.uuid"), index=True)
    password_hash: Mapped[str]
    first_name: Mapped[str]
    last_name: Mapped[str]
    role: Mapped[Role] = mapped_column(Text())
    phone_number: Mapped[str] = mapped_column(default="")
    date_of_birth: Mapped[date | None]
    ip: Mapped[str] = mapped_column(default="")
    device: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(index=True)

    __table_args__ = (CheckConstraint("role IN ('student', 'teacher')", name="role"),)


class CodeMail(Base):
    """A mail that carries a code, or tells the owner what happened: pending → sent, or failed.

    The task that sends makes the code, so that neither this row nor an event ever holds it; the row keeps its
    HMAC. A code is used at most once; `tries` is counted in transactions of their own, before the code is
    looked at. A code to verify belongs to one registration. A code that has died has no HMAC any more.
    """

    __tablename__ = "code_mails"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_uuid: Mapped[UUID] = mapped_column(ForeignKey("users.uuid"), index=True)
    registration: Mapped[UUID | None] = mapped_column(
        ForeignKey("registrations.uuid", ondelete="SET NULL"), index=True
    )
    purpose: Mapped[str]
    status: Mapped[str] = mapped_column(default="pending")
    code_hmac: Mapped[bytes | None] = mapped_column(LargeBinary)
    tries: Mapped[int] = mapped_column(SmallInteger, default=0)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    sent_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    request_id: Mapped[str]
    traceparent: Mapped[str]

    __table_args__ = (
        CheckConstraint(
            "purpose IN ('verify', 'reset', 'known_address', 'password_changed', 'mfa_enabled',"
            " 'mfa_disabled', 'recovery_codes_renewed')",
            name="purpose",
        ),
        CheckConstraint("status IN ('pending', 'sending', 'sent', 'failed')", name="status"),
        Index(
            "ix_code_mails_waiting", "created_at", postgresql_where=text("status IN ('pending', 'sending')")
        ),
        Index(None, "user_uuid", "purpose", "created_at"),
    )


class CodeTry(Base):
    """A try at a code: wrong until it is taken back. Those of one purpose are limited per hour."""

    __tablename__ = "code_tries"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_uuid: Mapped[UUID] = mapped_column(ForeignKey("users.uuid"))
    purpose: Mapped[str]
    tried_at: Mapped[datetime]

    __table_args__ = (Index(None, "user_uuid", "purpose", "tried_at"),)


class Throttle(Base):
    """Failed tries of one account from one place; see `throttle.py`. Forgotten when long past.

    `account` is an HMAC, so that unknown addresses are counted like known ones and stand nowhere.
    """

    __tablename__ = "throttles"

    account: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    place: Mapped[str] = mapped_column(primary_key=True)
    failures: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(index=True)


class TotpSecret(Base):
    """The secret of an authenticator, encrypted: enrolled → confirmed (`users.mfa_enabled`) → deleted.

    `last_step` is the newest time step whose code was used: that one and older ones are dead.
    """

    __tablename__ = "totp_secrets"

    user_uuid: Mapped[UUID] = mapped_column(ForeignKey("users.uuid"), primary_key=True)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    last_step: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class RecoveryCode(Base):
    """One of the codes that stand in for a lost authenticator, as HMAC; deleted when used or renewed."""

    __tablename__ = "recovery_codes"

    user_uuid: Mapped[UUID] = mapped_column(ForeignKey("users.uuid"), primary_key=True)
    code_hmac: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)


class AvatarFile(Base):
    """A picture, written down before it is stored; deleted once it is no user's `avatar` any more."""

    __tablename__ = "avatar_files"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_uuid: Mapped[UUID] = mapped_column(ForeignKey("users.uuid"), index=True)
    url: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(index=True)


class TokenKey(Base):
    """A key that signs access tokens: published → signing from `signs_from` → retired, private half wiped.

    The private half is encrypted with the suite's secret.
    """

    __tablename__ = "token_keys"

    kid: Mapped[str] = mapped_column(Text, primary_key=True)
    private_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    public_jwk: Mapped[dict[str, str]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    signs_from: Mapped[datetime]
    retired_at: Mapped[datetime | None]


class Activity(Base):
    """What happened to an account, for its owner's eyes: append-only."""

    __tablename__ = "activities"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_uuid: Mapped[UUID] = mapped_column(ForeignKey("users.uuid"))
    kind: Mapped[str]
    ip: Mapped[str] = mapped_column(default="")
    device: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "user_uuid", "created_at", "uuid"),)


class Enrollment(Base):
    """Replica of learning.enrollments: what somebody has learnt in one course."""

    __tablename__ = "enrollments"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    student: Mapped[UUID] = mapped_column(index=True)
    is_completed: Mapped[bool]
    study_seconds: Mapped[int]
    points: Mapped[int]


class PrivacyJob(Aggregate, Base):
    """Somebody's export or erasure: open → done, failed or cancelled (the last two: an export only).

    An export has version 1 from its request on. An erasure has version 0 until the account is anonymised and
    the other services are asked, and never ends otherwise than done: its parts are the proof that is kept.
    `progress` is the share of the archive at `object` that is written, in percent. `cleared_at` is when the
    exchanged parts were last deleted, after the end. One open job of a kind per user.
    """

    __tablename__ = "privacy_jobs"
    __topics__ = ("identity.privacy.events",)

    user_uuid: Mapped[UUID] = mapped_column(ForeignKey("users.uuid"))
    actor: Mapped[UUID]
    kind: Mapped[str]
    status: Mapped[str] = mapped_column(default="open")
    error: Mapped[str | None]
    farewell: Mapped[str | None]
    progress: Mapped[int] = mapped_column(SmallInteger, default=0)
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    tried_at: Mapped[datetime | None]
    object: Mapped[str | None]
    size: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    cleared_at: Mapped[datetime | None]
    request_id: Mapped[str]
    traceparent: Mapped[str]

    __table_args__ = (
        CheckConstraint("kind IN ('export', 'erasure')", name="kind"),
        CheckConstraint("status IN ('open', 'done', 'failed', 'cancelled')", name="status"),
        CheckConstraint("kind = 'export' OR status IN ('open', 'done')", name="erasure"),
        CheckConstraint("(status = 'open') = (ended_at IS NULL)", name="ended"),
        CheckConstraint("farewell IN ('pending', 'sending', 'sent', 'failed')", name="farewell"),
        Index(
            "uq_privacy_jobs_open",
            "user_uuid",
            "kind",
            unique=True,
            postgresql_where=text("status = 'open'"),
        ),
        Index(None, "user_uuid"),
        Index("ix_privacy_jobs_open_kind", "kind", "created_at", postgresql_where=text("status = 'open'")),
        Index("ix_privacy_jobs_uncleared", "ended_at", postgresql_where=text("cleared_at IS NULL")),
    )


class PrivacyPart(Base):
    """What one service has answered to a job: of an erasure the proof, with nothing personal in it."""

    __tablename__ = "privacy_parts"

    job: Mapped[UUID] = mapped_column(ForeignKey("privacy_jobs.uuid"), primary_key=True)
    service: Mapped[str] = mapped_column(primary_key=True)
    acknowledged_at: Mapped[datetime | None]
    rows: Mapped[int | None]
    size: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    object: Mapped[str | None]
