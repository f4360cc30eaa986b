"""Tasks: Celery carries ids, never truth.

A service declares its tasks on a `Tasks` registry as coroutines. The transaction writes a row and calls
`db.enqueue`; after the commit the id goes to Celery; the task loads the row, does the side effect, marks the
row. A task with `every` is a sweep that beat starts: it finds rows that wait too long, so that losing the
broker loses nothing.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from celery import Celery, signals
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from sqlalchemy import text

from libs.common.data.db import Database
from libs.common.data.heartbeat import say
from libs.common.runtime import metrics
from libs.common.runtime.clock import Clock, system_clock
from libs.common.runtime.connections import valkey_url
from libs.common.runtime.failpoints import arm
from libs.common.runtime.logs import configure_logs, get_logger
from libs.common.runtime.settings import ServiceSettings, SuiteSettings
from libs.common.runtime.telemetry import configure_telemetry, telemetry
from libs.common.runtime.trace import Trace, from_headers, tracing
from libs.common.runtime.valkey import BEAT_KEYS, QUEUE_KEYS

log = get_logger(__name__)

VISIBILITY_TIMEOUT = 900  # above the longest task, or an acks_late task would run twice
WANTED = "wanted-at"
"""Header of a task's message: when the commit that wants it was done, in seconds since 1970."""
TaskFunction = Callable[..., Awaitable[Any]]


@dataclass
class TaskRun:
    """What a task works with."""

    db: Database
    clock: Clock = system_clock

    @property
    def settings(self) -> Any:
        return self.db.settings


@dataclass(frozen=True)
class Task:
    name: str
    function: TaskFunction
    every: float | None


async def forget_answers(run: TaskRun) -> None:
    """Delete the answers to idempotent requests that are older than a day."""
    async with run.db.session() as session:
        await session.execute(
            text("DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'")
        )


async def report_worker(run: TaskRun) -> None:
    """Say that beat, broker and a worker do what they are for; see heartbeat.py."""
    async with run.db.session() as session:
        await say(session, "tasks", run.clock(), {})


class Tasks:
    """The tasks of one service, by name `<service>.<verb>_<noun>`. Every service has the two above."""

    def __init__(self, service: str, settings: Callable[[], ServiceSettings]) -> None:
        self.service = service
        self.settings = settings
        self.by_name: dict[str, Task] = {}
        self.task(every=3600)(forget_answers)
        self.task(every=10)(report_worker)

    def task(self, *, every: float | None = None) -> Callable[[TaskFunction], TaskFunction]:
        """Declare `async def name(run: TaskRun, *ids: str)`; beat starts it each `every` seconds."""

        def declare(function: TaskFunction) -> TaskFunction:
            name = f"{self.service}.{function.__name__}"
            self.by_name[name] = Task(name, function, every)
            return function

        return declare


def celery_app(settings: SuiteSettings, *registries: Tasks) -> Celery:
    """A Celery application that runs the tasks of `registries`, each service on its own queue."""
    broker = valkey_url(settings, settings.broker_url)
    app = Celery("lectern", broker=broker, set_as_current=False)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_soft_shutdown_timeout=8.0,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT,
            "global_keyprefix": QUEUE_KEYS,
            "socket_timeout": 10,
            "socket_connect_timeout": 2,
            "retry_on_timeout": True,
            "health_check_interval": 10,
        },
        task_serializer="json",
        accept_content=["json"],
        task_queues=[Queue(registry.service) for registry in registries],
        redbeat_redis_url=broker,
        redbeat_redis_options={"socket_timeout": 10, "socket_connect_timeout": 2},
        redbeat_key_prefix=BEAT_KEYS,
        redbeat_lock_timeout=30,
        beat_max_loop_interval=5,
        beat_schedule={
            task.name: {
                "task": task.name,
                "schedule": task.every,
                "options": {"queue": registry.service, "expires": max(task.every, 5.0)},
            }
            for registry in registries
            for task in registry.by_name.values()
            if task.every is not None
        },
    )
    for registry in registries:
        for task in registry.by_name.values():
            _register(app, registry, task)
    return app


