"""`lectern lake`: the event log as Iceberg tables on the storage."""

from typing import Annotated, NoReturn

import typer

from deploy.local import recovery
from deploy.local.cli_backup import pass_on, running

lake = typer.Typer(help="The event log as Iceberg tables, for DuckDB and Spark.", no_args_is_help=True)


@lake.command("status")
def lake_status() -> None:
    """Show what each table holds: position, rows, files, bytes."""
    _run("status")


@lake.command("write")
def lake_write(
    views: Annotated[
        bool, typer.Option("--views", help="The analysts' views, too, as they are now.")
    ] = False,
) -> None:
    """Write now what is new; the worker does so every five minutes."""
    _run("write", *(["--views"] if views else []))


@lake.command("tidy")
def lake_tidy() -> None:
    """Let old months of the log and unused files go now; the worker does so every hour."""
    _run("tidy")


@lake.command("sql")
def lake_sql(
    query: Annotated[str, typer.Argument(help="SQL of DuckDB; every table of the lake has its name.")],
    as_json: Annotated[bool, typer.Option("--json", help="Rows as JSON.")] = False,
) -> None:
    """Ask the lake with DuckDB."""
    _run("sql", query, *(["--json"] if as_json else []))


def _run(*arguments: str) -> NoReturn:
    pass_on("services.analytics.lake", *arguments, env=recovery.operator_environment(running()))
