"""Decisions of identity, without I/O."""

from datetime import datetime, timedelta
from typing import Literal

from services.identity.errors import PasswordRefused, RoleNotAllowed

Role = Literal["student", "teacher", "moderator", "manager", "admin"]
ROLES = ("student", "teacher", "moderator", "manager", "admin")
ROLE_NAMES = dict(zip(ROLES, ("Student", "Teacher", "Moderator", "Manager", "Administrator"), strict=True))
PASSWORD_LENGTHS = (8, 128)

PROFILE_FIELDS = (
    "bio", "education_level", "institution", "field_of_study", "teaching_experience", "expertise_areas",
    "certifications", "learning_goals", "preferred_language", "time_zone", "address", "city", "state",
    "postal_code", "country", "linkedin_url", "github_url", "website_url",
)  # fmt: skip

# The heads of every list of leaked passwords that are long enough to pass the length rule.
COMMON_PASSWORDS = frozenset(
    """
    12345678 123456789 1234567890 password password1 password12 password123 qwertyuiop qwerty123
    qwerty1234 1q2w3e4r 1q2w3e4r5t 1qaz2wsx iloveyou sunshine princess football baseball superman
    trustno1 starwars computer whatever michelle jennifer corvette mercedes maverick samantha midnight
    11111111 00000000 88888888 87654321 987654321 0987654321 12341234 11223344 asdfghjkl asdfasdf
    zxcvbnm1 abcd1234 abc12345 a1b2c3d4 passw0rd p@ssw0rd p@ssword welcome1 welcome123 letmein1
    letmein123 admin123 administrator changeme internet qazwsxedc football1 charlie1 monkey123 dragon123
    master123 liverpool chocolate butterfly q1w2e3r4 qwer1234 1234qwer qwertyui 123123123 123321123
    147258369 159357456 741852963 789456123 lovelove loveyou1 babygirl iloveyou1 princess1 sunshine1
    superman1 batman123 pokemon1 naruto123 test1234 testtest user1234 secret123 student1 teacher1
    learning lectern1
    """.split()  # noqa: SIM905
)


def check_password(password: str, *, email: str = "") -> None:
    """8 to 128 characters, none of the common ones, not the address. Raises PasswordRefused."""
    least, most = PASSWORD_LENGTHS
    problem = None
    if not least <= len(password) <= most:
        problem = f"must have {least} to {most} characters"
    elif password.lower() in COMMON_PASSWORDS or len(set(password)) == 1:
        problem = "is among the most common ones: choose another"
    elif email and password.lower() == email.lower():
        problem = "must not be the address"
    if problem:
        raise PasswordRefused(f"password: {problem}.", errors=[{"field": "password", "message": problem}])


def check_role_change(actor: str, current: str, wanted: str) -> None:
    """Neither from nor to a role above one's own. Raises RoleNotAllowed."""
    own = ROLES.index(actor)
    if ROLES.index(current) > own or ROLES.index(wanted) > own:
        raise RoleNotAllowed


def is_staff(role: str) -> bool:
    return role in ("moderator", "manager", "admin")


def shows_card(role: str, *, signed_in: bool) -> bool:
    """Teachers and above have a public card; students one for the signed-in."""
    return signed_in or role != "student"


def may_mail_again(last: datetime | None, now: datetime, interval: int) -> bool:
    """At most one code mail a minute to one address."""
    return last is None or now - last >= timedelta(seconds=interval)
