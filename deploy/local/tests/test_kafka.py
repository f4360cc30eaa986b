import asyncio
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local.servers import Server, start_kafka
from libs.common.runtime.connections import kafka_arguments
from libs.common.runtime.settings import SuiteSettings


async def test_the_embedded_broker_keeps_what_was_sent_over_a_restart(private_directory: Path):
    # In this thread: the kernel ends the broker with the thread that started it.
    server = start_kafka(private_directory / "kafka")
    try:
        await send(server)
        await asyncio.to_thread(server.stop)
        server = start_kafka(private_directory / "kafka", server.command.ports[0])
        assert await read(server) == b"kept"
    finally:
        await asyncio.to_thread(server.stop)


def arguments(server: Server) -> dict[str, Any]:
    return kafka_arguments(SuiteSettings.model_validate({"LECTERN_KAFKA": server.url, **server.login}))


async def send(server: Server) -> None:
    admin = AIOKafkaAdminClient(**arguments(server))
    await admin.start()
    await admin.create_topics([NewTopic("notes", 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(**arguments(server), acks="all", enable_idempotence=True)
    async with producer:
        await producer.send_and_wait("notes", b"kept", partition=0)


async def read(server: Server) -> bytes | None:
    consumer = AIOKafkaConsumer(**arguments(server), auto_offset_reset="earliest")
    async with consumer:
        consumer.assign([TopicPartition("notes", 0)])
        record = await asyncio.wait_for(consumer.getone(), 20)
    value: bytes | None = record.value
    return value
