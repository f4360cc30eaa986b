"""How every process reaches Kafka, Valkey and PostgreSQL: address, credential and TLS, one function each."""

import ssl
from typing import Any
from urllib.parse import urlencode, urlsplit

from sqlalchemy.engine import URL, make_url

from libs.common.runtime.settings import ServiceSettings, SuiteSettings


def tls_context(settings: SuiteSettings) -> ssl.SSLContext:
    """Checks the server's certificate and its name against `LECTERN_CA_FILE`, or the system's authorities."""
    return ssl.create_default_context(cafile=settings.ca_file or None)


def kafka_arguments(settings: SuiteSettings) -> dict[str, Any]:
    """What each of aiokafka's clients is made with."""
    transport = "SSL" if settings.kafka_tls else "PLAINTEXT"
    arguments: dict[str, Any] = {"bootstrap_servers": settings.kafka, "security_protocol": transport}
    if settings.kafka_tls:
        arguments["ssl_context"] = tls_context(settings)
    if settings.kafka_user:
        arguments |= {
            "security_protocol": f"SASL_{transport}",
            "sasl_mechanism": settings.kafka_mechanism,
            "sasl_plain_username": settings.kafka_user,
            "sasl_plain_password": settings.kafka_password.get_secret_value(),
        }
    return arguments


def valkey_url(settings: SuiteSettings, url: str) -> str:
    """One of the settings' URLs of Valkey as redis-py, kombu and redbeat take it."""
    if urlsplit(url).scheme != "rediss":
        return url
    query = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"}
    if settings.ca_file:
        query["ssl_ca_certs"] = settings.ca_file
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(query)}"


def postgres_url(settings: ServiceSettings, *, direct: bool = False) -> URL:
    """The service's database, `direct` past a pooler; `sslmode` and `sslrootcert` of the URL come first."""
    given = settings.database_direct_url if direct else None
    url = make_url((given or settings.database_url).get_secret_value()).set(drivername="postgresql")
    query = {"sslmode": settings.database_sslmode, **url.query}
    if str(query["sslmode"]).startswith("verify"):
        query.setdefault("sslrootcert", settings.ca_file or "system")
    return url.set(query=query)
