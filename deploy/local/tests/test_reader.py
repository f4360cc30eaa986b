"""The login of the containers' tool for reports is an analyst's."""

from urllib.parse import urlsplit

import psycopg

from deploy.docker.reader import make_reader
from libs.common.data.bootstrap import VIEWS
from services.analytics.analysts import drop, logins


def test_the_reader_is_an_analyst_with_the_password_of_the_secrets(admin_url: str):
    parts = urlsplit(admin_url)
    for password in ("a-password-of-one", "a-password-of-two"):
        assert make_reader(admin_url, password, parts.path[1:]) == "analyst_metabase"
        assert dict(logins(admin_url))["analyst_metabase"] is False
        netloc = f"analyst_metabase:{password}@{parts.netloc.rpartition('@')[2]}"
        with psycopg.connect(parts._replace(netloc=netloc).geturl()) as connection:
            assert connection.execute("SHOW search_path").fetchone() == (VIEWS,)
    drop(admin_url, "metabase")
