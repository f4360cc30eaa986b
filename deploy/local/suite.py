"""The processes of the suite, as commands: what the supervisor starts, and in which order."""

import re
import sys
from collections.abc import Callable
from dataclasses import replace

from deploy.local.observe import observer_command
from deploy.local.process import Command, answers_http, file_exists
from deploy.local.project import BACKING, CHECKOUT, OBSERVERS, Project, SetupError, environment, free_ports
from deploy.local.servers import server_command
from libs.common.runtime.settings import SERVICES

# A second process of a service beside the first: `learning-worker-2`, `learning-api-2`, `learning-2`.
_REPLICA = re.compile(r"(?P<service>[a-z]+)(?:-(?P<half>worker|api))?-(?P<number>\d+)")


def backing_commands(project: Project) -> list[Command]:
    return [server_command(project, server) for server in BACKING]


def process_names(project: Project) -> list[str]:
    """In starting order; they stop in the reverse. Production has no mail catcher."""
    names = [*([] if project.production else ["mail"]), *project.services]
    if project.with_gateway:
        names.append("gateway")
    if project.with_workers:
        names += ["worker", "beat"]
    return names


def process_command(project: Project, name: str) -> Command:
    """How to run a process of the suite by its name, replicas too."""
    values = environment(project, name)
    if name in BACKING:
        return server_command(project, name)
    if name == "mail" and project.production:
        raise SetupError("The mail catcher shows everybody's mail and does not run in production.")
    if name == "mail":
        ports = (project.ports["mail"], project.ports["smtp"])
        return _python(project, name, ("deploy.local.mail",), values, ports)
    if name == "gateway":
        command = _python(project, name, ("gateway",), values, (project.ports["gateway"],))
        return replace(command, takes_over=True)
    if name in SERVICES:
        command = _python(project, name, ("libs.common.service.serve", name), values, (project.ports[name],))
        return replace(command, takes_over=True)
    if name in ("worker", "beat"):
        return _celery(project, name, values)
    if name in OBSERVERS:
        return observer_command(project, name, values)
    replica = _REPLICA.fullmatch(name)
    if replica and replica["service"] in SERVICES:
        service = replica["service"]
        (port,) = free_ports(1)
        values[f"{service.upper()}_PORT"] = str(port)
        half = (f"--{replica['half']}",) if replica["half"] else ()
        return _python(project, name, ("libs.common.service.serve", service, *half), values, (port,))
    known = ", ".join([*BACKING, *process_names(project), *OBSERVERS])
    raise SetupError(f"There is no process {name!r}: choose one of {known}.")


def step(project: Project, module: str, *arguments: str, process: str = "") -> Command:
    """A command of the suite that runs to its end, like the migrations; with the credentials of `process`."""
    name, values = module.rsplit(".", 1)[-1], environment(project, process)
    return _python(project, name, (module, *arguments), values, ())


def _python(
    project: Project, name: str, module: tuple[str, ...], values: dict[str, str], ports: tuple[int, ...]
) -> Command:
    argv = (sys.executable, "-m", *module)
    probe: Callable[[], str | None] = answers_http(ports[0]) if ports else lambda: None
    url = f"http://127.0.0.1:{ports[0]}" if ports else ""
    return Command(name, argv, values, CHECKOUT, probe, ports=ports, url=url)


def _celery(project: Project, name: str, values: dict[str, str]) -> Command:
    ready = project.directory / f"{name}.ready"
    argv = [sys.executable, "-m", "libs.common.service.tasks", name]
    if name == "worker":
        argv += ["--hostname", f"lectern-{project.mark}@%h"]
    return Command(
        name,
        tuple(argv),
        values | {"LECTERN_READY_FILE": str(ready)},
        CHECKOUT,
        file_exists(ready),
        lambda: ready.unlink(missing_ok=True),
        patience=15,
    )
