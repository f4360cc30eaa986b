"""What a connection promises where a pooler may stand between: tests/resilience runs a real one."""

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import text

from conftest import DATABASE
from libs.common.data.bootstrap import role_of, session_settings
from libs.common.data.db import (
    Database,
    PoolerRefused,
    connect_direct,
    refuse_pooler,
    refuse_poolers_complaint,
)
from libs.common.runtime.settings import ServiceSettings
from libs.common.testing.harness import CollectedQueue, Harness


@pytest.fixture
def pooled(toy_service: Harness) -> ServiceSettings:
    """As an operator sets it who has a pooler; here both URLs lead to PostgreSQL."""
    settings = toy_service.settings
    return settings.model_copy(update={"database_direct_url": settings.database_url})


async def test_pooled_sessions_go_by_the_settings_of_their_role(pooled: ServiceSettings):
    database = Database(pooled, CollectedQueue())
    async with database.session() as session:
        for name, value in session_settings("toy").items():
            found = await session.scalar(text("SELECT current_setting(:name)"), {"name": name})
            assert found == value
    async with database.direct() as transaction:
        cursor = await transaction.connection.execute("SELECT current_setting('statement_timeout')")
        assert await cursor.fetchone() == ("20s",)
    await database.close()


@pytest.mark.parametrize("name", ["search_path", "statement_timeout"])
async def test_pooled_sessions_without_limits_are_refused(pooled: ServiceSettings, admin_url: str, name: str):
    alter = sql.SQL("ALTER ROLE {} IN DATABASE {} {} {}")
    role, at = sql.Identifier(role_of("toy")), sql.Identifier(DATABASE)
    database = Database(pooled, CollectedQueue())
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(alter.format(role, at, sql.SQL("RESET"), sql.Identifier(name)))
        try:
            with pytest.raises(PoolerRefused, match=rf"TOY_DATABASE_URL.*{name}.*bootstrap"):
                async with database.session() as session:
                    await session.scalar(text("SELECT 1"))
        finally:
            values = sql.SQL(", ").join(map(sql.Literal, session_settings("toy")[name].split(", ")))
            restore = sql.SQL("SET {} = {}").format(sql.Identifier(name), values)
            admin.execute(alter.format(role, at, restore, sql.SQL("")))
            await database.close()


async def test_a_direct_session_is_the_server_s_own(toy_service: Harness):
    connection = await connect_direct(toy_service.settings)
    assert connection.autocommit
    await connection.close()


def test_a_made_up_process_number_is_a_pooler_s():
    refuse_pooler("learning", 77, 77)
    with pytest.raises(PoolerRefused, match=r"LEARNING_DATABASE_DIRECT_URL .*address of PostgreSQL itself"):
        refuse_pooler("learning", 77, 78)


def test_the_complaint_of_a_pooler_is_understood():
    complaint = psycopg.OperationalError("FATAL:  unsupported startup parameter in options: search_path")
    with pytest.raises(PoolerRefused, match="LEARNING_DATABASE_DIRECT_URL"):
        refuse_poolers_complaint("learning", complaint)
    refuse_poolers_complaint("learning", psycopg.OperationalError("connection refused"))


async def test_direct_sessions_take_the_direct_address(pooled: ServiceSettings):
    elsewhere = pooled.model_copy(update={"database_url": SecretStr("postgresql://nobody@127.0.0.1:1/none")})
    connection = await connect_direct(elsewhere)
    assert connection.info.user == role_of("toy")
    await connection.close()
