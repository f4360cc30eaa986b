"""Decisions of identity, without I/O."""

from collections.abc import Callable, Collection, Hashable, Iterable
from datetime import datetime, timedelta
from typing import TypeVar

from libs.common.runtime.roles import ROLES, STAFF, rank
from services.identity.errors import PasswordRefused, RoleNotAllowed

ROLE_NAMES = dict(zip(ROLES, ("Student", "Teacher", "Moderator", "Manager", "Administrator"), strict=True))
PASSWORD_LENGTHS = (8, 128)
FREE_TRIES = 5
MOST_DELAY = 900

PROFILE_FIELDS = (
    "bio", "education_level", "institution", "field_of_study", "teaching_experience", "expertise_areas",
    "certifications", "learning_goals", "preferred_language", "time_zone", "address", "city", "state",
    "postal_code", "country", "linkedin_url", "github_url", "website_url",
)  # fmt: skip


def password_fault(password: str, common: Collection[str], email: str = "") -> str | None:
    """What is wrong with a new password: it has 8 to 128 characters, is not common, and not the address."""
    least, most = PASSWORD_LENGTHS
    if not least <= len(password) <= most:
        return f"must have {least} to {most} characters"
    if password.lower() in common or len(set(password)) == 1:
        return "is among the most common ones: choose another"
    if email and password.lower() == email.lower():
        return "must not be the address"
    return None


def check_password(
    password: str, common: Collection[str], *, email: str = "", field: str = "password"
) -> None:
    """Raises PasswordRefused for `field`."""
    problem = password_fault(password, common, email)
    if problem:
        raise PasswordRefused(f"{field}: {problem}", errors=[{"field": field, "message": problem}])


def check_role_change(actor: str, current: str, wanted: str) -> None:
    """Neither from nor to a role above one's own. Raises RoleNotAllowed."""
    if max(rank(current), rank(wanted)) > rank(actor):
        raise RoleNotAllowed


def is_staff(role: str) -> bool:
    return role in STAFF


def shows_card(role: str, *, signed_in: bool) -> bool:
    """Teachers and above have a public card; students one for the signed-in."""
    return signed_in or role != "student"


BROWSERS = (
    ("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser/", "Samsung Internet"), ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"), ("Chrome/", "Chrome"), ("CriOS/", "Chrome"), ("Safari/", "Safari"),
)  # fmt: skip
SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("CrOS", "ChromeOS"),
    ("Windows", "Windows"), ("Macintosh", "macOS"), ("Linux", "Linux"),
)  # fmt: skip


def device_name(user_agent: str) -> str:
    """Such as "Firefox on Linux"; what is no browser keeps its own name, at most 200 characters of it."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), None)
    system = next((name for mark, name in SYSTEMS if mark in user_agent), None)
    if browser and system:
        return f"{browser} on {system}"
    return browser or user_agent.replace("\0", "").strip()[:200]


def throttle_wait(failures: int, last: datetime, now: datetime) -> float:
    """Seconds until the next try: none before the fifth failure, then 1 s that doubles up to 15 minutes."""
    if failures < FREE_TRIES:
        return 0
    delay = float(min(1 << min(failures - FREE_TRIES, 20), MOST_DELAY))
    return max((last - now).total_seconds() + delay, 0.0)


def may_try_code(tries: int, most: int, wrong: int, most_an_hour: int) -> bool:
    """Whether a code may be looked at: it has tries left, and so has its purpose in this hour."""
    return tries < most and wrong < most_an_hour


CODES_AT_ONCE = 3
T = TypeVar("T")


def newest_codes(codes: Iterable[T], registration: Callable[[T], Hashable]) -> list[T]:
    """Of codes, the newest first, those that count: the newest of each of the last three registrations."""
    newest: dict[Hashable, T] = {}
    for code in codes:
        newest.setdefault(registration(code), code)
    return list(newest.values())[:CODES_AT_ONCE]


def name_of_address(email: str) -> str:
    """What somebody is called of whom nothing is known but the address."""
    return email.partition("@")[0][:150]


def mail_due(last: datetime | None, now: datetime, interval: int, most_waiting: int = 0) -> datetime | None:
    """When the next code mail to an address may go out, at most one a minute; None where too many wait.

    `last` is when the last one went out, or will.
    """
    due = now if last is None else max(now, last + timedelta(seconds=interval))
    return due if due <= now + timedelta(seconds=interval * most_waiting) else None
