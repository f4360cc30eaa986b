"""Prometheus and Alertmanager beside the local suite, with the rules and routes of `deploy/observability`.

They are processes of the suite: the supervisor starts them when they are asked for, watches them and ends
them with the rest. Binaries are those on the PATH, else Debian's, unpacked into the user's cache. Alerts go
as mails to the mail catcher.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from deploy.local.debian import cache, unpacked
from deploy.local.process import Command, answers_http
from deploy.local.project import CHECKOUT, OBSERVERS, Project, SetupError, write_private

SOURCE = CHECKOUT / "deploy" / "observability"
SUITE, PACKAGES = "forky", ("prometheus", "prometheus-alertmanager", "promtool")
DATA = b"/usr/share/prometheus/alertmanager"
HERE = b"/proc/self/cwd/./././././././././."  # as long
SCRAPE_SECONDS = "LECTERN_SCRAPE_SECONDS"


def program(name: str) -> Path:
    """`prometheus`, `promtool`, `prometheus-alertmanager` or `amtool`."""
    found = shutil.which(name) or shutil.which(name.removeprefix("prometheus-"))
    if found:
        return Path(found)
    package = unpacked({SUITE: PACKAGES})
    path = package / "usr" / "bin" / name
    return _movable(path) if name == "prometheus-alertmanager" else path


def _movable(program: Path) -> Path:
    """Debian's Alertmanager reads its texts below /usr/share, where nothing of ours belongs: this copy reads
    them in its working directory."""
    moved = cache() / f"alertmanager-{program.stat().st_mtime_ns}"
    if not moved.exists():
        new = moved.with_suffix(".new")
        new.write_bytes(program.read_bytes().replace(DATA, HERE))
        new.chmod(0o755)
        new.rename(moved)
    return moved


def observer_command(project: Project, name: str, values: Mapping[str, str]) -> Command:
    """How to run `prometheus` or `alertmanager` for this suite."""
    if name not in OBSERVERS:
        raise SetupError(f"There is no observer {name!r}.")
    directory = project.directory / name
    directory.mkdir(parents=True, exist_ok=True)
    port = project.ports[name]
    address = f"--web.listen-address=127.0.0.1:{port}"
    if name == "prometheus":
        _write_prometheus(project, directory, values.get(SCRAPE_SECONDS, "5"))
        options = [
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            "--storage.tsdb.retention.time=7d",
        ]
        binary = program("prometheus")
    else:
        binary = program("prometheus-alertmanager")
        _write_alertmanager(project, directory)
        options = [
            f"--config.file={directory / 'alertmanager.yml'}",
            f"--storage.path={directory / 'data'}",
            "--cluster.listen-address=",
        ]
    argv = (str(binary), *options, address)
    kept = {key: value for key, value in values.items() if key in ("PATH", "HOME", "LANG")}
    url = f"http://127.0.0.1:{port}"
    return Command(name, argv, kept, directory, answers_http(port, "/-/ready"), ports=(port,), url=url)


def _write_prometheus(project: Project, directory: Path, seconds: str) -> None:
    """The configuration as it is deployed, with the targets of this machine."""
    shutil.copytree(SOURCE / "prometheus" / "rules", directory / "rules", dirs_exist_ok=True)
    text = (SOURCE / "prometheus" / "prometheus.yml").read_text()
    text = re.sub(r"(scrape|evaluation)_interval: \d+s", rf"\1_interval: {seconds}s", text)
    text = re.sub(r"scrape_timeout: \d+s", f"scrape_timeout: {seconds}s", text)
    (directory / "prometheus.yml").write_text(text)
    write_private(directory / "gateway.token", project.secret("metrics.token"))
    targets = directory / "targets"
    targets.mkdir(exist_ok=True)
    services = [(name, project.ports[name]) for name in project.services]
    if project.with_workers:
        services.append(("tasks", project.ports["tasks"]))
    (targets / "services.yml").write_text("".join(_target(*each) for each in services))
    gateway = _target("gateway", project.ports["gateway"]) if project.with_gateway else ""
    (targets / "gateway.yml").write_text(gateway)
    (targets / "alertmanager.yml").write_text(f'- targets: ["127.0.0.1:{project.ports["alertmanager"]}"]\n')


def _target(service: str, port: int) -> str:
    return f'- targets: ["127.0.0.1:{port}"]\n  labels: {{service: {service}}}\n'


def _write_alertmanager(project: Project, directory: Path) -> None:
    """The routes as they are deployed; both receivers are mailboxes of the mail catcher."""
    server = f"127.0.0.1:{project.ports['smtp']}"
    text = re.sub(
        r"webhook_configs: \[\{url_file: (\w+)\.url, (.*)\}\]",
        rf"email_configs: [{{to: \1@operators.example, from: alerts@lectern.example, smarthost: '{server}',"
        r" require_tls: false, \2}]",
        (SOURCE / "alertmanager" / "alertmanager.yml").read_text(),
    )
    (directory / "alertmanager.yml").write_text(text)
    if shutil.which("alertmanager") is None and shutil.which("prometheus-alertmanager") is None:
        texts = unpacked({SUITE: PACKAGES}) / "usr" / "share" / "prometheus" / "alertmanager"
        for file in texts.glob("*.tmpl"):
            shutil.copyfile(file, directory / file.name)