def _register(app: Celery, registry: Tasks, task: Task) -> None:
    def run(celery_task: Any, *arguments: str) -> None:
        headers = dict(getattr(celery_task.request, "headers", None) or {})
        if (wanted := _moment(headers.get(WANTED))) is not None:
            metrics.TASK_WAIT.labels(task.name).observe(max(0.0, time.time() - wanted))
        _runner.run(registry, task, arguments, from_headers(headers))

    app.task(run, name=task.name, bind=True, shared=False)


def _moment(given: Any) -> float | None:
    try:
        return float(given)
    except (TypeError, ValueError):  # a task of beat, or of an older release
        return None


class _Runner:
    """One event loop in a thread of its own per worker process, and one Database per service on it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._databases: dict[str, Database] = {}

    def run(self, registry: Tasks, task: Task, arguments: Sequence[str], trace: Trace) -> None:
        asyncio.run_coroutine_threadsafe(
            self._run(registry, task, arguments, trace), self._started()
        ).result()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="tasks", daemon=True).start()
            return self._loop

    async def _run(self, registry: Tasks, task: Task, arguments: Sequence[str], trace: Trace) -> None:
        db = self._databases.get(registry.service)
        if db is None:
            settings = registry.settings()
            db = self._databases[registry.service] = Database(settings, CeleryQueue(settings))
        with tracing(trace):
            await self._timed(task, TaskRun(db), arguments, trace)
            if task.every is None:
                log.info("task_done", task=task.name, arguments=list(arguments))

    @staticmethod
    async def _timed(task: Task, run: TaskRun, arguments: Sequence[str], trace: Trace) -> None:
        began, outcome = time.time_ns(), "failed"
        try:
            await task.function(run, *arguments)
            outcome = "done"
            if task.every is not None:
                metrics.TASK_SUCCESS.labels(task.name).set_to_current_time()
        finally:
            ended = time.time_ns()
            metrics.TASKS.labels(task.name, outcome).observe(max(0, ended - began) / 1e9)
            kept = telemetry()
            if kept is not None and trace.parent:  # what beat starts belongs to no request
                failed = outcome == "failed"
                kept.emit(trace, task.name, "consumer", began, ended, {}, linked=True, failed=failed)


_runner = _Runner()


def keep_our_logs(**_: Any) -> None:
    settings = SuiteSettings()
    configure_logs("tasks", settings.log_format, settings.log_level)
    configure_telemetry("tasks", settings)
    arm(settings.failpoints)


signals.setup_logging.connect(keep_our_logs)


def show_metrics(sender: Any, **_: Any) -> None:
    """A worker has no HTTP of its own; `LECTERN_TASKS_METRICS_PORT` gives it the metrics alone."""
    settings = SuiteSettings()
    metrics.serve_metrics(settings.tasks_metrics_port, settings.host)
    for name, entry in sender.app.conf.beat_schedule.items():
        if name in sender.app.tasks:
            metrics.TASK_INTERVAL.labels(name).set(entry["schedule"])
            metrics.TASK_SUCCESS.labels(name).set_to_current_time()


signals.worker_ready.connect(show_metrics)


class CeleryQueue:
    """Sends tasks to the broker. While it is away the sweeps find the rows, so failure is only logged."""

    def __init__(self, settings: SuiteSettings) -> None:
        self._app = celery_app(settings)
        self._app.conf.broker_connection_timeout = 2

    async def enqueue(self, name: str, arguments: Sequence[str], trace: Trace) -> None:
        try:
            await asyncio.to_thread(self._send, name, list(arguments), trace)
        except (OperationalError, RedisError, OSError) as error:
            metrics.TASKS_NOT_SENT.inc()
            log.warning("task_not_enqueued", task=name, error=repr(error))

    def _send(self, name: str, arguments: list[str], trace: Trace) -> None:
        self._app.send_task(
            name,
            args=arguments,
            queue=name.partition(".")[0],
            headers={**trace.headers(), WANTED: f"{time.time():.3f}"},
            retry=False,
        )
