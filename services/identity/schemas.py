"""Request and response bodies of identity."""

import re
from datetime import date
from typing import Annotated, Any, Literal
from unicodedata import category
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from libs.common.runtime.addresses import address, address_or_text
from libs.common.runtime.roles import Role
from libs.common.web.schemas import (
    Answer,
    Body,
    EmptyIsNone,
    Identifier,
    Length,
    Moment,
    PlainText,
    Says,
    Stripped,
    Uri,
    UriReference,
)
from libs.common.web.zones import zone
from services.identity.errors import PasswordRefused
from services.identity.passwords import COMMON
from services.identity.rules import password_fault


def example(**fields: Any) -> ConfigDict:
    """The configuration of a body with a realistic example for the OpenAPI document."""
    return ConfigDict(**{**Body.model_config, "json_schema_extra": {"examples": [fields]}})


def _name(value: str) -> str:
    # Names stand in mails: they must not bring lines or links of their own.
    if (
        any(category(char) in ("Cc", "Zl", "Zp") for char in value)
        or "://" in value
        or "www." in value.lower()
    ):
        raise ValueError("must be a name")
    return value


Name = Annotated[PlainText, Length(1, 150), AfterValidator(_name)]
ShortText = Annotated[PlainText, Length(0, 255)]
Email = Annotated[
    str, StringConstraints(max_length=254), AfterValidator(address), Says("format", "email"), Stripped
]
Password = Annotated[str, StringConstraints(min_length=1, max_length=1024), Says("format", "password")]
Code = Annotated[str, StringConstraints(pattern=r"^\d{6}$"), Stripped]


def _chosen(value: str) -> str:
    # Here and not later, so that all that is wrong with a form is told at once.
    fault = password_fault(value, COMMON)
    if fault:
        raise PydanticCustomError("refused", "{fault}", {"fault": fault, "code": PasswordRefused.code})
    return value


def _same(value: str | None, info: ValidationInfo) -> str | None:
    chosen = info.data.get("new_password", info.data.get("password"))
    if None not in (value, chosen) and value != chosen:
        raise ValueError("differs from the password")
    return value


NewPassword = Annotated[Password, AfterValidator(_chosen)]
Words = Annotated[PlainText, Length(0, 5000)]


def _phone(value: str) -> str:
    if value and not re.fullmatch(r"\+?[0-9 ()./-]{4,32}", value):
        raise ValueError("must be a phone number")
    return value


def _url(value: str) -> str:
    if value and not re.fullmatch(r"https?://[^\s<>\"]{3,500}", value):
        raise ValueError("must be an http or https URL")
    return value


def _zone(value: str) -> str:
    if value and zone(value) is None:
        raise ValueError("must be an IANA time zone")
    return value


def _language(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}", value):
        raise ValueError("must be a BCP 47 language tag")
    return value


Phone = Annotated[Identifier, AfterValidator(_phone), Stripped]
Url = Annotated[Uri, StringConstraints(max_length=500), AfterValidator(_url), Stripped]
OptionalDate = Annotated[date | None, EmptyIsNone]


class RegisterRequest(Body):
    email: Email
    password: NewPassword
    confirm_password: Annotated[Password | None, AfterValidator(_same)] = None
    first_name: Name
    last_name: Name
    role: Literal["student", "teacher"] = "student"
    phone_number: Phone = ""
    date_of_birth: OptionalDate = None

    model_config = example(
        email="ada@lectern.example",
        password="Learn-together-1",
        confirm_password="Learn-together-1",
        first_name="Ada",
        last_name="Lovelace",
        role="student",
    )


class RegisterRead(BaseModel):
    """The same whether the address was known or not."""

    detail: PlainText
    email: Identifier


class EmailRequest(Body):
    email: Email

    model_config = example(email="ada@lectern.example")


class VerifyEmailRequest(Body):
    email: Email
    verification_code: Code

    model_config = example(email="ada@lectern.example", verification_code="492039")


class PasswordResetRequest(Body):
    email: Email
    reset_code: Code
    new_password: NewPassword
    confirm_password: Annotated[Password, AfterValidator(_same)]

    model_config = example(
        email="ada@lectern.example",
        reset_code="492039",
        new_password="Learn-together-2",
        confirm_password="Learn-together-2",
    )


class PasswordUpdate(Body):
    current_password: Password
    new_password: NewPassword
    confirm_password: Annotated[Password, AfterValidator(_same)]

    model_config = example(
        current_password="Learn-together-1",
        new_password="Learn-together-2",
        confirm_password="Learn-together-2",
    )


