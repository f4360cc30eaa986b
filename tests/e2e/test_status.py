"""What an operator sees of the consumers."""

import io

import pytest
from rich.console import Console

from deploy.local import control, report
from libs.common.testing.harness import eventually
from tests.support import Stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


async def test_status_tells_how_far_every_consumer_is(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    await stage.join("ada")  # most services hear of her

    def seen() -> control.Status:
        now = control.status(stage.project, memory=True)
        for row in now["processes"]:
            row["consumers"] = control.consumers(row)
        return now

    def settled() -> control.Status | None:
        now = seen()
        told = [health for row in now["processes"] for health in row["consumers"]]
        behind = [health for health in told if health["lag"] != 0]
        whole = len(told) == len(stage.project.services) and any(health["last_applied"] for health in told)
        return now if whole and not behind else None

    now = await eventually(settled, 30)
    for row in now["processes"]:
        assert (row["name"] in stage.project.services) == bool(row["consumers"])
        for health in row["consumers"]:
            assert health["consumer"] == row["name"]
            assert health["assigned"] == len(health["partitions"]) > 0
    written = Console(file=io.StringIO(), width=1000)
    monkeypatch.setattr(report, "console", written)
    report.print_status(now)
    shown = written.file.getvalue()
    assert shown.count("0 behind, applied") == len(stage.project.services)
    assert "applied last at" in shown
