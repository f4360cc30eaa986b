"""An upgrade from the first release keeps what people have there.

`releases/<revision>.sql` has the rows of a release, loaded at its revision before the later migrations run.
"""

from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest
from alembic import command
from psycopg import sql

from deploy.local.database import bootstrap_database, service_url, with_database
from deploy.local.servers import Server
from libs.common.migrations import config, upgrade
from libs.common.settings import SERVICES

RELEASE = Path(__file__).parent / "releases" / "0001.sql"
DATABASE = "upgraded"
Tables = dict[str, tuple[list[str], list[str]]]
"""Columns and rows, as text, by table."""


def tables(url: str, service: str, wanted: Mapping[str, list[str]] | None = None) -> Tables:
    """Columns and rows of each table; with `wanted` only of those tables and columns, as far as they are
    still there."""
    with psycopg.connect(url) as connection:
        columns: dict[str, list[str]] = {}
        for table, column in connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s"
            " AND table_name <> 'alembic_version' AND is_generated = 'NEVER' ORDER BY 1, ordinal_position",
            [service],
        ):
            if wanted is None or column in wanted.get(table, ()):
                columns.setdefault(table, []).append(column)
        return {
            table: (names, sorted(map(repr, connection.execute(_select(service, table, names)))))
            for table, names in columns.items()
        }


def _select(service: str, table: str, columns: list[str]) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("SELECT {} FROM {}").format(names, sql.Identifier(service, table))


@pytest.fixture(scope="module")
def before(postgres: Server) -> dict[str, Tables]:
    """What each service had at the first release; its schema has been upgraded since."""
    admin = bootstrap_database(postgres.url, DATABASE)
    with pytest.MonkeyPatch.context() as patch:
        for service in SERVICES:
            patch.setenv(f"{service.upper()}_DATABASE_URL", service_url(postgres.url, service, DATABASE))
            command.upgrade(config(service), RELEASE.stem)
        with psycopg.connect(admin) as connection:
            connection.execute("SET session_replication_role = replica")  # rows come in any order
            connection.execute(RELEASE.read_text())
        had = {service: tables(admin, service) for service in SERVICES}
        for service in SERVICES:
            upgrade(service)
    return had


@pytest.mark.parametrize("service", SERVICES)
def test_every_row_of_the_first_release_is_there_after_the_upgrade(
    before: dict[str, Tables], postgres: Server, service: str
) -> None:
    had = before[service]
    assert sum(len(rows) for _, rows in had.values()) > 20
    url = with_database(postgres.url, DATABASE)
    now = tables(url, service, {table: columns for table, (columns, _) in had.items()})
    assert {table: columns for table, (columns, _) in now.items()} == {
        table: columns for table, (columns, _) in had.items()
    }
    for table, (_, rows) in had.items():
        assert now[table][1] == rows, table


def test_grades_of_the_first_release_can_be_looked_back_at(
    before: dict[str, Tables], postgres: Server
) -> None:
    """What later migrations filled in of the past: every item, seat and extension has its facts."""
    with psycopg.connect(with_database(postgres.url, DATABASE)) as connection:
        connection.execute("SET search_path = learning")
        facts = connection.execute(
            "SELECT kind, subject, content IS NOT NULL FROM grade_facts ORDER BY id"
        ).fetchall()
        items = connection.execute(
            "SELECT uuid, deleted_at IS NULL FROM assignments"
            " UNION ALL SELECT uuid, is_published AND deleted_at IS NULL FROM quizzes"
            " WHERE kind IN ('graded', 'final') AND published_at IS NOT NULL"
        ).fetchall()
        seats = connection.execute(
            "SELECT student, status <> 'dropped' FROM enrollments WHERE version > 0"
        ).fetchall()
    assert items
    assert seats
    newest = {(kind, subject): there for kind, subject, there in facts}
    assert {subject: there for (kind, subject), there in newest.items() if kind == "item"} == dict(items)
    assert {subject for kind, subject in newest if kind == "seat"} == {student for student, _ in seats}
