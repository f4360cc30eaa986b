"""What people may be, each role including the ones before it."""

from typing import Literal, get_args

Role = Literal["student", "teacher", "moderator", "manager", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
STAFF: tuple[Role, ...] = ROLES[2:]


def rank(role: str) -> int:
    """Place of a role: student < teacher < moderator < manager < admin. Raises ValueError for another."""
    return list[str](ROLES).index(role)
