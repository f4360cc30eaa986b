"""The database of the local suite: roles get passwords that are derived from the superuser's."""

from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

from deploy.local.project import DATABASE, role_password
from libs.common.data import bootstrap
from libs.common.data.bootstrap import role_of, with_database
from libs.common.runtime.settings import SERVICES


def bootstrap_database(
    admin_url: str,
    database: str = DATABASE,
    services: Iterable[str] = SERVICES,
    *,
    connection_limit: int = -1,
) -> str:
    """As `libs.common.data.bootstrap`, with the local passwords."""
    passwords = {service: role_password(admin_url, service) for service in services}
    return bootstrap.bootstrap_database(admin_url, database, passwords, connection_limit=connection_limit)


def service_url(admin_url: str, service: str, database: str = DATABASE) -> str:
    """URL by which the service's own role connects."""
    parts = urlsplit(with_database(admin_url, database))
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role_of(service)}:{role_password(admin_url, service)}@{host}"))
