"""The role for reports, on a real PostgreSQL."""

from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import errors

from deploy.docker.reader import ROLE, make_reader
from deploy.local.database import bootstrap_database, service_url
from libs.common.data.bootstrap import with_database

DATABASE = "lectern_reports"
PASSWORD = "reads-and-no-more"


def test_the_reader_sees_the_live_projection_and_nothing_else(admin_url: str):
    bootstrap_database(admin_url, DATABASE)
    url = urlsplit(with_database(admin_url, DATABASE))
    place = url.netloc.rpartition("@")[2]
    reader = url._replace(netloc=f"{ROLE}:{PASSWORD}@{place}").geturl()
    with psycopg.connect(service_url(admin_url, "analytics", DATABASE), autocommit=True) as analytics:
        analytics.execute("CREATE TABLE analytics.live_projection (number int)")
        assert make_reader(admin_url, PASSWORD, DATABASE) is None
        for number in (1, 2):
            analytics.execute(f"CREATE SCHEMA projection_{number}")
            analytics.execute(f"CREATE TABLE projection_{number}.courses AS SELECT {number} AS number")
        analytics.execute("INSERT INTO analytics.live_projection VALUES (1)")
        assert make_reader(admin_url, PASSWORD, DATABASE) == 1
        with psycopg.connect(reader) as connection:
            assert connection.execute("SELECT number FROM courses").fetchone() == (1,)
        analytics.execute("UPDATE analytics.live_projection SET number = 2")
        assert make_reader(admin_url, PASSWORD, DATABASE) == 1
    with psycopg.connect(reader, autocommit=True) as connection:
        assert connection.execute("SELECT number FROM courses").fetchone() == (2,)
        for statement in (
            "SELECT * FROM projection_2.courses",
            "SELECT * FROM analytics.live_projection",
            "SELECT * FROM identity_audit.audit_entries",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement)
        with pytest.raises(errors.ReadOnlySqlTransaction):
            connection.execute("CREATE TABLE bi.mine (id int)")
