"""Manifests of the processes: Deployments, what scales and guards them, Services, the Jobs of a release."""

from typing import Any

from deploy.k8s.processes import API, BEAT, MIGRATE, POSTGRES_PORT, PROCESSES, VALKEY_PORT, WORK, Process
from libs.common.data.bootstrap import role_of
from libs.common.runtime.settings import SERVICES
from libs.common.runtime.valkey import GATEWAY

Json = dict[str, Any]
PART_OF = {"app.kubernetes.io/part-of": "lectern"}
REGISTRY = "lectern"
"""Images are named `lectern/<service>`; an overlay says where they really are, and their tag."""
TAG = "unset"
UID = 10001
HEALTH = ["python", "-I", "-S", "/app/libs/common/service/health.py"]
"""How a process without HTTP is probed: it touches a file every five seconds while it gets on."""


def labels(app: str, part: str) -> dict[str, str]:
    """By which a process's pods are selected."""
    found = {"app.kubernetes.io/name": app}
    return found | ({"app.kubernetes.io/component": part} if part else {})


def secret(name: str, key: str, variable: str) -> Json:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}


def setting(key: str, variable: str, of: str = "backing") -> Json:
    return {"name": variable, "valueFrom": {"configMapKeyRef": {"name": of, "key": key}}}


def database_login(service: str, host: str) -> str:
    return f"postgresql://{role_of(service)}:$({service.upper()}_PASSWORD)@$({host}):{POSTGRES_PORT}/lectern"


def direct_variables(service: str, of: str = "backing") -> list[Json]:
    """The service's own role, past any pooler."""
    prefix = service.upper()
    return [
        secret(f"database-{service}", "password", f"{prefix}_PASSWORD"),
        setting("postgres", "POSTGRES_HOST", of),
        {"name": f"{prefix}_DATABASE_URL", "value": database_login(service, "POSTGRES_HOST")},
    ]


def database_variables(service: str) -> list[Json]:
    """Through the pooler, and past it for what needs a session of its own."""
    prefix = service.upper()
    return [
        *direct_variables(service)[:2],
        setting("pooler", "POOLER_HOST"),
        {"name": f"{prefix}_DATABASE_URL", "value": database_login(service, "POOLER_HOST")},
        {"name": f"{prefix}_DATABASE_DIRECT_URL", "value": database_login(service, "POSTGRES_HOST")},
    ]


def valkey_variables(process: Process) -> list[Json]:
    if not process.uses & {"valkey", "broker"}:
        return []
    found = [
        secret(f"valkey-{process.user}", "password", "VALKEY_PASSWORD"),
        setting("valkey-scheme", "VALKEY_SCHEME"),
    ]
    login = f"$(VALKEY_SCHEME)://{process.user}:$(VALKEY_PASSWORD)"
    for use in ("valkey", "broker"):
        if use in process.uses:
            host = f"{use.upper()}_HOST"
            url = f"{login}@$({host}):{VALKEY_PORT}/0"
            found += [setting(use, host), {"name": f"LECTERN_{use.upper()}_URL", "value": url}]
    return found


def variables(process: Process) -> list[Json]:
    """What differs between processes; the rest comes from ConfigMaps that the whole suite shares."""
    found = [secret("lectern", "secret", "LECTERN_SECRET")]
    if "database" in process.uses:
        found += database_variables(process.app)
    if "kafka" in process.uses:
        found.append({"name": "LECTERN_KAFKA_USER", "value": process.user})
        found.append(secret(f"kafka-{process.user}", "password", "LECTERN_KAFKA_PASSWORD"))
    found += valkey_variables(process)
    if "mail" in process.uses:
        found.append(secret("mail", "url", "LECTERN_SMTP_URL"))
    if process.part == WORK:
        found.append({"name": "LECTERN_TASKS_METRICS_PORT", "value": str(process.port)})
    if process.app == GATEWAY:
        found.append(secret("lectern", "metrics-token", "GATEWAY_METRICS_TOKEN"))
    return found


def sources(uses: frozenset[str]) -> list[Json]:
    """ConfigMaps as a whole."""
    names = ["lectern", *(name for name in ("kafka", "storage", "services") if name in uses)]
    found = [{"configMapRef": {"name": name}} for name in names]
    if "storage" in uses:
        found.append({"secretRef": {"name": "storage"}})
    return found