class LoginRequest(Body):
    email: Annotated[Identifier, StringConstraints(max_length=254), AfterValidator(address_or_text), Stripped]
    password: Password
    otp: Annotated[Identifier, StringConstraints(max_length=32), Stripped] | None = Field(
        None, description="where a second factor is asked for: of the authenticator, or a recovery code"
    )

    model_config = example(email="ada@lectern.example", password="Learn-together-1", otp="492039")


class RefreshRequest(Body):
    refresh: Annotated[Identifier, StringConstraints(min_length=20, max_length=200), Stripped]

    model_config = example(refresh="q5Y3u0bT8mJr2vN7wLx4zKc9sHf1dGa6pEoQiUyRtWk")


class LogoutRequest(Body):
    all: bool = False
    refresh: Identifier | None = Field(
        None, max_length=200, description="accepted and ignored: the session ends"
    )

    model_config = example(all=False)


class TokensRead(BaseModel):
    access: Identifier
    refresh: Identifier


class ProfileRead(BaseModel):
    """What people tell about themselves; the last three are numbers of their learning."""

    bio: PlainText = ""
    education_level: PlainText = ""
    institution: PlainText = ""
    field_of_study: PlainText = ""
    teaching_experience: PlainText = ""
    expertise_areas: PlainText = ""
    certifications: PlainText = ""
    learning_goals: PlainText = ""
    preferred_language: Identifier = "en"
    time_zone: Identifier = "UTC"
    address: PlainText = ""
    city: PlainText = ""
    state: PlainText = ""
    postal_code: PlainText = ""
    country: PlainText = ""
    linkedin_url: UriReference = ""
    github_url: UriReference = ""
    website_url: UriReference = ""
    courses_completed: int = 0
    total_study_hours: float = 0
    points_earned: int = 0


class UserRead(Answer):
    uuid: UUID
    id: UUID
    email: Identifier
    first_name: PlainText
    last_name: PlainText
    full_name: PlainText
    role: Role
    role_display: PlainText
    is_staff: bool
    is_verified: bool
    is_active: bool
    mfa_enabled: bool
    avatar: Uri | None
    phone_number: Identifier
    date_of_birth: date | None
    date_joined: Moment
    last_login: Moment | None
    profile: ProfileRead


class UserSummary(Answer):
    """What others may see of somebody."""

    uuid: UUID
    id: UUID
    full_name: PlainText
    first_name: PlainText
    last_name: PlainText
    avatar: Uri | None
    bio: PlainText
    role: Role
    role_display: PlainText


class LoginRead(BaseModel):
    access: Identifier
    refresh: Identifier
    user: UserRead


class VerifyEmailRead(BaseModel):
    tokens: TokensRead
    user: UserRead


class ProfileUpdate(Body):
    """Flat fields of user and profile; what is left out stays."""

    email: Email | None = Field(None, description="accepted while it does not change")
    first_name: Name | None = None
    last_name: Name | None = None
    phone_number: Phone | None = None
    date_of_birth: OptionalDate = None
    bio: Words | None = None
    education_level: ShortText | None = None
    institution: ShortText | None = None
    field_of_study: ShortText | None = None
    teaching_experience: Words | None = None
    expertise_areas: Words | None = None
    certifications: Words | None = None
    learning_goals: Words | None = None
    preferred_language: Annotated[Identifier, AfterValidator(_language), Stripped] | None = None
    time_zone: Annotated[Identifier, AfterValidator(_zone), Stripped] | None = None
    address: ShortText | None = None
    city: ShortText | None = None
    state: ShortText | None = None
    postal_code: ShortText | None = None
    country: ShortText | None = None
    linkedin_url: Url | None = None
    github_url: Url | None = None
    website_url: Url | None = None

    model_config = example(bio="Writes programs.", preferred_language="en", time_zone="Europe/London")


class UserUpdate(Body):
    """What a manager may change of somebody."""

    role: Role | None = None
    is_active: bool | None = None
    mfa_enabled: Literal[False] | None = Field(
        None, description="false takes a lost second factor off; only its owner puts one on"
    )

    model_config = example(role="moderator")


class SessionRead(Answer):
    uuid: UUID
    device: PlainText
    ip: Identifier
    created_at: Moment
    last_seen: Moment
    expires_at: Moment
    is_current: bool


class ActivityRead(Answer):
    uuid: UUID
    kind: Identifier
    ip: Identifier
    device: PlainText
    created_at: Moment


class DetailRead(BaseModel):
    """An answer that only says what was done."""

    detail: PlainText


class Jwks(BaseModel):
    """RFC 7517."""

    keys: list[dict[str, Any]]
