"""The events as an AsyncAPI 3.0 document: a channel per topic, a message per type."""

import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from libs.common.events import EVENTS
from libs.common.events.base import Event
from libs.common.events.topics import TOPICS, Topic, TopicSettings

GOLDENS = Path(__file__).with_name("goldens")

_DESCRIPTION = (
    "Facts and states that the services of Lectern publish on Kafka. CloudEvents 1.0, binary mode; "
    "at least once, in order per key; a message without value on a state topic is a tombstone."
)

_HEADERS: dict[str, Any] = {
    "type": "object",
    "required": [
        "ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_partitionkey", "ce_sequence",
        "content-type",
    ],
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "format": "uuid", "description": "Unique; the same when sent again."},
        "ce_type": {"type": "string", "description": "Name of the message."},
        "ce_source": {"type": "string", "description": "The service that published it."},
        "ce_time": {"type": "string", "format": "date-time", "description": "When it happened, UTC."},
        "ce_partitionkey": {"type": "string", "description": "Id of the aggregate; also the Kafka key."},
        "ce_sequence": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "Version of the aggregate: from 1, without gaps on log topics.",
        },
        "ce_epoch": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "Absent until the suite is restored from a backup, then that restore's number."
            " A sequence number that comes again with a higher one undoes what had it and what followed it.",
        },
        "traceparent": {"type": "string", "description": "W3C trace context of the request behind it."},
        "x-request-id": {"type": "string", "description": "Id of the request behind it."},
        "content-type": {"type": "string", "const": "application/json"},
    },
}  # fmt: skip


def document() -> dict[str, Any]:
    """The whole document; a function of the declared events, topics and goldens alone."""
    events = list(EVENTS.values())
    references, definitions = models_json_schema(
        [(event, "validation") for event in events], ref_template="#/components/schemas/{model}"
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Lectern events",
            "version": "1.0.0",
            "description": _DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic, events) for topic in TOPICS},
        "operations": {
            f"{topic.owner}.publishes.{topic.name}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{topic.name}"},
            }
            for topic in TOPICS
        },
        "components": {
            "messages": {event.type: _message(event, references[event, "validation"]) for event in events},
            "messageTraits": {"cloudevent": {"headers": _HEADERS}},
            "schemas": definitions["$defs"],
        },
    }


def _channel(topic: Topic, events: list[type[Event]]) -> dict[str, Any]:
    config = topic.config
    return {
        "address": topic.name,
        "title": topic.name,
        "description": f"{topic.kind} topic of {topic.owner}: {topic.holds}. "
        f"Read by {', '.join(topic.consumers)}.",
        "messages": {
            event.type: {"$ref": f"#/components/messages/{event.type}"}
            for event in events
            if event.topic == topic.name
        },
        "bindings": {
            "kafka": {
                "topic": topic.name,
                # The declared default and not this machine's setting: the document is the same everywhere.
                "partitions": topic.partitions or TopicSettings.model_fields["topic_partitions"].default,
                "topicConfiguration": {
                    "cleanup.policy": [config["cleanup.policy"]],
                    "retention.ms": int(config["retention.ms"]),
                    **(
                        {"delete.retention.ms": int(config["delete.retention.ms"])}
                        if topic.kind == "state"
                        else {}
                    ),
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _message(event: type[Event], schema: dict[str, Any]) -> dict[str, Any]:
    words = " ".join((event.__doc__ or "").split())
    golden = json.loads((GOLDENS / f"{event.type}.json").read_text(encoding="utf-8"))
    return {
        "name": event.type,
        "title": event.__name__,
        "summary": words,
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudevent"}],
        "payload": schema,
        "examples": [{"payload": golden}],
        "bindings": {"kafka": {"key": {"type": "string", "format": "uuid"}, "bindingVersion": "0.5.0"}},
    }