def security() -> Json:
    """What Pod Security's level `restricted` asks for, and a root that cannot be written."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def resources(cpu: str, memory: tuple[int, int], scratch: str = "64Mi") -> Json:
    """No limit of processor time: it would slow a process down while the node is idle."""
    return {
        "requests": {"cpu": cpu, "memory": f"{memory[0]}Mi", "ephemeral-storage": "64Mi"},
        "limits": {"memory": f"{memory[1]}Mi", "ephemeral-storage": "256Mi" if scratch == "64Mi" else "3Gi"},
    }


def probes(process: Process) -> Json:
    """Startup and liveness ask whether the process gets on, readiness whether it can do its work: a database
    that is away must not restart anybody. A command is dear, and slow on a busy node: it is seldom run."""
    if process.has_http:
        alive: Json = {"httpGet": {"path": "/livez", "port": "http"}, "timeoutSeconds": 3}
        ready: Json = {"httpGet": {"path": "/readyz", "port": "http"}, "timeoutSeconds": 3}
        starts, asks, lives = (2, 90), (5, 2), (10, 3)
    else:
        alive = ready = {"exec": {"command": HEALTH}, "timeoutSeconds": 15}
        starts, asks, lives = (5, 60), (30, 3), (60, 3)
    return {
        "startupProbe": alive | {"periodSeconds": starts[0], "failureThreshold": starts[1]},
        "readinessProbe": ready | {"periodSeconds": asks[0], "failureThreshold": asks[1]},
        "livenessProbe": alive | {"periodSeconds": lives[0], "failureThreshold": lives[1]},
    }


def container(process: Process) -> Json:
    made: Json = {
        "name": process.part or process.app,
        "image": f"{REGISTRY}/{process.image}:{TAG}",
        "imagePullPolicy": "IfNotPresent",
        "args": [process.entry, *process.options],
    }
    if process.app != BEAT:
        made["ports"] = [{"name": "http" if process.has_http else "metrics", "containerPort": process.port}]
    made |= {
        "envFrom": sources(process.uses),
        "env": variables(process),
        "resources": resources(process.cpu, process.memory, process.scratch),
        **probes(process),
        "securityContext": security(),
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],  # noqa: S108
    }
    if process.pause:
        made["lifecycle"] = {"preStop": {"sleep": {"seconds": process.pause}}}
    return made


def wait_for_schema(process: Process) -> Json:
    """Ends when the schema is that of this release or of a newer one."""
    return {
        "name": "schema",
        "image": f"{REGISTRY}/{process.image}:{TAG}",
        "imagePullPolicy": "IfNotPresent",
        "args": ["libs.common.data.migrations", "wait", process.app],
        "envFrom": [{"configMapRef": {"name": "lectern"}}],
        "env": [secret("lectern", "secret", "LECTERN_SECRET"), *direct_variables(process.app)],
        "resources": resources("50m", (128, 256)),
        "securityContext": security(),
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],  # noqa: S108
    }


def pod(containers: list[Json], first: list[Json], scratch: str = "64Mi") -> Json:
    """What all pods of the suite have in common."""
    made: Json = {
        "automountServiceAccountToken": False,
        # Its variables would be taken for ours: GATEWAY_PORT=tcp://…
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": UID,
            "runAsGroup": UID,
            "fsGroup": UID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if first:
        made["initContainers"] = first
    made["containers"] = containers
    made["volumes"] = [{"name": "scratch", "emptyDir": {"sizeLimit": scratch}}]
    return made


def spread(selected: dict[str, str]) -> list[Json]:
    """Over zones, then over nodes; a cluster of one zone runs the suite all the same."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selected},
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]


def deployment(process: Process) -> Json:
    """Where something scales it, `replicas` is left out: an apply would undo the scaling."""
    selected = labels(process.app, process.part)
    uses = {f"lectern/{use}": "yes" for use in ("kafka", "storage") if use in process.uses}
    wait = [wait_for_schema(process)] if "database" in process.uses else []
    body = pod([container(process)], wait, process.scratch)
    body["terminationGracePeriodSeconds"] = process.grace
    body["topologySpreadConstraints"] = spread(selected)
    spec: Json = {} if process.serves else {"replicas": process.replicas[0]}
    # The lock of a second beat would only make it wait.
    strategy: Json = {"type": "Recreate"}
    if process.app != BEAT:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": process.name, "labels": PART_OF | selected | uses},
        "spec": spec
        | {
            "revisionHistoryLimit": 5,
            "progressDeadlineSeconds": 600,
            "minReadySeconds": 2,
            "selector": {"matchLabels": selected},
            "strategy": strategy,
            "template": {"metadata": {"labels": PART_OF | selected | uses}, "spec": body},
        },
    }


