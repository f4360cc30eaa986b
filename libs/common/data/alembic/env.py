"""Alembic's entry for every service; the section of alembic.ini says which one."""

from importlib import import_module

from alembic import context

from libs.common.data.migrations import migrate

service = context.config.get_main_option("service")
if not service:
    raise SystemExit("name the service: alembic -n learning …")
migrate(
    import_module(f"services.{service}.settings").Settings(),
    import_module(f"services.{service}.models").Base.metadata,
)
