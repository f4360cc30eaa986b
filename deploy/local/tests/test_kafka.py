import asyncio
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local.servers import Server, start_kafka


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


async def send(server: Server) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=server.url)
    await admin.start()
    await admin.create_topics([NewTopic("notes", 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=server.url, acks="all", enable_idempotence=True)
    async with producer:
        await producer.send_and_wait("notes", b"kept", partition=0)


async def read(server: Server) -> bytes | None:
    consumer = AIOKafkaConsumer(bootstrap_servers=server.url, auto_offset_reset="earliest")
    async with consumer:
        consumer.assign([TopicPartition("notes", 0)])
        record = await asyncio.wait_for(consumer.getone(), 20)
    value: bytes | None = record.value
    return value
