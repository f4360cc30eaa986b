"""The first admin, and keys: `python -m services.identity.admin create --email … --password …`.

`rotate-keys` publishes a new signing key that takes over in ten minutes.
"""

import argparse
import asyncio
import getpass
import sys
from uuid import uuid4

from libs.common.audit_log import write_entry
from libs.common.clock import system_clock
from libs.common.db import Database
from libs.common.errors import LecternError
from libs.common.events.identity import UserRegistered
from libs.common.jobs import CeleryQueue
from services.identity.keys import rotate_keys
from services.identity.models import User
from services.identity.passwords import COMMON, Passwords
from services.identity.queries import user_by_email
from services.identity.rules import check_password
from services.identity.secrets_at_rest import Vault
from services.identity.service import publish
from services.identity.settings import Settings


async def create_admin(db: Database, email: str, password: str, first_name: str, last_name: str) -> str:
    """Make a verified admin; an existing one stays as it is. Raises PasswordRefused or ValueError."""
    email = email.strip().lower()
    check_password(password, COMMON, email=email)
    passwords = Passwords(1)
    password_hash = await passwords.hash(password)
    await passwords.close()
    async with db.session() as session:
        user = await user_by_email(session, email, lock=True)
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


async def rotate(db: Database, settings: Settings) -> str:
    async with db.session() as session:
        kid = await rotate_keys(session, Vault(settings.secret), system_clock(), settings.access_seconds)
        await write_entry(session, "keys_rotated", kid)
    return f"key {kid} is published and signs in ten minutes"


async def run(arguments: argparse.Namespace) -> str:
    settings = Settings()
    db = Database(settings, CeleryQueue(settings.broker_url))
    try:
        if arguments.command == "rotate-keys":
            return await rotate(db, settings)
        password = arguments.password or getpass.getpass("Password: ")
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
    commands.add_parser("rotate-keys", help="publish a new signing key")
    try:
        print(asyncio.run(run(parser.parse_args())))
    except (LecternError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
