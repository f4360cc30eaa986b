"""An event that analytics cannot read, and what it should have been."""

import json
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
from aiokafka import AIOKafkaProducer

from deploy.local.project import DATABASE, Project
from deploy.local.testing import kafka_settings
from libs.common.bus.received import Record
from libs.common.data.bootstrap import with_database
from libs.common.events.support import TicketOpened
from libs.common.runtime.connections import kafka_arguments
from libs.common.testing.harness import as_record


@dataclass(frozen=True)
class Poison:
    """The first event of a ticket that no source knows."""

    topic: str
    key: str
    payload: str
    meant: Record

    @classmethod
    async def publish(cls, project: Project, requester: UUID) -> "Poison":
        """Send it to Kafka, with an envelope that is right."""
        ticket = uuid4()
        facts = {
            "ticket": ticket, "number": "T-0", "requester": requester, "assigned_to": None, "course": None,
            "category": "general", "priority": "low", "status": "open", "actor": None,
        }  # fmt: skip
        meant = as_record(TicketOpened(**facts), 1)
        payload = json.dumps({"ticket": str(ticket), "number": 5})
        headers = [(name, value.encode()) for name, value in meant.headers.items()]
        producer = AIOKafkaProducer(**kafka_arguments(kafka_settings(project)))
        await producer.start()
        try:
            await producer.send_and_wait(
                meant.topic, payload.encode(), key=str(ticket).encode(), headers=headers
            )
        finally:
            await producer.stop()
        return cls(meant.topic, str(ticket), payload, meant)

    def mend(self, project: Project) -> None:
        """Put in the dead letter what was meant, as an operator would."""
        with psycopg.connect(with_database(project.postgres_url, DATABASE)) as connection:
            connection.execute(
                "UPDATE analytics.dead_letter SET payload = %s WHERE key = %s", (self.meant.value, self.key)
            )
