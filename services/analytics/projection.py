"""A projection: a schema `projection_<number>` with the read models, their aggregates and what keeps these.

Sessions find its tables by `search_path`, so the same handlers fill the live one and one that is being
rebuilt beside it. The live projection has one writer at a time, who holds the row of `live_projection`: what
the database derives from several rows (`aggregates.py`) needs no other lock, and the log's positions are in
the order of commits.
"""

from collections.abc import Iterator

from sqlalchemy import Connection, Executable, MetaData, Numeric, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.schema import CreateIndex, CreateTable

from services.analytics import read_models
from services.analytics.aggregates import AGGREGATES, triggers
from services.analytics.aggregates import DERIVED as KEPT

VERSION = 2
"""Of the read models' shape and meaning: one that was filled by an older release is folded anew."""


# Rows that sums have left empty.
SOME = {
    read_models.returning_days: "people <> 0",
    read_models.learners: "last_day IS NOT NULL OR seconds <> 0 OR quizzes <> 0",
}


def schema_name(number: int) -> str:
    return f"projection_{number}"


def _search_path(number: int) -> str:
    return f"{schema_name(number)}, analytics, analytics_audit, public"


def _indexes(metadata: MetaData) -> Iterator[Executable]:
    for table in metadata.sorted_tables:
        for index in sorted(table.indexes, key=lambda i: str(i.name)):
            yield CreateIndex(index, if_not_exists=True)


def kept() -> Iterator[Executable]:
    """Statements that make indexes, derived tables and aggregates of filled base tables, and keep them."""
    yield from _indexes(read_models.TABLES)
    for derived in KEPT:
        yield CreateTable(derived.table)
        yield text(derived.filled())
    yield from _indexes(read_models.DERIVED)
    for aggregate in AGGREGATES:
        if not aggregate.table:
            yield text(aggregate.create())
        yield text(aggregate.fill())
    for statement in triggers():
        yield text(statement)


async def create_projection(session: AsyncSession, number: int, *, bulk: bool = False) -> None:
    """Make the empty tables of a projection, in place of any that were left behind, and use it.

    With `bulk` only the base tables: whoever fills them calls `keep_projection` then.
    """
    schema = schema_name(number)
    await session.execute(text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
    await session.execute(text(f"CREATE SCHEMA {schema}"))
    await use_projection(session, number)
    for table in read_models.TABLES.sorted_tables:
        await session.execute(CreateTable(table))
    if not bulk:
        await keep_projection(session)


async def keep_projection(session: AsyncSession) -> None:
    """Aggregates from scratch, and the triggers that keep them from now on."""
    for statement in kept():
        await session.execute(statement)


def widen(connection: Connection) -> None:
    """Give the live projection of an older release the base tables and columns that this one writes. They are
    empty until it is folded anew."""
    if not _use_live(connection):
        return
    for table in read_models.TABLES.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for column in table.columns:
            if not column.primary_key:
                kind = column.type.compile(connection.dialect)
                connection.exec_driver_sql(
                    f'ALTER TABLE {table.name} ADD COLUMN IF NOT EXISTS "{column.name}" {kind}'
                )


def keep_live(connection: Connection) -> None:
    """Give the live projection of an older release its aggregates. Writers wait meanwhile."""
    if _use_live(connection):
        for statement in kept():
            connection.execute(statement)


def _use_live(connection: Connection) -> bool:
    number = connection.scalar(text("SELECT number FROM live_projection FOR UPDATE"))
    if number is not None:
        connection.exec_driver_sql(f"SET LOCAL search_path = {_search_path(number)}")
    return number is not None


async def use_projection(session: AsyncSession, number: int) -> None:
    """Find this projection's tables in the rest of the transaction."""
    await session.execute(
        text("SELECT set_config('search_path', :path, true)"),
        {"path": _search_path(number)},
    )


async def use_live(session: AsyncSession, *, writing: bool = False) -> int:
    """Find the live projection's tables in the rest of the transaction; returns its number.

    A writer keeps other writers, and the swap of a rebuild, waiting until its commit. The first projection is
    made here.
    """
    lock = " FOR UPDATE" if writing else ""
    number = await session.scalar(text(f"SELECT number FROM live_projection{lock}"))
    if number is None:
        await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('analytics.projection'))"))
        number = await session.scalar(text(f"SELECT number FROM live_projection{lock}"))
        if number is None:
            number = 1
            await create_projection(session, number)
            await session.execute(
                text("INSERT INTO live_projection (id, number, version) VALUES (1, :n, :v)"),
                {"n": number, "v": VERSION},
            )
    await use_projection(session, number)
    return int(number)


async def digest(session: AsyncSession, number: int) -> dict[str, str]:
    """Number of rows and sum of their hashes of each table: equal digests mean equal read models.

    A sum needs no order and no memory, however large the table. Groups of nothing do not count, nor does how
    many decimals a sum was once given to.
    """
    await use_projection(session, number)
    found: dict[str, str] = {}
    for metadata in (read_models.TABLES, read_models.DERIVED):
        for table in metadata.sorted_tables:
            columns = [_exact(f't."{c.name}"', isinstance(c.type, Numeric)) for c in table.columns]
            found[str(table.name)] = await _digest(session, table.name, columns, SOME.get(table, "true"))
    for aggregate in AGGREGATES:
        if not aggregate.table:
            columns = [*aggregate.keys, *(_exact(n, True) for n in aggregate.measures)]
            some = " OR ".join(f"{n} <> 0" for n in aggregate.measures)
            found[aggregate.name] = await _digest(session, aggregate.name, columns, some)
    return found


def _exact(column: str, is_sum: bool) -> str:
    return f"trim_scale({column}::numeric)" if is_sum else column


async def _digest(session: AsyncSession, name: str, columns: list[str], some: str) -> str:
    query = (
        "SELECT count(*) || ':' ||"
        f" coalesce(sum(hashtextextended(ROW({', '.join(columns)})::text, 0)::numeric), 0)"
        f" FROM {name} t WHERE {some}"
    )
    return str(await session.scalar(text(query)))
