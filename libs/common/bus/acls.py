"""Who may do what at Kafka, derived from what the code declares.

Each service and the gateway has a user of its own name: it writes the topics that it produces, reads those
that name it, and commits in the consumer group of its name; nothing else is allowed.
`python -m libs.common.bus.acls grant` makes it so, as a super user, and takes away what is no longer
declared; `list` prints the rights, and the rules of Valkey's ACL file.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Any, Literal

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest

from libs.common.events.topics import TOPICS, Topic
from libs.common.runtime.connections import kafka_arguments
from libs.common.runtime.settings import SERVICES, SuiteSettings
from libs.common.runtime.valkey import TASKS, USERS, valkey_rules

Operation = Literal["read", "write"]
Resource = Literal["topic", "group"]

# Numbers of Kafka's protocol.
_ANY, _LITERAL, _ALLOW = 1, 3, 3
_RESOURCES: dict[Resource, int] = {"topic": 2, "group": 3}
_OPERATIONS: dict[Operation, int] = {"read": 3, "write": 4}


@dataclass(frozen=True, order=True)
class Right:
    """To read or write a topic includes seeing it; to write one includes idempotent producing."""

    user: str
    operation: Operation
    resource: Resource
    name: str

    def encoded(self) -> tuple[Any, ...]:
        """As Kafka's protocol has it: from everywhere, for exactly this name."""
        kind, operation = _RESOURCES[self.resource], _OPERATIONS[self.operation]
        return (kind, self.name, _LITERAL, f"User:{self.user}", "*", operation, _ALLOW)


def kafka_rights(prefix: str = "", topics: Iterable[Topic] = TOPICS) -> set[Right]:
    """All that anybody has. A consumer's group has the name of its service (`libs.common.bus.consumer`)."""
    found = {Right(service, "read", "group", prefix + service) for service in SERVICES}
    for topic in topics:
        found.add(Right(topic.producer, "write", "topic", prefix + topic.name))
        found |= {Right(reader, "read", "topic", prefix + topic.name) for reader in topic.readers}
    return found


class _Create(CreateAclsRequest):  # type: ignore[misc]
    """Many at once; the client's own takes one."""

    def __init__(self, rights: Iterable[Right]) -> None:
        self._rights = [right.encoded() for right in rights]

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._rights)


class _Delete(DeleteAclsRequest):  # type: ignore[misc]
    """Likewise."""

    def __init__(self, rights: Iterable[Right]) -> None:
        self._rights = [right.encoded() for right in rights]

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._rights)


async def grant(admin: AIOKafkaAdminClient, prefix: str = "") -> tuple[int, int]:
    """Makes the rights at Kafka those that are declared; answers how many were given and taken.

    Only rights of our own users are looked at, and with a prefix only those of names that begin with it.
    """
    wanted, there = kafka_rights(prefix), await granted(admin, prefix)
    for request, rights in ((_Create, wanted - there), (_Delete, there - wanted)):
        if rights:
            _check(await admin._send_to_controller(request(sorted(rights, key=astuple))))
    return len(wanted - there), len(there - wanted)


async def granted(admin: AIOKafkaAdminClient, prefix: str = "") -> set[Right]:
    """What our users have at Kafka now."""
    answer = await admin._send_to_controller(DescribeAclsRequest(_ANY, None, _ANY, None, None, _ANY, _ALLOW))
    _check(answer)
    resources = {number: name for name, number in _RESOURCES.items()}
    operations = {number: name for name, number in _OPERATIONS.items()}
    found = set()
    for kind, name, pattern, rights in answer.resources:
        if pattern != _LITERAL or kind not in resources or not name.startswith(prefix):
            continue
        for principal, _, operation, _ in rights:
            user = principal.removeprefix("User:")
            if user in USERS and operation in operations:
                found.add(Right(user, operations[operation], resources[kind], name))
    return found


def _check(answer: Any) -> None:
    values = answer.to_object()
    rows = values.get("creation_responses") or values.get("filter_responses") or [values]
    for row in rows:
        if row["error_code"]:
            raise for_code(row["error_code"])(row["error_message"])


async def _grant(settings: SuiteSettings, prefix: str) -> tuple[int, int]:
    admin = AIOKafkaAdminClient(**kafka_arguments(settings), client_id="lectern-acls")
    try:
        await admin.start()
        return await grant(admin, prefix)
    finally:
        await admin.close()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m libs.common.bus.acls", description=__doc__)
    parser.add_argument("command", choices=["grant", "list"])
    options = parser.parse_args(arguments)
    settings = SuiteSettings()
    if options.command == "list":
        for right in sorted(kafka_rights(settings.topic_prefix)):
            print(f"kafka   {right.user:10} {right.operation:6} {right.resource:6} {right.name}")
        for user in (*USERS, TASKS):
            print(f"valkey  user {user} on >PASSWORD {valkey_rules(user)}")
        return 0
    given, taken = asyncio.run(_grant(settings, settings.topic_prefix))
    print(f"{given} rights given, {taken} taken away")
    return 0


if __name__ == "__main__":
    sys.exit(main())
