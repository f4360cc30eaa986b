"""`lectern analyst`: logins by which analysts read the views of analytics."""

from typing import Annotated, NoReturn

import typer

from deploy.local import recovery
from deploy.local.cli_backup import pass_on, running

analyst = typer.Typer(help="Logins of analysts, who read views and nothing else.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Small letters, digits and _; the login is analyst_NAME.")]


@analyst.command("create")
def analyst_create(
    name: Name,
    people: Annotated[bool, typer.Option("--people", help="May read the view people, too.")] = False,
) -> None:
    """Make a login; prints its URL with the password, this once."""
    _run("create", name, *(["--people"] if people else []))


@analyst.command("list")
def analyst_list() -> None:
    """List the logins, and what they may read."""
    _run("list")


@analyst.command("drop")
def analyst_drop(name: Name) -> None:
    """End a login's sessions and drop it."""
    _run("drop", name)


def _run(*arguments: str) -> NoReturn:
    pass_on("services.analytics.analysts", *arguments, env=recovery.operator_environment(running()))
