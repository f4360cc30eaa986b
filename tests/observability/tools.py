"""promtool and amtool over what is deployed: syntax, rules that fire and stay quiet, routes that arrive."""

import subprocess
import tempfile
from pathlib import Path

from deploy.local.observe import program
from deploy.observability.docs import HERE

ROUTES = (
    ({"alertname": "OutboxStuck", "severity": "page", "service": "learning"}, "page"),
    ({"alertname": "KeysParked", "severity": "ticket", "service": "learning"}, "ticket"),
    ({"alertname": "SomethingNew"}, "ticket"),
)
"""Labels of an alert, and who must get it; what says nothing of its urgency is not lost."""


def run(*argv: object) -> str:
    """What a tool prints. Raises AssertionError with it where it is not content."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, argv[:3]))}:\n{done.stdout}{done.stderr}"
    return done.stdout


def check_all() -> int:
    """All checks that need no server; returns how many rule tests and routes held."""
    promtool, amtool = program("promtool"), program("amtool")
    prometheus, routes = HERE / "prometheus", HERE / "alertmanager" / "alertmanager.yml"
    with tempfile.TemporaryDirectory() as scratch:
        # The token's file is the operator's, and promtool wants to see one.
        place = Path(scratch)
        for name in ("rules", "targets", "prometheus.yml"):
            (place / name).symlink_to(prometheus / name)
        (place / "gateway.token").write_text("x")
        run(promtool, "check", "config", place / "prometheus.yml")
    tests = sorted((prometheus / "tests").glob("*.yml"))
    run(promtool, "test", "rules", *tests)
    run(amtool, "check-config", routes)
    for labels, receiver in ROUTES:
        words = [f"{name}={value}" for name, value in labels.items()]
        run(
            amtool,
            "config",
            "routes",
            "test",
            f"--config.file={routes}",
            f"--verify.receivers={receiver}",
            *words,
        )
    cases = sum(file.read_text().count("- name: ") for file in tests)
    return cases + len(ROUTES)


if __name__ == "__main__":
    print(f"rules and routes: {check_all()} cases held")
