"""What an event is: a frozen pydantic model with a type, a topic and a key.

CloudEvents 1.0, Kafka binary mode: the attributes travel in `ce_*` headers, the value is the model's JSON.
"""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

REGISTRY: dict[str, type["Event"]] = {}


class Payload(BaseModel):
    """A frozen part of an event. Readers ignore fields that they do not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Event(Payload):
    """A fact (log topic, past tense) or the whole state of one aggregate (state topic).

    `type` is `subdomain.subject_action.vN`, `topic` the Kafka topic, `key_field` the field that holds the
    id of the aggregate. A subclass documents trigger and key in its docstring.
    """

    type: ClassVar[str]
    topic: ClassVar[str]
    key_field: ClassVar[str]
    state: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "type" in cls.__dict__:
            if cls.type in REGISTRY:
                raise TypeError(f"event type {cls.type} is declared twice")
            REGISTRY[cls.type] = cls

    @property
    def key(self) -> str:
        """Id of the aggregate, as it stands in the Kafka key."""
        return str(getattr(self, self.key_field))


class State(Event):
    """The whole current state of one aggregate, on a compacted topic; a tombstone deletes it."""

    state: ClassVar[bool] = True
