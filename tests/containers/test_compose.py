"""docker-compose.yml without an engine: what every container of it must have."""

import re
from typing import Any

import pytest
import yaml

from deploy.docker import credentials, entry
from deploy.docker.credentials import Passwords, files
from deploy.local.env_example import generated
from deploy.local.project import CHECKOUT
from libs.common.runtime.settings import SERVICES
from tests.containers.images import IMAGES

TEXT = (CHECKOUT / "docker-compose.yml").read_text()
EXAMPLE = (CHECKOUT / "deploy" / "docker" / "compose.env.example").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
LONG = {name: container for name, container in CONTAINERS.items() if container["restart"] != "no"}
AS_ROOT = {"credentials", "restore-keys", "restore", "restore-epoch"}
"""They write what other users own."""
OURS = {name: container for name, container in CONTAINERS.items() if container.get("env_file")}
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>[A-Z0-9_]+)(?P<rule>:[-?])?")


def names(image: str) -> str:
    return image.partition("/")[2].partition(":")[0]


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_is_bounded(name: str):
    container = CONTAINERS[name]
    limits = container["deploy"]["resources"]["limits"]
    assert limits["memory"]
    assert limits["pids"] > 0
    assert "cpus" not in limits  # refused by a server that has fewer
    assert container["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["networks"]


@pytest.mark.parametrize("name", LONG)
def test_every_lasting_container_tells_its_health_and_starts_again(name: str):
    assert LONG[name]["restart"] == "unless-stopped"
    assert LONG[name]["healthcheck"]["test"]
    assert LONG[name]["healthcheck"]["start_period"]


@pytest.mark.parametrize("name", OURS)
def test_ours_cannot_write_but_where_they_must(name: str):
    container = OURS[name]
    assert container["read_only"] is True
    assert container["user"] == ("0:0" if name in AS_ROOT else "10001:10001")
    assert ("cap_add" in container) == (name in AS_ROOT)


def test_only_the_gateway_is_published_unless_a_profile_says_otherwise():
    published = {name for name, container in CONTAINERS.items() if container.get("ports")}
    assert {name for name in published if not CONTAINERS[name].get("profiles")} == {"gateway"}
    assert COMPOSE["networks"]["internal"]["internal"] is True
    outward = {
        name for name in LONG if set(LONG[name]["networks"]) - {"internal"} and not LONG[name].get("profiles")
    }
    assert outward == {"gateway", "tasks"}


def test_every_dependency_waits_for_health_or_the_end():
    for name, container in CONTAINERS.items():
        for other, rule in container.get("depends_on", {}).items():
            lasting = other in LONG
            wanted = "service_healthy" if lasting else "service_completed_successfully"
            assert rule["condition"] == wanted, f"{name} → {other}"


def test_every_service_has_an_api_and_a_worker_of_its_own_image_and_user():
    for service in SERVICES:
        for half in ("api", "worker"):
            container = CONTAINERS[f"{service}-{half}"]
            assert container["command"] == [half]
            assert names(container["image"].replace("${LECTERN_REGISTRY:-lectern}", "lectern")) == service
            assert container["build"]["args"]["SERVICE"] == service
            assert container["environment"]["LECTERN_KAFKA_USER"] == service
            assert f"/{service}:/run/secrets:ro" in container["volumes"][0]
    built = {
        container["build"]["args"]["SERVICE"] for container in CONTAINERS.values() if "build" in container
    }
    assert built == set(IMAGES)


def test_the_example_covers_every_variable():
    found = {match["name"]: match["rule"] for match in VARIABLE.finditer(TEXT)}
    required = {name for name, rule in found.items() if rule == ":?"}
    assert required == set(re.findall(r"^([A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))
    shown = set(re.findall(r"^#?([A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))
    assert set(found) <= shown, set(found) - shown
    assert shown - set(found) <= {"COMPOSE_PROFILES"}


def test_the_defaults_in_the_example_are_those_of_the_file():
    example = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    for name, default in re.findall(r"(?<!\$)\$\{([A-Z0-9_]+):-([^}]*)\}", TEXT):
        assert example[name] == default, name


def test_every_variable_of_ours_is_a_setting():
    known = set(re.findall(r"^#([A-Z0-9_]+)=", generated(), re.MULTILINE))
    known |= {"LECTERN_ALERT_PAGE_URL", "LECTERN_ALERT_TICKET_URL", "LECTERN_DATABASE_ADMIN_URL", "LOGNAME"}
    known |= {"LECTERN_BACKUP_URL", "LECTERN_BACKUP_RECIPIENTS", "LECTERN_BACKUP_SECRETS"}
    known |= {"LECTERN_READY_FILE", "TMPDIR"}
    for name, container in OURS.items():
        unknown = {key for key in container.get("environment", {}) if not key.startswith("AWS_")} - known
        assert not unknown, f"{name}: {unknown}"


def test_credentials_are_drawn_once_and_each_container_has_its_own(tmp_path):
    passwords = Passwords(tmp_path / "passwords.json")
    first = files(passwords)
    assert files(passwords) == first
    everything = "\n".join(first.values())
    assert "development" not in everything
    for service in SERVICES:
        mine = {name for directory, name in first if directory == service}
        databases = {name for name in mine if name.endswith("_DATABASE_URL")}
        assert databases == {f"{service.upper()}_DATABASE_URL"}
        kafka = first[service, "LECTERN_KAFKA_PASSWORD"]
        others = [text for (directory, _), text in first.items() if directory not in (service, "operator")]
        assert not any(kafka in text for text in others)
    assert all(len(value) >= 32 for value in passwords.values.values())


def test_every_directory_of_credentials_that_is_mounted_is_written(tmp_path):
    written = {directory for directory, _ in files(Passwords(tmp_path / "passwords.json"))}
    mounted = set(re.findall(r"\$\{LECTERN_SECRETS:-\./secrets\}/([a-z-]+)", TEXT))
    assert mounted <= written
    assert written - mounted == {"bi"}  # for a person, who types it into Metabase
    assert {credentials.owner_of(name) for name in ("identity", "gateway", "tasks")} == {10001}


def test_files_of_credentials_become_variables_that_the_environment_may_replace(tmp_path, monkeypatch):
    (tmp_path / "LECTERN_SECRET").write_text("from the file\n")
    (tmp_path / "LECTERN_KAFKA").write_text("from the file")
    (tmp_path / "users.acl").write_text("not a variable")
    monkeypatch.delenv("LECTERN_SECRET", raising=False)
    monkeypatch.setenv("LECTERN_KAFKA", "from the environment")
    monkeypatch.setattr(entry.os, "environ", dict(entry.os.environ))
    entry.read_secrets(tmp_path)
    assert entry.os.environ["LECTERN_SECRET"] == "from the file"
    assert entry.os.environ["LECTERN_KAFKA"] == "from the environment"
    assert "users.acl" not in entry.os.environ
