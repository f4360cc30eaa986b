"""The service's database: engine, the session of a request, and what follows a commit."""

import asyncio
import json
import select
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Protocol, cast

import orjson
import psycopg
from fastapi import Depends, Request
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import QueuePool

from libs.common.data.bootstrap import session_settings
from libs.common.data.notifier import Notifier, live_key
from libs.common.data.outbox import INSERT, Recorder, consistency_token, take_recorded
from libs.common.runtime import metrics
from libs.common.runtime.connections import postgres_url
from libs.common.runtime.settings import ServiceSettings
from libs.common.runtime.telemetry import span
from libs.common.runtime.trace import Trace, current_trace

DIRECT_POOL = 4
SESSION_SETTINGS = "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS n(name)"


def _from_json(data: str | bytes) -> Any:
    """JSON columns by orjson. An integer beyond 64 bits is a double that PostgreSQL wrote out (1e30), and
    becomes one again; what exceeds a double too was stored before strict.py, and is infinite here."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data, parse_int=float)


set_json_loads(_from_json)


class TaskQueue(Protocol):
    """Where tasks go after a commit."""

    async def enqueue(self, name: str, arguments: Sequence[str], trace: Trace) -> None:
        """Never raises: the row that the task works on is the truth, and a sweep finds it."""


class PoolerRefused(Exception):
    """A connection that needs a session of its own was led to a pooler, or a pooler's role has no limits."""


def conninfo(settings: ServiceSettings, *, direct: bool = False) -> str:
    """The URL as psycopg itself takes it, for connections outside SQLAlchemy's pool."""
    return postgres_url(settings, direct=direct).render_as_string(hide_password=False)


def connect_options(service: str) -> str:
    """The settings of a session, asked for by the connection itself."""
    return " ".join(f"-c {n}={v.replace(', ', ',')}" for n, v in session_settings(service).items())


def connect_arguments(settings: ServiceSettings) -> dict[str, Any]:
    """For connections by `database_url`. A pooler refuses startup options, or loses them without a word:
    there the role's own settings count, and `_refuse_unbounded` looks at them."""
    arguments = {
        "application_name": f"lectern-{settings.service}",
        "connect_timeout": 5,
        "tcp_user_timeout": 10_000,
    }
    if settings.database_direct_url.get_secret_value():
        return arguments
    return arguments | {"options": connect_options(settings.service)}


async def connect_direct(
    settings: ServiceSettings, *, options: str = "", application_name: str = ""
) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """A session of its own, autocommitting, for LISTEN and session locks.

    Through a pooler both fail without an error: wake-ups never come, and two relays own one lane. So what
    hands out a made-up process number in place of the server's is refused with `PoolerRefused`.
    """
    try:
        connection = await psycopg.AsyncConnection.connect(
            conninfo(settings, direct=True),
            autocommit=True,
            connect_timeout=5,
            application_name=application_name or f"lectern-{settings.service}",
            options=options or None,
        )
    except psycopg.OperationalError as error:
        refuse_poolers_complaint(settings.service, error)
        raise
    try:
        cursor = await connection.execute("SELECT pg_backend_pid()")
        real = (await cursor.fetchone() or (None,))[0]
        refuse_pooler(settings.service, connection.info.backend_pid, real)
    except BaseException:
        await connection.close()
        raise
    return connection


def refuse_poolers_complaint(service: str, error: Exception) -> None:
    """PgBouncer refuses the options of a session's start; PostgreSQL does not."""
    if "unsupported startup parameter" in str(error):
        refuse_pooler(service, 0, None)


def refuse_pooler(service: str, told: int, real: int | None) -> None:
    """`told` is the server process that the connection was told of, `real` the one that answers."""
    if told != real:
        name = f"{service.upper()}_DATABASE_DIRECT_URL"
        raise PoolerRefused(
            f"{name} (if empty, {service.upper()}_DATABASE_URL) leads to a pooler, where session locks and"
            " LISTEN do not hold: set it to the address of PostgreSQL itself"
        )


def make_engine(settings: ServiceSettings) -> AsyncEngine:
    engine = create_async_engine(
        postgres_url(settings).set(drivername="postgresql+psycopg"),
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_timeout=5,
        pool_pre_ping=False,
        pool_recycle=1800,
        connect_args=connect_arguments(settings),
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    if settings.database_direct_url.get_secret_value():
        event.listen(engine.sync_engine, "connect", partial(_refuse_unbounded, settings.service))
    return engine


def direct_pool(
    settings: ServiceSettings,
) -> AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]]:
    """A few connections for `Database.direct`, made when they are first wanted."""
    pooled = bool(settings.database_direct_url.get_secret_value())
    return AsyncConnectionPool(
        conninfo(settings),
        kwargs=connect_arguments(settings),
        configure=partial(_refuse_unbounded_direct, settings.service) if pooled else None,
        min_size=0,
        max_size=DIRECT_POOL,
        timeout=5,
        max_lifetime=1800,
        open=False,
        name=f"direct-{settings.service}",
    )


def _refuse_unbounded(service: str, connection: Any, _: Any) -> None:
    """A pooled session must have come with the settings of its role: without them a statement may last for
    ever, or find the tables of nobody."""
    cursor = connection.cursor()
    cursor.execute(SESSION_SETTINGS, (list(session_settings(service)),))
    found = dict(cursor.fetchall())
    cursor.close()
    connection.rollback()
    _refuse_other_settings(service, found)


