"""Which containers a failed proof lets speak."""

from typing import Any

import pytest

from tests.containers.unhealthy import is_unwell, last_check


@pytest.mark.parametrize(
    ("state", "unwell"),
    [
        ({"Status": "running", "ExitCode": 0}, False),
        ({"Status": "running", "ExitCode": 0, "Health": {"Status": "healthy"}}, False),
        ({"Status": "running", "ExitCode": 0, "Health": {"Status": "starting"}}, True),
        ({"Status": "running", "ExitCode": 0, "Health": {"Status": "unhealthy"}}, True),
        ({"Status": "exited", "ExitCode": 0}, False),
        ({"Status": "exited", "ExitCode": 1}, True),
        ({"Status": "restarting", "ExitCode": 1, "Health": {"Status": "unhealthy"}}, True),
        ({"Status": "created", "ExitCode": 0}, True),
    ],
)
def test_a_container_speaks_where_it_failed_or_is_not_healthy(state: dict[str, Any], unwell: bool) -> None:
    assert is_unwell(state) is unwell


def test_the_last_health_check_is_told() -> None:
    checks = [{"ExitCode": 0, "Output": "ready\n"}, {"ExitCode": 1, "Output": "no backup\n"}]
    assert last_check({"Health": {"Log": checks}}) == "exit 1: no backup"
    assert last_check({"Health": {"Log": None}}) == "none yet"
