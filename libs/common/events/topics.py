"""Every Kafka topic of the suite, declared once and created by the suite.

`python -m libs.common.events.topics create` is idempotent: it makes what is missing and says how what exists
differs. It never alters an existing topic: more partitions would move keys and break their order.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from libs.common.runtime.connections import kafka_arguments
from libs.common.runtime.settings import SERVICES, SuiteSettings, shared

HOUR_MS = 3_600_000


class TopicSettings(SuiteSettings):
    """How wide topics are made; an existing topic keeps its width."""

    topic_partitions: int = shared("topic_partitions", 6, "partitions of every topic that is created")
    topic_replication: int = shared("topic_replication", 1, "copies of every partition; 3 in production")


@dataclass(frozen=True)
class Topic:
    """One topic: a `log` is kept for ever, a `state` is compacted to the last value of each key."""

    name: str
    kind: Literal["log", "state"]
    holds: str
    producer: str
    consumers: tuple[str, ...]
    partitions: int | None = None
    """Null: what the setting `LECTERN_TOPIC_PARTITIONS` says."""
    followers: tuple[str, ...] = ()
    """Who sees that something was told, and of which type, without applying it: the gateway's cache."""

    @property
    def readers(self) -> frozenset[str]:
        """Everybody who may read the topic."""
        return frozenset((*self.consumers, *self.followers))

    @property
    def owner(self) -> str:
        """The service whose outbox writes the topic; nobody else does."""
        return self.producer

    @property
    def config(self) -> dict[str, str]:
        """The settings that Kafka must hold for this topic."""
        if self.kind == "log":
            return {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
        # A tombstone outlives a consumer that was away for a week, so that an erasure reaches every replica.
        return {
            "cleanup.policy": "compact",
            "retention.ms": "-1",
            "min.cleanable.dirty.ratio": "0.1",
            "max.compaction.lag.ms": str(24 * HOUR_MS),
            "delete.retention.ms": str(7 * 24 * HOUR_MS),
        }


TOPICS: tuple[Topic, ...] = (
    Topic(
        "identity.events", "log", "accounts, roles, sessions", "identity",
        ("analytics", "catalog", "forum", "gateway", "identity", "learning", "notify", "support"),
    ),
    Topic(
        "identity.users", "state", "every user; the only topic with personal data", "identity",
        ("analytics", "catalog", "forum", "learning", "notify", "support"),
    ),
    Topic(
        "catalog.events", "log", "courses, modules, lessons, categories", "catalog",
        ("analytics", "learning"),
        followers=("gateway",),
    ),
    Topic(
        "catalog.courses", "state", "every course with its published and draft structure", "catalog",
        ("analytics", "forum", "learning", "notify", "support"), followers=("gateway",),
    ),
    Topic(
        "learning.events", "log", "enrolments, quizzes, assignments, certificates", "learning",
        ("analytics", "notify"),
    ),
    Topic(
        "learning.enrollments", "state", "every enrolment with its progress", "learning",
        ("analytics", "catalog", "forum", "identity", "support"), followers=("gateway",),
    ),
    Topic("forum.events", "log", "forums, discussions, replies", "forum", ("analytics", "notify")),
    Topic(
        "forum.discussions", "state", "every discussion's title, until it is deleted", "forum",
        ("analytics", "notify"),
    ),
    Topic("notify.events", "log", "deliveries of mail", "notify", ("analytics",)),
    Topic("analytics.events", "log", "reports that go out", "analytics", ("analytics", "notify")),
    Topic("support.events", "log", "tickets", "support", ("analytics", "notify")),
    # Few events for all readers; on `identity.events` each would have to keep up with every login.
    Topic(
        "identity.privacy.events", "log", "exports and erasures of a person's data", "identity",
        ("analytics", "catalog", "forum", "learning", "notify", "support"), partitions=1,
    ),
    *(
        Topic(
            f"{service}.privacy.events", "log", f"{service}'s part of exports and erasures", service,
            ("analytics", "identity"), partitions=1,
            followers=("gateway",) if service == "catalog" else (),
        )
        for service in SERVICES
        if service != "identity"
    ),
)  # fmt: skip

_BY_NAME = {declared.name: declared for declared in TOPICS}


def topic(name: str, prefix: str = "") -> str:
    """The name on the broker of a declared topic; an undeclared one is a KeyError."""
    return prefix + _BY_NAME[name].name


@dataclass(frozen=True)
class Report:
    """What `create_topics` did and found."""

    created: tuple[str, ...]
    existing: tuple[str, ...]
    differences: tuple[str, ...]


def differences(declared: Topic, name: str, partitions: int, config: dict[str, str], width: int) -> list[str]:
    """One sentence for each way in which a topic on the broker is not what is declared; `width` is the number
    of partitions of topics that do not say their own."""
    found = []
    if partitions != (wanted_partitions := declared.partitions or width):
        found.append(f"{name}: {partitions} partitions, declared {wanted_partitions}")
    for setting, wanted in sorted(declared.config.items()):
        if (actual := config.get(setting)) != wanted:
            found.append(f"{name}: {setting}={actual}, declared {wanted}")
    return found


async def create_topics(
    bootstrap: str,
    prefix: str = "",
    *,
    partitions: int | None = None,
    replication: int | None = None,
    topics: Iterable[Topic] = TOPICS,
) -> Report:
    """Creates the topics that are missing and compares the others with their declaration.

    Idempotent, also when several processes call it at once. Without `partitions` and `replication` the
    settings decide.
    """
    settings = TopicSettings(kafka=bootstrap)
    width = partitions or settings.topic_partitions
    declared = {prefix + each.name: each for each in topics}
    copies = replication or settings.topic_replication
    admin = AIOKafkaAdminClient(**kafka_arguments(settings), client_id="lectern-topics")
    try:
        await admin.start()
        created = await _create(admin, declared, set(await admin.list_topics()), width, copies)
        existing = {name: each for name, each in declared.items() if name not in created}
        found = await _compare(admin, existing, width) if existing else []
    finally:
        await admin.close()
    return Report(tuple(sorted(created)), tuple(sorted(existing)), tuple(found))


async def _create(
    admin: AIOKafkaAdminClient, declared: dict[str, Topic], present: set[str], width: int, copies: int
) -> set[str]:
    """Names of the topics that this call has made, without those that another process made meanwhile."""
    missing = [
        NewTopic(name, each.partitions or width, copies, topic_configs=each.config)
        for name, each in declared.items()
        if name not in present
    ]
    if not missing:
        return set()
    answer = (await admin.create_topics(missing)).to_object()
    created = set()
    for outcome in answer["topic_errors"]:
        error = for_code(outcome["error_code"])
        if outcome["error_code"] == 0:
            created.add(outcome["topic"])
        elif error is not TopicAlreadyExistsError:
            raise error(f"topic {outcome['topic']}: {outcome.get('error_message') or error.description}")
    return created


async def _compare(admin: AIOKafkaAdminClient, existing: dict[str, Topic], width: int) -> list[str]:
    described = {each["topic"]: each for each in await admin.describe_topics(list(existing))}
    configs = await _configs(admin, list(existing))
    return [
        sentence
        for name, declared in sorted(existing.items())
        for sentence in differences(
            declared, name, len(described[name]["partitions"]), configs.get(name, {}), width
        )
    ]


async def _configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for resource in response.to_object()["resources"]:
            entries: list[dict[str, Any]] = resource["config_entries"]
            found[resource["resource_name"]] = {
                entry["config_names"]: entry["config_value"] for entry in entries
            }
    return found


def main(arguments: list[str] | None = None) -> int:
    """`create` makes the topics and exits 1 when an existing one differs; `list` prints the declaration."""
    settings = TopicSettings()
    parser = argparse.ArgumentParser(prog="python -m libs.common.events.topics", description=__doc__)
    parser.add_argument("command", choices=["create", "list"])
    parser.add_argument("--bootstrap", default=settings.kafka)
    parser.add_argument("--prefix", default=settings.topic_prefix)
    options = parser.parse_args(arguments)
    if options.command == "list":
        for each in TOPICS:
            width = each.partitions or settings.topic_partitions
            print(f"{options.prefix + each.name:24} {each.kind:6} {width:3}  {each.holds}")
        return 0
    report = asyncio.run(create_topics(options.bootstrap, options.prefix))
    print(f"{len(report.created)} topics created, {len(report.existing)} were there")
    for sentence in report.differences:
        print(f"differs: {sentence}", file=sys.stderr)
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