async def _refuse_unbounded_direct(service: str, connection: psycopg.AsyncConnection[Any]) -> None:
    cursor = await connection.execute(SESSION_SETTINGS, (list(session_settings(service)),))
    found = dict(await cursor.fetchall())
    await connection.rollback()
    _refuse_other_settings(service, found)


def _refuse_other_settings(service: str, found: dict[str, str]) -> None:
    wrong = [
        f"{n} is {found.get(n)}, not {v}" for n, v in session_settings(service).items() if found.get(n) != v
    ]
    if wrong:
        raise PoolerRefused(
            f"sessions by {service.upper()}_DATABASE_URL lack the settings of their role ({'; '.join(wrong)})"
            ": run 'python -m libs.common.data.bootstrap' and restart the pooler"
        )


def _refuse_closed(_: Any, record: Any, __: Any) -> None:
    """Replace pooled connections that the server has closed, before anybody's statement fails on one.

    A closed socket is readable, an idle one is not: asking the kernel costs microseconds, a ping costs more.
    """
    poller = select.poll()
    poller.register(record.driver_connection.fileno(), select.POLLIN)
    if poller.poll(0):
        raise InvalidatePoolError("the server has closed the connection")


@dataclass(frozen=True, slots=True)
class Direct:
    """A transaction of psycopg alone, and what is recorded in it."""

    connection: psycopg.AsyncConnection[tuple[Any, ...]]
    info: dict[Any, Any] = field(default_factory=dict)


class Database:
    """One process's way to its schema: `async with db.session() as session:` is one transaction."""

    def __init__(self, settings: ServiceSettings, queue: TaskQueue) -> None:
        self.settings = settings
        self.queue = queue
        self.engine = make_engine(settings)
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self.notifier = Notifier(conninfo(settings), settings.service, live_key(settings.secret))
        self.progressed = asyncio.Condition()
        self._direct: AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]] | None = None
        self._told = {"db.system.name": "postgresql", "db.namespace": settings.service}
        metrics.POOLS.add(self)

    @property
    def service(self) -> str:
        return self.settings.service

    def usage(self) -> tuple[int, int]:
        """Connections that transactions have taken, and the most that they may take."""
        pool = cast(QueuePool, self.engine.pool)
        taken, most = pool.checkedout(), pool.size()
        if self._direct is not None:
            figures = self._direct.get_stats()
            taken += figures["pool_size"] - figures["pool_available"]
            most += figures["pool_max"]
        return taken, most

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """Commit at the end, roll back on an error; then wake the relay and run what waits for the commit."""
        with span("transaction", "client", self._told):
            async with self._session() as session:
                yield session
        await self.committed(session)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[AsyncSession]:
        async with self.sessions() as session:
            try:
                yield session
                await session.commit()
            except BaseException:
                # A rollback on a connection that is gone must not hide the first error.
                try:
                    await session.rollback()
                except Exception:
                    await session.invalidate()
                raise

    @asynccontextmanager
    async def direct(self) -> AsyncIterator[Direct]:
        """The same below SQLAlchemy, at a third of the cost: for hot paths that are plain SQL."""
        if self._direct is None:
            self._direct = direct_pool(self.settings)
            await self._direct.open()
        async with self._direct.connection() as connection:
            transaction = Direct(connection)
            yield transaction
            events = take_recorded(transaction)
            if events is not None:
                await connection.execute(INSERT, events)
        await self.committed(transaction)

    async def committed(self, session: Recorder) -> None:
        """What follows a commit. None of it may fail the write, which is already done."""
        if session.info.get("tokens"):
            self.notifier.wake_relay()
        for payload in session.info.pop("live", ()):
            self.notifier.publish(payload)
        for name, arguments, trace in session.info.pop("tasks", ()):
            await self.queue.enqueue(name, arguments, trace)

    async def close(self) -> None:
        await self.notifier.close()
        if self._direct is not None:
            await self._direct.close()
        await self.engine.dispose()


def enqueue(session: AsyncSession, name: str, *arguments: str, trace: Trace | None = None) -> None:
    """Start a task once this transaction is committed. A lost start is mended by the sweep of its rows."""
    session.info.setdefault("tasks", []).append((name, arguments, trace or current_trace()))


def publish_live(session: AsyncSession, payload: str) -> None:
    """Tell the sockets of every replica once this transaction is committed; see `libs.common.live.hub`."""
    session.info.setdefault("live", []).append(payload)


def as_json(rows: Any) -> str:
    """A parameter for `json_to_recordset`; decimals as text, so that they stay exact."""
    return orjson.dumps(rows, default=str).decode()


async def driver(session: AsyncSession) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """The connection itself under a session's transaction: what hot paths execute there belongs to it."""
    raw = await (await session.connection()).get_raw_connection()
    return cast(psycopg.AsyncConnection[tuple[Any, ...]], raw.driver_connection)


def shared_session(request: Request) -> AsyncSession | None:
    """The middleware's transaction, of a request with an `Idempotency-Key`."""
    shared: AsyncSession | None = request.scope.get("lectern.session")
    return shared


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """The transaction of a request: committed before the answer is sent.

    With an `Idempotency-Key` the middleware owns the transaction, because the answer is stored in it.
    """
    shared = shared_session(request)
    if shared is not None:
        yield shared
        return
    db: Database = request.app.state.db
    async with db.session() as session:
        yield session
    request.scope["lectern.token"] = consistency_token(session)


SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
