"""A service of counters, as small as a service can be: what the backbone is tested with."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict
from sqlalchemy import BigInteger, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from libs.common.bus.received import Received, Subscription
from libs.common.data.db import SessionDep, driver, enqueue
from libs.common.data.jobs import TaskRun, Tasks
from libs.common.data.outbox import record
from libs.common.data.tables import TYPES, Aggregate, Timestamps, service_metadata
from libs.common.events.base import Event, State
from libs.common.privacy.parts import PrivacyPartTable
from libs.common.runtime.errors import NotFound
from libs.common.runtime.settings import ServiceSettings
from libs.common.security.auth import CurrentUser, Manager
from libs.common.web import etags
from libs.common.web.etags import IfMatch
from libs.common.web.paging import PagingDep, choose, paginate, paginate_by_cursor
from libs.common.web.schemas import Body


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="TOY_", extra="ignore", populate_by_name=True)

    service: str = "toy"
    port: int = 8199
    database_url: SecretStr = SecretStr("postgresql://nobody@127.0.0.1:1/none")


class Counted(Event):
    """Trigger: somebody counted. Key: counter."""

    type = "toy.counted.v1"
    topic = "toy.events"
    key_field = "counter"

    counter: UUID
    value: int


class Renamed(Event):
    """Trigger: a counter got another name. Key: counter."""

    type = "toy.renamed.v1"
    topic = "toy.events"
    key_field = "counter"

    counter: UUID
    name: str


class CounterState(State):
    """The whole counter. Key: uuid."""

    type = "toy.counter.v1"
    topic = "toy.counters"
    key_field = "uuid"

    uuid: UUID
    value: int


class Base(DeclarativeBase):
    metadata = service_metadata()
    type_annotation_map = TYPES


class Counter(Aggregate, Timestamps, Base):
    """Counts up, never down."""

    __tablename__ = "counters"
    __topics__ = ("toy.events",)

    value: Mapped[int] = mapped_column(BigInteger, default=0)


class Seen(Base):
    """What the handlers were given, in order; `value` is refused when it is 13 and the switch is on."""

    __tablename__ = "seen"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    key: Mapped[UUID]
    kind: Mapped[str]
    value: Mapped[int]


class CounterCopy(Base):
    """Replica of toy.counters."""

    __tablename__ = "counter_copies"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    value: Mapped[int]


class PrivacyPart(PrivacyPartTable, Base):
    """What the toy was asked to pack or to erase."""

    __topics__ = ("toy.privacy.events",)


class Note(Base):
    """What somebody wrote."""

    __tablename__ = "notes"

    user: Mapped[UUID] = mapped_column(primary_key=True)
    words: Mapped[str]


class Poison(ValueError):
    """What a handler with a bug raises."""


class Switch:
    """Whether the handler refuses the value 13, and whether what it needs is away.

    `poisoned` may be a number: so many times it refuses, then it is mended.
    """

    poisoned: bool | int = False
    away = False
    refused = 0


async def on_counted(session: AsyncSession, batch: Sequence[Received[Counted]]) -> None:
    if Switch.away:
        raise ConnectionError("the database is away")
    rows = []
    for item in batch:
        assert item.event is not None
        if item.event.value == 13 and (Switch.poisoned is True or Switch.refused < Switch.poisoned):
            Switch.refused += 1
            raise Poison("thirteen")
        rows.append({"key": item.event.counter, "kind": "counted", "value": item.event.value})
    await session.execute(text("INSERT INTO seen (key, kind, value) VALUES (:key, :kind, :value)"), rows)


async def on_renamed(session: AsyncSession, batch: Sequence[Received[Renamed]]) -> None:
    rows = [{"key": i.event.counter, "kind": "renamed", "value": 0} for i in batch if i.event is not None]
    await session.execute(text("INSERT INTO seen (key, kind, value) VALUES (:key, :kind, :value)"), rows)


async def on_state(session: AsyncSession, batch: Sequence[Received[CounterState]]) -> None:
    from libs.common.bus.replicas import replicate

    await replicate(session, CounterCopy, batch, lambda e: {"uuid": e.uuid, "value": e.value})


SUBSCRIPTION = Subscription("toy", {Counted: on_counted, Renamed: on_renamed, CounterState: on_state})
TASKS = Tasks("toy", Settings)


@TASKS.task()
async def note_counter(run: TaskRun, uuid: str) -> None:
    async with run.db.session() as session:
        await session.execute(
            text("INSERT INTO seen (key, kind, value) VALUES (:k, 'task', 0)"), {"k": UUID(uuid)}
        )


router = APIRouter(prefix="/api/counters")


class NewCounter(Body):
    value: int = Field(0, ge=0, le=1000)
    name: Annotated[str, AfterValidator(str.strip), Field(min_length=2, max_length=5)] | None = None


async def count(session: AsyncSession, counter: Counter, value: int) -> None:
    counter.value = value
    counter.version = (counter.version or 0) + 1
    record(session, Counted(counter=counter.uuid, value=value), counter.version)


@router.post("/", status_code=201)
async def create_counter(body: NewCounter, session: SessionDep, user: CurrentUser) -> dict[str, Any]:
    counter = Counter(uuid=uuid4())
    session.add(counter)
    await count(session, counter, body.value)
    enqueue(session, "toy.note_counter", str(counter.uuid))
    return {"uuid": counter.uuid, "value": counter.value}


@router.post("/broken-commit/")
async def break_commit(session: SessionDep, request: Request) -> dict[str, str]:
    """The connection is lost between the last statement and the commit."""
    pid = await session.scalar(text("SELECT pg_backend_pid()"))
    session.add(Counter(uuid=uuid4(), version=1))
    await session.flush()
    async with request.app.state.db.sessions() as other:
        await other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    return {"status": "created"}


@router.get("/")
async def list_counters(
    session: SessionDep, page: PagingDep, parity: str | None = None, by_cursor: bool = False
) -> dict[str, Any]:
    choose("parity", parity, ("odd", "even"))
    if by_cursor:
        answer = await paginate_by_cursor(session, select(Counter), page, [Counter.created_at, Counter.uuid])
        answer["results"] = [c.value for c in answer["results"]]
        return answer
    number, rows = await paginate(session, select(Counter).order_by(Counter.value), page)
    return page.answer(number, [c.value for c in rows])


@router.get("/managers/")
async def for_managers(user: Manager) -> dict[str, str]:
    return {"role": user.role}


@router.get("/{uuid}/")
async def get_counter(uuid: UUID, session: SessionDep, request: Request, response: Response) -> Any:
    counter = await session.get(Counter, uuid)
    if counter is None:
        raise NotFound
    return etags.answer(request, response, etags.etag(counter.version)) or {"value": counter.value}


@router.patch("/{uuid}/")
async def change_counter(uuid: UUID, body: NewCounter, session: SessionDep, if_match: IfMatch) -> Any:
    counter = await session.get(Counter, uuid, with_for_update=True)
    if counter is None:
        raise NotFound
    if_match.check(counter.version)
    await count(session, counter, body.value)
    return {"value": counter.value}


@router.post("/upload/", max_body_size=3_000_000)
async def upload(request: Request) -> dict[str, Any]:
    async with request.form() as form:
        return {"fields": sorted(form)}


@router.put("/upload/", max_body_size=3_000_000)
async def upload_part(request: Request) -> dict[str, Any]:
    return {"bytes": len(await request.body())}


FAULTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "number": ("SELECT 1 / 0", ()),
    "nul": ("SELECT %s::text", ("a\0b",)),
    "twice": ("INSERT INTO notes VALUES (%s, '')", (UUID(int=1),)),
    "gone": ("SELECT pg_terminate_backend(pg_backend_pid())", ()),
    "mistake": ("SELEKT 1", ()),
}


@router.post("/faults/{name}/")
async def fail_directly(name: str, session: SessionDep) -> dict[str, str]:
    """What a hot path meets, which asks psycopg itself."""
    connection = await driver(session)
    for _ in range(2):
        await connection.execute(*FAULTS[name])
    return {"status": "done"}


def events(uuid: UUID, *values: int) -> list[tuple[Event, int]]:
    return [(Counted(counter=uuid, value=value), seq) for seq, value in enumerate(values, 1)]
