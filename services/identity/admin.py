"""The first admin, many people at once, and keys: `python -m services.identity.admin create --email …`.

`people` reads one JSON object a line: `email, first_name, last_name, role` (student or teacher), optional
`bio, time_zone, joined_at` (RFC 3339). `rotate-keys` publishes a new key that signs in ten minutes.
"""

import argparse
import asyncio
import getpass
import json
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import uuid4

from libs.common.data.audit_log import write_entry
from libs.common.data.db import Database
from libs.common.data.jobs import CeleryQueue
from libs.common.events.identity import UserRegistered
from libs.common.runtime.addresses import address
from libs.common.runtime.clock import moved_to, system_clock
from libs.common.runtime.errors import LecternError
from services.identity.crypto import Crypto
from services.identity.keys import rotate_keys
from services.identity.models import Registration, User
from services.identity.passwords import COMMON, Passwords
from services.identity.proofs import take_over
from services.identity.queries import user_by_email
from services.identity.rules import check_password
from services.identity.service import publish
from services.identity.settings import Settings

DEMO_PASSWORD = "Learn-together-1"
"""Of the demo users; it stands in the documentation."""


async def create_admin(db: Database, email: str, password: str, first_name: str, last_name: str) -> str:
    """Make a verified admin; an existing one stays, an unverified account is taken over.

    Raises PasswordRefused or ValueError.
    """
    email = address(email.strip())
    check_password(password, COMMON, email=email)
    passwords = Passwords(1)
    password_hash = await passwords.hash(password)
    await passwords.close()
    async with db.session() as session:
        user = await user_by_email(session, email, lock=True)
        if user is not None and not user.is_verified:
            said = Registration(
                password_hash=password_hash, first_name=first_name, last_name=last_name, phone_number="",
                date_of_birth=None, ip="", device="", created_at=system_clock(),
            )  # fmt: skip
            user.is_active = True
            await take_over(session, user, said, system_clock(), "admin")
            await write_entry(session, "admin_created", user.uuid)
            return f"{email} is an admin now"
        if user is not None:
            if user.role != "admin":
                raise ValueError(f"{email} has an account as {user.role}: let an admin change its role")
            return f"{email} is an admin already"
        user = User(
            uuid=uuid4(), version=1, email=email, password_hash=password_hash, first_name=first_name,
            last_name=last_name, role="admin", is_verified=True, is_active=True, phone_number="",
            profile={}, date_joined=system_clock(),
        )  # fmt: skip
        session.add(user)
        await session.flush()
        publish(session, user, UserRegistered(user=user.uuid, role="admin"))
        await write_entry(session, "admin_created", user.uuid)
    return f"{email} is an admin now"


async def create_people(db: Database, password: str, lines: Iterable[str]) -> str:
    """Make verified accounts, all with one password; existing ones stay, unverified ones are taken over.

    Answers ids by email as JSON.
    Raises PasswordRefused, ValueError for a line that cannot be understood; then nothing of it is made.
    """
    rows = [person_of(line) for line in lines if line.strip()]
    found: dict[str, str] = {}
    passwords = Passwords(2)
    try:
        for row in rows:
            found[row["email"]] = await _create_person(db, passwords, password, row)
    finally:
        await passwords.close()
    return json.dumps(found)


def person_of(line: str) -> dict[str, Any]:
    """One line of `people`. Raises ValueError."""
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError(f"{line[:80]!r} is not a JSON object")
    known = {"email", "first_name", "last_name", "role", "bio", "time_zone", "joined_at"}
    if unknown := set(row) - known:
        raise ValueError(f"unknown field {min(unknown)}: known are {', '.join(sorted(known))}")
    if not all(isinstance(row.get(name), str) for name in ("email", "first_name", "last_name")):
        raise ValueError("email, first_name and last_name must be texts")
    if row.get("role", "student") not in ("student", "teacher"):
        raise ValueError("role must be student or teacher: an admin promotes others")
    joined = row.get("joined_at")
    moment = datetime.fromisoformat(joined) if joined else system_clock()
    if moment.tzinfo is None or moment > system_clock():
        raise ValueError("joined_at must have an offset and lie in the past")
    return {**row, "email": address(row["email"].strip()), "joined_at": moment}


async def _create_person(db: Database, passwords: Passwords, password: str, row: dict[str, Any]) -> str:
    check_password(password, COMMON, email=row["email"])
    async with db.sessions() as session:
        known = await user_by_email(session, row["email"])
    if known is not None and known.is_verified:
        return str(known.uuid)
    password_hash = await passwords.hash(password)
    profile = {name: row[name] for name in ("bio", "time_zone") if row.get(name)}
    with moved_to(row["joined_at"]):
        async with db.session() as session:
            if user := await user_by_email(session, row["email"], lock=True):
                if not user.is_verified:
                    said = Registration(
                        password_hash=password_hash, first_name=row["first_name"],
                        last_name=row["last_name"], role=row.get("role", "student"), phone_number="",
                        date_of_birth=None, ip="", device="", created_at=row["joined_at"],
                    )  # fmt: skip
                    await take_over(session, user, said, row["joined_at"], profile=profile)
                return str(user.uuid)
            user = User(
                uuid=uuid4(), version=1, email=row["email"], password_hash=password_hash,
                first_name=row["first_name"], last_name=row["last_name"], role=row.get("role", "student"),
                is_verified=True, is_active=True, phone_number="", profile=profile,
                date_joined=row["joined_at"],
            )  # fmt: skip
            session.add(user)
            await session.flush()
            publish(session, user, UserRegistered(user=user.uuid, role=user.role))
    return str(user.uuid)


async def rotate(db: Database, settings: Settings) -> str:
    async with db.session() as session:
        kid = await rotate_keys(session, Crypto(settings.secret), system_clock(), settings.access_seconds)
        await write_entry(session, "keys_rotated", kid)
    return f"key {kid} is published and signs in ten minutes"


def ask_password() -> str:
    """Raises ValueError where there is nobody to ask."""
    try:
        return getpass.getpass("Password: ")
    except EOFError:
        raise ValueError("There is no terminal to ask for the password: give it with --password") from None


async def run(arguments: argparse.Namespace) -> str:
    settings = Settings()
    db = Database(settings, CeleryQueue(settings))
    try:
        if arguments.command == "rotate-keys":
            return await rotate(db, settings)
        password = arguments.password or ask_password()
        if settings.environment == "production" and password == DEMO_PASSWORD:
            raise ValueError("That is the password of the demo users, which is public: choose another")
        if arguments.command == "people":
            return await create_people(db, password, sys.stdin)
        return await create_admin(db, arguments.email, password, arguments.first_name, arguments.last_name)
    finally:
        await db.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Administer identity.")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="make an admin")
    create.add_argument("--email", required=True)
    create.add_argument("--password", help="asked for when left out")
    create.add_argument("--first-name", default="Lectern")
    create.add_argument("--last-name", default="Admin")
    people = commands.add_parser("people", help="make verified accounts from JSON lines on standard input")
    people.add_argument("--password", help="of all of them; asked for when left out")
    commands.add_parser("rotate-keys", help="publish a new signing key")
    try:
        print(asyncio.run(run(parser.parse_args())))
    except (LecternError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
