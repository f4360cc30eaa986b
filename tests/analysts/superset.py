"""Superset from the registry, in an environment of its own in the user's cache."""

import json
import secrets
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from deploy.analysts import superset as assets
from tests.analysts.packages import cache, make_environment
from tests.analysts.stage import World, close

VERSION = "6.1.0"
# What its own metadata leave open, and later releases of these break; psycopg2 is its driver.
BESIDE = ("flask-caching==2.3.1", "cachetools", "rich", "psycopg2-binary")
CONFIG = """
SECRET_KEY = {secret!r}
SQLALCHEMY_DATABASE_URI = "sqlite:///{directory}/superset.db"
TALISMAN_ENABLED = False
CONTENT_SECURITY_POLICY_WARNING = False
RATELIMIT_ENABLED = False
"""


def installed() -> Path:
    """Its environment's `bin`."""
    place = cache("analysts") / f"superset-{VERSION}"
    return make_environment(place, f"apache-superset=={VERSION}", *BESIDE)


def check(world: World) -> str:
    """Import the assets with the analyst's login; every metric is the dictionary's number."""
    home = world.directory / "superset"
    home.mkdir()
    bin_ = installed()
    config = home / "superset_config.py"
    config.write_text(CONFIG.format(secret=secrets.token_urlsafe(42), directory=home))
    password = secrets.token_urlsafe(12)
    environment = {
        "PATH": f"{bin_}:/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": str(home), "FLASK_APP": "superset",
        "SUPERSET_CONFIG_PATH": str(config), "SUPERSET_PASSWORD": password, "SUPERSET_HOME": str(home),
    }  # fmt: skip

    def run(*command: str) -> str:
        done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command[:3]}: {done.stderr[-3000:]}"
        return done.stdout

    superset = str(bin_ / "superset")
    run(superset, "db", "upgrade")
    who = ("--username", "admin", "--firstname", "A", "--lastname", "B", "--email", "a@lectern.example")
    run(superset, "fab", "create-admin", *who, "--password", password)
    run(superset, "init")
    archive = home / "lectern.zip"
    uri = urlunsplit(urlsplit(world.analyst)._replace(scheme="postgresql+psycopg2"))
    world.run("deploy.analysts.superset", "--zip", str(archive), "--uri", uri)
    run(superset, "import-dashboards", "-p", str(archive), "-u", "admin")
    # -P: this folder is no place to find `superset` in.
    said = run(str(bin_ / "python"), "-P", str(Path(__file__).with_name("superset_numbers.py")))
    found: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    assert found["dashboards"] == ["Lectern"], found["dashboards"]
    assert sorted(found["charts"]) == sorted(found["placed"]) == sorted(assets.CHARTS)
    expected = {n: v for n, v in world.numbers().items() if not n.startswith("people.")}
    assert found["numbers"].keys() == expected.keys()
    wrong = {n: (v, expected[n]) for n, v in found["numbers"].items() if not close(v, expected[n])}
    assert not wrong, wrong
    return f"Superset {VERSION}: {len(expected)} metrics and a dashboard of {len(found['placed'])} charts"
