"""`python -m deploy.local.kafka.set_up`: users, their rights, and the topics of the local broker; idempotent.

Everybody but the supervisor has a SCRAM credential that is given here, and the rights that
`libs.common.bus.acls` derives; what no right allows is denied.
"""

import asyncio
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from deploy.local.project import KAFKA_USERS
from libs.common.bus.acls import grant
from libs.common.events import topics
from libs.common.events.topics import TopicSettings
from libs.common.runtime.connections import kafka_arguments

ITERATIONS = 4096
_SHA_512 = 2


class _Response(Response):  # type: ignore[misc]
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Request(RequestStruct):  # type: ignore[misc]
    """AlterUserScramCredentials, which the client does not have."""

    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = _Response
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _SetPasswords(Request[_Request]):  # type: ignore[misc]
    API_KEY = 51

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._passwords = passwords

    def build(self, request_struct_class: type[_Request]) -> _Request:
        rows: list[tuple[Any, ...]] = []
        for user, password in self._passwords.items():
            salt = secrets.token_bytes(16)
            salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
            rows.append((user, _SHA_512, ITERATIONS, salt, salted, {}))
        return request_struct_class([], rows, {})


async def set_passwords(admin: AIOKafkaAdminClient, passwords: Mapping[str, str]) -> None:
    """Gives each user this password, and makes the user where there is none."""
    answer: Any = await admin._send_to_controller(_SetPasswords(passwords))
    for row in answer.to_object()["results"]:
        if row["error_code"]:
            raise for_code(row["error_code"])(f"{row['user']}: {row['error_message']}")


async def _set_up() -> None:
    passwords: dict[str, str] = json.loads(os.environ[KAFKA_USERS])
    admin = AIOKafkaAdminClient(**kafka_arguments(TopicSettings()), client_id="lectern-supervisor")
    try:
        await admin.start()
        await set_passwords(admin, passwords)
        given, taken = await grant(admin)
    finally:
        await admin.close()
    print(f"{len(passwords)} users have their password; {given} rights given, {taken} taken away")


def main() -> int:
    """Passwords and rights where the broker is the suite's own, then the topics."""
    if KAFKA_USERS in os.environ:
        asyncio.run(_set_up())
    return topics.main(["create"])


if __name__ == "__main__":
    sys.exit(main())
