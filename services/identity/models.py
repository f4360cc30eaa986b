"""Tables of identity."""

from datetime import date, datetime
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, SmallInteger, Text, func, text
from sqlalchemy.dialects.postgresql import CITEXT, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from libs.common.tables import TYPES, Aggregate, Timestamps, service_metadata
from services.identity.rules import Role


class Base(DeclarativeBase):
    metadata = service_metadata()
    type_annotation_map = TYPES


class User(Aggregate, Timestamps, Base):
    """An account: registered → verified; active ⇄ disabled; erased at last (row kept, person gone).

    The address is unique without regard to case. A token whose `ver` is below the version of the user's last
    change of access is dead. `profile` holds the fields of `rules.PROFILE_FIELDS`.
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
    avatar: Mapped[str | None]
    phone_number: Mapped[str] = mapped_column(default="")
    date_of_birth: Mapped[date | None]
    profile: Mapped[dict[str, str]] = mapped_column(JSONB, default=dict)
    date_joined: Mapped[datetime] = mapped_column(server_default=func.now())
    last_login: Mapped[datetime | None]
    erased_at: Mapped[datetime | None]

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


class CodeMail(Base):
    """A mail that carries a code, or tells the owner that somebody tried: pending → sent, or failed.

    The task that sends makes the code, so that neither this row nor an event ever holds it; the row keeps its
    HMAC. A code is used at most once; `tries` counts wrong ones in transactions of their own.
    """

    __tablename__ = "code_mails"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_uuid: Mapped[UUID] = mapped_column(ForeignKey("users.uuid"), index=True)
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
        CheckConstraint("purpose IN ('verify', 'reset', 'known_address')", name="purpose"),
        CheckConstraint("status IN ('pending', 'sending', 'sent', 'failed')", name="status"),
        Index(
            "ix_code_mails_waiting", "created_at", postgresql_where=text("status IN ('pending', 'sending')")
        ),
        Index(None, "user_uuid", "purpose", "created_at"),
    )


class TokenKey(Base):
    """A key that signs access tokens: published from its first second, signing from `signs_from`.

    The private half is encrypted with the suite's secret.
    """

    __tablename__ = "token_keys"

    kid: Mapped[str] = mapped_column(Text, primary_key=True)
    private_key: Mapped[bytes] = mapped_column(LargeBinary)
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
