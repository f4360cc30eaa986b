"""`make compose-profiles`: the profiles demo, ha, observability and bi of docker-compose.yml, all at once.

The demo people and their course, three brokers of which each is killed, Prometheus with every process among
its targets, and the role for reports. Grafana and Metabase run where their images are to be had.
"""

import asyncio
import json
import shutil
import time
from pathlib import Path
from tempfile import mkdtemp

from deploy.local.seed import PASSWORD, email_of
from tests.containers import images
from tests.containers.bases import have
from tests.containers.compose import (
    BACKING,
    SETTINGS,
    Suite,
    balances,
    build,
    clear,
    kill,
    save_logs,
)
from tests.containers.engine import Engine, engine
from tests.support import Visitor

PROFILES = ("demo", "ha", "observability", "bi")
OBSERVERS = ("prom/prometheus:v3.5.0", "prom/alertmanager:v0.28.1")
OTHERS = {"grafana": "grafana/grafana:12.1.1", "metabase": "metabase/metabase:v0.56.2"}
BROKERS = ("kafka", "kafka-2", "kafka-3")
HA = {
    "LECTERN_ENVIRONMENT": "development",
    "LECTERN_KAFKA": ",".join(f"{name}:9092" for name in BROKERS),
    "KAFKA_VOTERS": ",".join(f"{number}@{name}:9093" for number, name in enumerate(BROKERS, 1)),
    "LECTERN_TOPIC_REPLICATION": "3",
    "KAFKA_MIN_INSYNC_REPLICAS": "2",
}


def absent(running: Engine) -> tuple[str, ...]:
    """Containers whose images no registry gives, and for which there is no stand-in."""
    return tuple(name for name, image in OTHERS.items() if running.status("pull", "--quiet", image))


async def demo_people_log_in(suite: Suite) -> None:
    for name in ("admin", "student"):
        visitor = Visitor(suite, email_of(name))
        try:
            await visitor.login(PASSWORD)
            assert (await visitor.get("/api/courses/"))["results"]
        finally:
            await visitor.http.aclose()


def wait_for_targets(suite: Suite) -> int:
    """Until Prometheus reaches every process; returns how many they are."""
    deadline = time.monotonic() + 120
    while True:
        address = "http://127.0.0.1:9090/api/v1/targets?state=active"
        said = json.loads(suite.compose("exec", "-T", "prometheus", "wget", "-q", "-O", "-", address))
        targets = said["data"]["activeTargets"]
        down = {f"{each['scrapeUrl']}: {each['lastError']}" for each in targets if each["health"] != "up"}
        if targets and not down:
            return len(targets)
        assert time.monotonic() < deadline, f"not scraped: {sorted(down) or 'nothing is configured'}"
        time.sleep(2)


def act(suite: Suite) -> str:
    suite.measure("up", suite.up)
    suite.measure("demo", lambda: print(suite.compose("run", "--rm", "demo").strip()))
    asyncio.run(demo_people_log_in(suite))
    for broker in BROKERS:
        suite.measure(f"kill {broker}", lambda broker=broker: kill(suite, broker))
        asyncio.run(demo_people_log_in(suite))
    suite.measure("balances", lambda: asyncio.run(balances(suite)))
    targets = wait_for_targets(suite)
    views = suite.compose("run", "--rm", "reader").strip().splitlines()[-1]
    assert "views" in views, views
    return f"demo people log in, three brokers killed and back, {targets} targets scraped, {views}"


def profiles_test(*, built: bool = False) -> None:
    begin = time.monotonic()
    with engine() as running:
        have(running, images.BASE, *BACKING, *OBSERVERS)
        if not built:
            build(running)
        directory = Path(mkdtemp(prefix="lectern-profiles-"))
        suite = Suite(running, directory, SETTINGS | HA, PROFILES, absent(running))
        suite.write_settings()
        clear(suite)
        try:
            held = act(suite)
        except BaseException:
            save_logs(suite)
            raise
        finally:
            clear(suite)
            shutil.rmtree(directory)
    without = f", without {' and '.join(suite.absent)} (no image)" if suite.absent else ""
    print(
        f"profiles: {', '.join(PROFILES)} up in {suite.times['up']:.0f} s{without}; {held}; "
        f"{time.monotonic() - begin:.0f} s"
    )
