"""The SQL views of analysts: made from the dictionary, over the live projection.

They lie in a schema of their own. Publishing makes a new schema beside it and renames both, so that it waits
for nobody who is reading; the schema before is dropped by a later publishing, once nobody reads it any more.
"""

import hashlib
from collections.abc import Iterator, Sequence

from psycopg import sql
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.bootstrap import ANALYST, ANALYST_PEOPLE, VIEWS
from libs.common.data.db import driver
from services.analytics.dictionary import DIALECT, FILE, Column, Dataset, dictionary
from services.analytics.projection import schema_name, use_live

NEW, RETIRED = f"{VIEWS}_new", f"{VIEWS}_retired"
LOCK = "SELECT pg_advisory_xact_lock(hashtext('analytics.views'))"


def stamp(number: int, roles: Sequence[str]) -> str:
    """What the schema's comment says: of which dictionary and projection the views are, and for whom."""
    of = hashlib.sha256(FILE.read_bytes()).hexdigest()[:16]
    return f"dictionary {of} for {', '.join(roles) or 'nobody'} on {schema_name(number)}"


async def publish_views(session: AsyncSession, number: int) -> None:
    """Make the views of a projection in place of those that are there, in the caller's transaction.

    Idempotent. Analysts see the new ones with the commit; what they are reading goes on.
    """
    connection = await driver(session)
    await connection.execute(LOCK)
    await _drop_retired(session)
    roles = await _roles(session)
    there = await session.scalar(text("SELECT to_regnamespace(:name) IS NOT NULL"), {"name": VIEWS})
    before = await session.scalar(text("SHOW search_path"))
    for statement in _statements(number, roles):
        await connection.execute(statement)
    if there:
        retired = f"{RETIRED}_{await session.scalar(text('SELECT txid_current()'))}"
        await connection.execute(_sql("ALTER SCHEMA {} RENAME TO {}", VIEWS, retired))
        for role in roles:
            await connection.execute(_sql("REVOKE ALL ON SCHEMA {} FROM {}", retired, role))
    await connection.execute(_sql("ALTER SCHEMA {} RENAME TO {}", NEW, VIEWS))
    await connection.execute("SELECT set_config('search_path', %s, true)", (before,))


async def publish_if_stale(session: AsyncSession) -> bool:
    """Publish where the views are of another dictionary or projection; says whether they were."""
    await session.execute(text(LOCK))  # before the number is read: a rebuild may be swapping
    number = await use_live(session)
    said = await session.scalar(
        text("SELECT obj_description(to_regnamespace(:name), 'pg_namespace')"), {"name": VIEWS}
    )
    if said == stamp(number, await _roles(session)):
        return False
    await publish_views(session, number)
    return True


async def _roles(session: AsyncSession) -> list[str]:
    """Of the analysts' roles those that the bootstrap has made."""
    found = await session.scalars(
        text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:names) ORDER BY 1"),
        {"names": [ANALYST, ANALYST_PEOPLE]},
    )
    return [str(name) for name in found]


def _sql(template: str, *names: str) -> sql.Composed:
    return sql.SQL(template).format(*map(sql.Identifier, names))


def _statements(number: int, roles: Sequence[str]) -> Iterator[sql.Composed]:
    yield _sql("DROP SCHEMA IF EXISTS {} CASCADE", NEW)
    yield _sql("CREATE SCHEMA {}", NEW)
    yield _sql("REVOKE ALL ON SCHEMA {} FROM PUBLIC", NEW)
    yield sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(NEW), sql.Literal(stamp(number, roles)))
    yield _sql("SET LOCAL search_path TO {}", schema_name(number))
    for role in roles:
        yield _sql("GRANT USAGE ON SCHEMA {} TO {}", NEW, role)
    for name, dataset in dictionary().datasets.items():
        body = sql.SQL(dataset.select.sql(DIALECT, identify=True))
        yield sql.SQL("CREATE VIEW {} AS {}").format(sql.Identifier(NEW, name), body)
        yield from _comments(name, dataset)
        readers = {ANALYST_PEOPLE} if dataset.sql_role == "people" else {ANALYST, ANALYST_PEOPLE}
        for role in readers.intersection(roles):
            yield sql.SQL("GRANT SELECT ON {} TO {}").format(sql.Identifier(NEW, name), sql.Identifier(role))


def _comments(name: str, dataset: Dataset) -> Iterator[sql.Composed]:
    yield sql.SQL("COMMENT ON VIEW {} IS {}").format(
        sql.Identifier(NEW, name), sql.Literal(f"{dataset.description} {dataset.grain.capitalize()}.")
    )
    for column, body in dataset.columns.items():
        yield sql.SQL("COMMENT ON COLUMN {} IS {}").format(
            sql.Identifier(NEW, name, column), sql.Literal(comment_of(body))
        )


def comment_of(column: Column) -> str:
    return " ".join([column.description, *column.caveats])


async def _drop_retired(session: AsyncSession) -> None:
    """Drop the schemas of former publishings that nobody reads; the others wait for the next one."""
    names = await session.scalars(
        text("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, :prefix)"),
        {"prefix": f"{RETIRED}_"},
    )
    connection = await driver(session)
    for name in names.all():
        # A reader holds a lock on the views; DROP would wait for it, and hold up whoever comes after.
        cursor = await connection.execute(
            "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
            " WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND c.relnamespace = to_regnamespace(%s))",
            (name,),
        )
        if (await cursor.fetchone() or (True,)) == (False,):
            await connection.execute(_sql("DROP SCHEMA {} CASCADE", name))
