"""What every overlay must hold: the rules of its workloads, its settings, its releases."""

import re
from typing import Any

import pytest
from pydantic import AliasChoices
from pydantic_settings import BaseSettings

from deploy.k8s import operators
from deploy.k8s.__main__ import random_secrets, stale
from deploy.k8s.processes import PARTITIONS, PROCESSES, STORES
from deploy.local.project import CHECKOUT
from gateway.settings import GatewaySettings
from libs.common.events.topics import TopicSettings
from libs.common.runtime.settings import SERVICES
from tests.kubernetes.rendered import OVERLAYS, WORKLOADS, containers, documents, name, of_kind, ours, pod_of

Json = dict[str, Any]
LASTING = ("Deployment", "StatefulSet")
every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
# Read by others than our settings: the client of the bucket, the bootstrap.
FOREIGN = {"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "LECTERN_DATABASE_ADMIN_URL"}


def test_generated_files_are_what_the_tables_say():
    assert not stale(), "run 'python -m deploy.k8s'"


@every_overlay
def test_pods_are_restricted_and_know_no_token(overlay: str):
    (namespace,) = of_kind(overlay, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload in of_kind(overlay, *WORKLOADS):
        spec = pod_of(workload)["spec"]
        assert spec["automountServiceAccountToken"] is False, name(workload)
        assert spec["enableServiceLinks"] is False, name(workload)
        assert spec["securityContext"]["runAsNonRoot"], name(workload)
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name(workload)
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}, name(workload)
        for container in containers(workload):
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"], name(workload)
            assert security["allowPrivilegeEscalation"] is False, name(workload)
            assert security["capabilities"] == {"drop": ["ALL"]}, name(workload)


@every_overlay
def test_containers_say_what_they_need_and_hold_at_most(overlay: str):
    for workload in of_kind(overlay, *WORKLOADS):
        for container in containers(workload):
            resources = container["resources"]
            assert resources["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}, name(workload)
            # A limit of processor time would slow a process down on an idle node.
            assert resources["limits"].keys() == {"memory", "ephemeral-storage"}, name(workload)


@every_overlay
def test_processes_are_probed_spread_and_drained(overlay: str):
    for workload in of_kind(overlay, *LASTING):
        spec = pod_of(workload)["spec"]
        (container,) = spec["containers"]
        assert container.keys() >= {"startupProbe", "readinessProbe", "livenessProbe"}, name(workload)
        keys = {each["topologyKey"] for each in spec["topologySpreadConstraints"]}
        assert "topology.kubernetes.io/zone" in keys, name(workload)
        assert spec["terminationGracePeriodSeconds"] >= 20, name(workload)
    for process in PROCESSES:
        (workload,) = [each for each in of_kind(overlay, "Deployment") if name(each) == process.name]
        (container,) = pod_of(workload)["spec"]["containers"]
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if process.serves:  # its address must be gone everywhere before it stops to listen
            assert pause >= 5, process.name
        assert pod_of(workload)["spec"]["terminationGracePeriodSeconds"] > pause + 10, process.name


@every_overlay
def test_each_process_has_a_budget(overlay: str):
    budgets = [each["spec"] for each in of_kind(overlay, "PodDisruptionBudget")]
    for workload in of_kind(overlay, *LASTING):
        labels = pod_of(workload)["metadata"]["labels"].items()
        fitting = [each for each in budgets if each["selector"]["matchLabels"].items() <= labels]
        assert [each["maxUnavailable"] for each in fitting] == [1], name(workload)


@every_overlay
def test_one_thing_decides_about_replicas(overlay: str):
    by_hpa = [each["spec"]["scaleTargetRef"]["name"] for each in of_kind(overlay, "HorizontalPodAutoscaler")]
    by_keda = [each["spec"]["scaleTargetRef"]["name"] for each in of_kind(overlay, "ScaledObject")]
    scaled = by_hpa + by_keda
    assert len(scaled) == len(set(scaled))
    for workload in of_kind(overlay, *LASTING):
        assert ("replicas" in workload["spec"]) != (name(workload) in scaled), name(workload)
    assert set(by_hpa) == {process.name for process in PROCESSES if process.serves}
    for each in of_kind(overlay, "ScaledObject"):
        assert 1 <= each["spec"]["minReplicaCount"] <= each["spec"]["maxReplicaCount"] <= PARTITIONS
    if overlay != "development":
        assert set(by_keda) == {f"{service}-worker" for service in SERVICES}


def test_partitions_are_those_of_the_topics():
    assert TopicSettings.model_fields["topic_partitions"].default == PARTITIONS


@every_overlay
def test_images_have_a_fixed_tag(overlay: str):
    for workload in of_kind(overlay, *WORKLOADS):
        for container in containers(workload):
            image, _, tag = container["image"].rpartition(":")
            assert image, container["image"]
            assert re.fullmatch(r"\d+\.\d+\.\d+", tag), container["image"]
            assert container["imagePullPolicy"] == "IfNotPresent", name(workload)


@every_overlay
def test_one_release_is_rolled_out_as_a_whole(overlay: str):
    """Images, and the names of the Jobs that come before, tell of one tag."""
    images = {each["image"] for workload in ours(overlay, *WORKLOADS) for each in containers(workload)}
    (tag,) = {image.rpartition(":")[2] for image in images}
    for job in of_kind(overlay, "Job"):
        assert name(job).endswith(f"-{tag.replace('.', '-')}")
        assert re.fullmatch(r"[a-z0-9-]{1,63}", name(job))


@every_overlay
def test_pods_wait_for_the_schema_that_a_job_makes(overlay: str):
    jobs = {name(job).rsplit("-", 3)[0] for job in of_kind(overlay, "Job")}
    for service in SERVICES:
        assert f"migrate-{service}" in jobs
        for part in ("api", "worker", "tasks"):
            (workload,) = [
                each for each in of_kind(overlay, "Deployment") if name(each) == f"{service}-{part}"
            ]
            (first,) = pod_of(workload)["spec"]["initContainers"]
            assert first["args"][-2:] == ["wait", service]


@every_overlay
def test_pods_that_wait_for_a_job_do_not_take_its_place(overlay: str):
    (higher,) = of_kind(overlay, "PriorityClass")
    assert higher["value"] > 0
    for job in of_kind(overlay, "Job"):
        assert pod_of(job)["spec"]["priorityClassName"] == name(higher)
    for workload in of_kind(overlay, *LASTING):
        assert "priorityClassName" not in pod_of(workload)["spec"], name(workload)


@every_overlay
def test_jobs_do_not_change_with_a_setting(overlay: str):
    """Their template cannot be changed: a ConfigMap whose name has a hash would make the next apply fail."""
    stable = re.compile(r"jobs-(lectern|kafka|backing)")
    for job in of_kind(overlay, "Job"):
        assert all(stable.fullmatch(each) for each in _references(job, "configMap")), name(job)
    for workload in of_kind(overlay, "Deployment"):
        hashed = re.compile(r"(lectern|kafka|backing|services|storage)-[a-z0-9]{10}")
        assert all(hashed.fullmatch(each) for each in _references(workload, "configMap")), name(workload)


@every_overlay
def test_each_variable_is_a_setting(overlay: str):
    """A misspelt one would be ignored. Others may only help to compose a value."""
    known = FOREIGN | set().union(*(setting_names(each) for each in settings_classes()))
    maps = {name(each): each["data"] for each in of_kind(overlay, "ConfigMap")}
    for workload in ours(overlay, *WORKLOADS):
        for container in containers(workload):
            given = {each["name"] for each in container["env"]}
            parts = set(
                re.findall(r"\$\((\w+)\)", " ".join(each.get("value", "") for each in container["env"]))
            )
            for source in container.get("envFrom", ()):
                given |= maps[source["configMapRef"]["name"]].keys() if "configMapRef" in source else set()
            assert given - parts <= known, name(workload)
            assert parts <= given, name(workload)


def settings_classes() -> list[type[BaseSettings]]:
    from importlib import import_module

    services = [import_module(f"services.{service}.settings").Settings for service in SERVICES]
    return [GatewaySettings, TopicSettings, *services]


def setting_names(settings: type[BaseSettings]) -> set[str]:
    """The variables that a class reads."""
    found = set()
    for field, info in settings.model_fields.items():
        alias = info.validation_alias
        shared = str(alias.choices[0]) if isinstance(alias, AliasChoices) else ""
        found.add(shared or f"{settings.model_config['env_prefix']}{field}".upper())
    return found


@every_overlay
def test_a_process_gets_the_secrets_of_its_own_alone(overlay: str):
    for process in PROCESSES:
        (workload,) = [each for each in of_kind(overlay, "Deployment") if name(each) == process.name]
        own = {"lectern", f"database-{process.app}", f"kafka-{process.user}", f"valkey-{process.user}"}
        own |= {use for use in ("storage", "mail") if use in process.uses} | {"lectern-ca"}
        assert _references(workload, "secret") <= own, process.name


def test_whoever_keeps_files_reaches_the_object_storage():
    apps = CHECKOUT.glob("services/*/app.py")
    assert {path.parent.name for path in apps if "Storage(" in path.read_text()} == set(STORES)
    wanted = {f"{service}-api" for service in STORES} | {f"{service}-tasks" for service in SERVICES}
    assert {each.name for each in PROCESSES if "storage" in each.uses} == wanted


def test_where_files_lie_on_a_volume_whoever_keeps_them_has_it():
    for process in PROCESSES:
        (workload,) = [each for each in of_kind("development", "Deployment") if name(each) == process.name]
        (container,) = pod_of(workload)["spec"]["containers"]
        mounted = "/files" in {each["mountPath"] for each in container["volumeMounts"]}
        assert mounted is ("storage" in process.uses), process.name


@every_overlay
def test_secrets_are_only_referred_to(overlay: str):
    assert not of_kind(overlay, "Secret")
    declared = operators.secrets().keys() | {"lectern-ca", "valkey-server", "valkey-users"}
    for workload in of_kind(overlay, *WORKLOADS):
        assert _references(workload, "secret") <= declared, name(workload)
    for manifest in of_kind(overlay, "ConfigMap"):
        assert not any("password" in key.lower() or "secret" in key.lower() for key in manifest["data"])


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_each_secret_is_brought_by_the_store(overlay: str):
    brought = {each["spec"]["target"]["name"]: each for each in of_kind(overlay, "ExternalSecret")}
    for secret, keys in operators.secrets().items():
        given = {each["secretKey"] for each in brought[secret]["spec"]["data"]}
        template = brought[secret]["spec"]["target"].get("template", {}).get("data", {})
        assert (set(template) or given) == set(keys), secret


def test_random_secrets_stand_in_urls_as_they_are():
    for secret in random_secrets():
        assert all(re.fullmatch(r"[\w-]*", value) for value in secret["stringData"].values())


@every_overlay
def test_what_is_referred_to_is_there(overlay: str):
    """ConfigMaps, claims and Services by name, within one overlay."""
    maps = {name(each) for each in of_kind(overlay, "ConfigMap")}
    claims = {name(each) for each in of_kind(overlay, "PersistentVolumeClaim")}
    for workload in of_kind(overlay, *WORKLOADS):
        assert _references(workload, "configMap") <= maps, name(workload)
        for volume in pod_of(workload)["spec"]["volumes"]:
            assert volume.get("persistentVolumeClaim", {}).get("claimName") in {None, *claims}, name(workload)
    services = {name(each): each["spec"]["ports"][0]["port"] for each in of_kind(overlay, "Service")}
    (urls,) = [each["data"] for each in of_kind(overlay, "ConfigMap") if name(each).startswith("services-")]
    for service in SERVICES:
        assert urls[f"GATEWAY_{service.upper()}_URL"] == f"http://{service}:{services[service]}"


@every_overlay
def test_all_lies_in_one_namespace(overlay: str):
    for manifest in documents(overlay):
        assert manifest["kind"] in ("Namespace", "PriorityClass") or (
            manifest["metadata"]["namespace"] == "lectern"
        )


def _references(value: Any, kind: str) -> set[str]:
    """Names of the ConfigMaps or Secrets that are mentioned anywhere in it."""
    if isinstance(value, list):
        return set().union(*(_references(each, kind) for each in value))
    if not isinstance(value, dict):
        return set()
    found = {str(value[key]["name"]) for key in (f"{kind}Ref", f"{kind}KeyRef") if key in value}
    if isinstance(value.get(kind), dict) and "secretName" in value[kind]:
        found.add(str(value[kind]["secretName"]))
    return found.union(*(_references(each, kind) for each in value.values()))