def budget(process: Process) -> Json:
    """One at a time; pods that are broken anyway do not hold up a drain."""
    selected = labels(process.app, process.part)
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": process.name, "labels": PART_OF | selected},
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selected},
        },
    }


def autoscaler(process: Process) -> Json:
    """By processor time: up at once, down after five quiet minutes."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": process.name, "labels": PART_OF | labels(process.app, process.part)},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": process.name},
            "minReplicas": process.replicas[0],
            "maxReplicas": process.replicas[1],
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
                }
            ],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
        },
    }


def service(process: Process) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": process.app, "labels": PART_OF | labels(process.app, process.part)},
        "spec": {
            "selector": labels(process.app, process.part),
            "ports": [{"name": "http", "port": process.port, "targetPort": "http"}],
        },
    }


def job(app: str, part: str, image: str, arguments: list[str], env: list[Json], kafka: bool = False) -> Json:
    """A step of a release. A Job cannot be changed: its name ends with the release's tag, and the names of
    its ConfigMaps have no hash, so that another value of a setting does not make it another Job."""
    settings = ["lectern", "kafka"] if kafka else ["lectern"]
    body = pod(
        [
            {
                "name": part,
                "image": f"{REGISTRY}/{image}:{TAG}",
                "imagePullPolicy": "IfNotPresent",
                "args": arguments,
                "envFrom": [{"configMapRef": {"name": f"jobs-{name}"}} for name in settings],
                "env": [secret("lectern", "secret", "LECTERN_SECRET"), *env],
                "resources": resources("50m", (128, 384)),
                "securityContext": security(),
                "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],  # noqa: S108
            }
        ],
        [],
    )
    body["restartPolicy"] = "OnFailure"
    body["priorityClassName"] = "lectern-release"
    uses = {"lectern/kafka": "yes"} if kafka else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{part}-{app}-{TAG}", "labels": PART_OF | labels(app, part)},
        "spec": {
            "backoffLimit": 20,
            "activeDeadlineSeconds": 3600,
            "ttlSecondsAfterFinished": 604800,
            "template": {"metadata": {"labels": PART_OF | labels(app, part) | uses}, "spec": body},
        },
    }


def migration(name: str) -> Json:
    arguments = ["libs.common.data.migrations", "upgrade", "--newer-is-fine", name]
    return job(name, MIGRATE, name, arguments, direct_variables(name, "jobs-backing"))


def preparations() -> list[Json]:
    """Once a release, as the servers' own administrators: schemas and roles, topics and rights."""
    prefix = "postgresql://$(ADMIN_USER):$(ADMIN_PASSWORD)"
    admin = [
        secret("postgres-superuser", "username", "ADMIN_USER"),
        secret("postgres-superuser", "password", "ADMIN_PASSWORD"),
        setting("postgres", "POSTGRES_HOST", "jobs-backing"),
        {
            "name": "LECTERN_DATABASE_ADMIN_URL",
            "value": f"{prefix}@$(POSTGRES_HOST):{POSTGRES_PORT}/postgres",
        },
    ]
    roles = [each for name in SERVICES for each in direct_variables(name, "jobs-backing")]
    logins = [each for each in roles if each["name"] != "POSTGRES_HOST"]
    kafka = [
        secret("kafka-admin", "username", "LECTERN_KAFKA_USER"),
        secret("kafka-admin", "password", "LECTERN_KAFKA_PASSWORD"),
    ]
    topics = ["libs.common.events.topics", "create"]
    rights = ["libs.common.bus.acls", "grant"]
    bootstrap = ["libs.common.data.bootstrap"]
    return [
        job("postgres", "bootstrap", "worker", bootstrap, admin + logins),
        job("kafka", "topics", "worker", topics, kafka, kafka=True),
        job("kafka", "rights", "worker", rights, kafka, kafka=True),
    ]


def files() -> dict[str, list[Json]]:
    """The generated files of `base/`."""
    made: dict[str, list[Json]] = {}
    for process in PROCESSES:
        name = process.app
        documents = made.setdefault(f"{name}.yaml", [])
        if process.part == API:
            documents.append(migration(name))
        documents.append(deployment(process))
        if process.serves:
            documents += [service(process), autoscaler(process)]
        documents.append(budget(process))
    made["preparations.yaml"] = preparations()
    return made
