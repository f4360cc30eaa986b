"""Restarts of real processes under load: no request is lost."""

import asyncio
import os
import signal
import stat
from pathlib import Path

import pytest

from gateway.tests.harness import bearer
from gateway.tests.processes import Load, Running, logged, terminate
from libs.common.testing.harness import eventually

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def run():
    opened: list[Running] = []

    async def begin(**environment: str) -> Running:
        opened.append(await Running(**environment).open())
        await opened[-1].start()
        await opened[-1].wait_ready()
        return opened[-1]

    yield begin
    for running in opened:
        await running.close()


async def test_successors_take_the_port_over_without_an_error(run, tmp_path: Path):
    path = tmp_path / "gateway.sock"
    running = await run(GATEWAY_HANDOVER=str(path))
    await eventually(path.exists)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with Load(running) as load:
        for number in range(3):
            await load.goes_on()
            old = running.processes[-1]
            new = await running.start()
            log = await logged(old)  # ends by itself
            assert (old.returncode, new.returncode) == (0, None), number
            assert any(line["event"] == "port_handed_over" for line in log)
        await load.goes_on()
    assert load.errors == []
    assert load.connections >= 8 * 4
    terminate(running.processes[-1])
    assert any(line["event"] == "port_taken_over" for line in await logged(running.processes[-1]))
    assert not path.exists()


async def test_a_successor_that_fails_changes_nothing(run, tmp_path: Path):
    running = await run(GATEWAY_HANDOVER=str(tmp_path / "gateway.sock"), GATEWAY_START_PATIENCE="5")
    async with Load(running) as load:
        failing = await running.start()
        assert failing.stderr is not None
        async for line in failing.stderr:
            if b"port_taken_over" in line:
                break
        failing.kill()  # it has the socket and has not accepted
        await failing.wait()
        await load.goes_on()
        good = await running.start()
        await logged(running.processes[0])
        await load.goes_on()
        assert good.returncode is None
    assert load.errors == []


async def test_a_successor_without_keys_leaves_the_port_to_who_has_them(run, tmp_path: Path):
    running = await run(GATEWAY_HANDOVER=str(tmp_path / "gateway.sock"))
    await running.identity.stop()
    async with Load(running) as load:
        log = await logged(await running.start())
        assert any(
            "NotReady" in str(line.get("error")) for line in log if line["event"] == "gateway_not_started"
        )
        assert [process.returncode for process in running.processes] == [None, 1]
        await load.goes_on()
    assert load.errors == []


async def test_a_path_that_nobody_listens_on_any_more_is_no_hindrance(run, tmp_path: Path):
    path = tmp_path / "gateway.sock"
    running = await run(GATEWAY_HANDOVER=str(path))
    await eventually(path.exists)
    running.processes[0].kill()
    await running.processes[0].wait()
    assert path.is_socket()
    await running.start()
    await running.wait_ready()


async def test_who_stands_in_the_queue_at_sigterm_is_answered(run):
    """Stopped, so that the kernel completes connections that the process has not accepted."""
    running = await run()
    process = running.processes[0]
    os.kill(process.pid, signal.SIGSTOP)
    clients = [await running.client() for _ in range(100)]
    for client in clients:
        client.send(f"GET /api/courses/ HTTP/1.1\r\nHost: x\r\n{bearer()}\r\n")
    terminate(process)
    os.kill(process.pid, signal.SIGCONT)
    answers = [await client.answer() for client in clients]
    assert {(answer.status, answer.get("connection")) for answer in answers} == {(200, "close")}
    log = await logged(process)
    assert not [line for line in log if line["level"] == "error" and line.get("logger") != "aiokafka"]
    assert process.returncode == 0


async def test_whoever_is_in_is_answered_while_the_process_ends(run):
    """As behind a balancer that sends nobody new once readiness has gone: nothing that was asked is lost."""
    running = await run(GATEWAY_DRAIN_GRACE="1")
    process = running.processes[0]
    async with Load(running) as load:
        await load.goes_on()
        terminate(process)

        async def is_not_ready() -> bool:
            return not await running.ready()

        await eventually(is_not_ready, timeout=0.9)
        load.end()
    assert load.errors == []
    await logged(process)
    assert process.returncode == 0


async def test_a_restart_of_a_gateway_that_hangs_does_not_wait_for_ever(run, tmp_path: Path):
    path = tmp_path / "gateway.sock"
    running = await run(GATEWAY_HANDOVER=str(path))
    await eventually(path.exists)
    hung = running.processes[0]
    os.kill(hung.pid, signal.SIGSTOP)
    try:
        new = await running.start()
        assert new.stderr is not None
        async with asyncio.timeout(30):
            async for line in new.stderr:
                if b"handover_failed" in line:
                    break
            else:
                raise AssertionError("it did not give up")
    finally:
        os.kill(hung.pid, signal.SIGCONT)
