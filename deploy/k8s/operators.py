"""Resources of the operators that the components bring: topics and users, roles, scaling by lag, secrets."""

from deploy.k8s.processes import PROCESSES, WORKER
from deploy.k8s.workloads import PART_OF, Json
from deploy.local.project import CHECKOUT
from libs.common.bus.acls import Right, kafka_rights
from libs.common.data.bootstrap import role_of
from libs.common.events.topics import TOPICS, TopicSettings
from libs.common.runtime.settings import SERVICES
from libs.common.runtime.valkey import TASKS, USERS, valkey_rules

RULES = CHECKOUT / "deploy" / "observability" / "prometheus" / "rules"
CLUSTER = {"strimzi.io/cluster": "kafka"}
COPIES = 3
LAG = 500
"""Events behind for which one more consumer is worth its start: one batch."""


def topics() -> list[Json]:
    """As `libs.common.events.topics` declares them."""
    width = TopicSettings.model_fields["topic_partitions"].default
    return [
        {
            "apiVersion": "kafka.strimzi.io/v1",
            "kind": "KafkaTopic",
            "metadata": {"name": topic.name, "labels": PART_OF | CLUSTER},
            "spec": {
                "partitions": topic.partitions or width,
                "replicas": COPIES,
                "config": topic.config | {"min.insync.replicas": "2"},
            },
        }
        for topic in TOPICS
    ]


def _acl(right: Right) -> Json:
    """A right as Strimzi writes it. To read or write includes seeing: Kafka implies it."""
    resource = {"type": right.resource, "name": right.name, "patternType": "literal"}
    return {"type": "allow", "resource": resource, "operations": [right.operation.title()], "host": "*"}


def users() -> list[Json]:
    """As `libs.common.bus.acls` derives them, with the password that the processes have."""
    rights = sorted(kafka_rights())
    return [
        {
            "apiVersion": "kafka.strimzi.io/v1",
            "kind": "KafkaUser",
            "metadata": {"name": user, "labels": PART_OF | CLUSTER},
            "spec": {
                "authentication": {
                    "type": "scram-sha-512",
                    "password": {"valueFrom": {"secretKeyRef": {"name": f"kafka-{user}", "key": "password"}}},
                },
                "authorization": {
                    "type": "simple",
                    "acls": [_acl(right) for right in rights if right.user == user],
                },
            },
        }
        for user in USERS
    ]


def roles() -> list[Json]:
    """A login for each service; its schema and its rights are made by the Job `bootstrap-postgres`."""
    return [
        {
            "apiVersion": "postgresql.cnpg.io/v1",
            "kind": "DatabaseRole",
            "metadata": {"name": role_of(service).replace("_", "-"), "labels": PART_OF},
            "spec": {
                "cluster": {"name": "postgres"},
                "name": role_of(service),
                "login": True,
                "passwordSecret": {"name": f"database-{service}"},
                "clientCertificate": {"enabled": False},
            },
        }
        for service in SERVICES
    ]


def scalers() -> list[Json]:
    """Workers follow the lag of their group. Never none: the relay runs in them too."""
    made: list[Json] = []
    for process in PROCESSES:
        if process.part != WORKER:
            continue
        trigger: Json = {
            "type": "kafka",
            "metadata": {
                "bootstrapServers": "kafka-kafka-bootstrap:9093",
                "consumerGroup": process.app,
                "lagThreshold": str(LAG),
                "sasl": "scram_sha512",
                "tls": "enable",
                "allowIdleConsumers": "false",
            },
            "authenticationRef": {"name": process.name},
        }
        made.append(
            {
                "apiVersion": "keda.sh/v1alpha1",
                "kind": "ScaledObject",
                "metadata": {"name": process.name, "labels": PART_OF},
                "spec": {
                    "scaleTargetRef": {"name": process.name},
                    "minReplicaCount": process.replicas[0],
                    "maxReplicaCount": process.replicas[1],
                    "pollingInterval": 15,
                    "cooldownPeriod": 300,
                    "triggers": [trigger],
                },
            }
        )
        made.append(
            {
                "apiVersion": "keda.sh/v1alpha1",
                "kind": "TriggerAuthentication",
                "metadata": {"name": process.name, "labels": PART_OF},
                "spec": {
                    "secretTargetRef": [
                        {"parameter": "username", "name": f"kafka-{process.app}", "key": "username"},
                        {"parameter": "password", "name": f"kafka-{process.app}", "key": "password"},
                        {"parameter": "ca", "name": "lectern-ca", "key": "ca.crt"},
                    ]
                },
            }
        )
    return made


def secrets() -> dict[str, tuple[str, ...]]:
    """Every Secret that the manifests refer to, with its keys; certificates are cert-manager's.

    Passwords stand in URLs: they are made of letters, digits, `-` and `_`.
    """
    login = ("username", "password")
    return {
        "lectern": ("secret", "metrics-token"),
        "storage": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        "mail": ("url",),
        "postgres-superuser": login,
        **{f"database-{service}": login for service in SERVICES},
        **{f"kafka-{user}": login for user in (*USERS, "admin")},
        **{f"valkey-{user}": ("password",) for user in (*USERS, TASKS)},
    }


def username(name: str) -> str:
    """The user that a Secret with a `username` is for."""
    kind, _, user = name.partition("-")
    if kind == "database":
        return role_of(user)
    return "postgres" if kind == "postgres" else user


def external_secrets() -> list[Json]:
    """Each from the entry of the same name under `lectern/` of the cluster's store."""
    made = []
    for name, keys in secrets().items():
        data = [key for key in keys if key != "username"]
        target: Json = {"name": name, "creationPolicy": "Owner"}
        if "username" in keys:
            values = {"username": username(name)} | {key: f"{{{{ .{key} }}}}" for key in data}
            target["template"] = {"engineVersion": "v2", "type": "kubernetes.io/basic-auth", "data": values}
        made.append(_external(name, target, {key: (f"lectern/{name}", key) for key in data}))
    made.append(_valkey_users())
    return made


def _external(name: str, target: Json, data: dict[str, tuple[str, str]]) -> Json:
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": {"name": name, "labels": PART_OF},
        "spec": {
            "refreshInterval": "1h",
            "secretStoreRef": {"kind": "ClusterSecretStore", "name": "lectern"},
            "target": target,
            "data": [
                {"secretKey": key, "remoteRef": {"key": entry, "property": part}}
                for key, (entry, part) in data.items()
            ],
        },
    }


def _valkey_users() -> Json:
    """Valkey's ACL file, as `libs.common.runtime.valkey` declares it."""
    lines = ["user default off"]
    lines += [f"user {user} on >{{{{ .{user} }}}} {valkey_rules(user)}" for user in (*USERS, TASKS)]
    text = "\n".join([*lines, ""])
    target = {
        "name": "valkey-users",
        "creationPolicy": "Owner",
        "template": {"engineVersion": "v2", "data": {"users.acl": text}},
    }
    entries = {user: (f"lectern/valkey-{user}", "password") for user in (*USERS, TASKS)}
    return _external("valkey-users", target, entries)


def alerts() -> list[Json]:
    """The rules of deploy/observability, as Prometheus' operator takes them."""
    import yaml  # of development: the rest of this module is for `lectern doctor` too

    made: list[Json] = []
    for path in sorted(RULES.glob("*.yml")):
        spec = yaml.safe_load(path.read_text())
        metadata = {"name": path.stem, "labels": PART_OF}
        kind = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule"}
        made.append({**kind, "metadata": metadata, "spec": spec})
    return made


def files() -> dict[str, list[Json]]:
    return {
        "components/strimzi/topics.yaml": topics(),
        "components/strimzi/users.yaml": users(),
        "components/cnpg/roles.yaml": roles(),
        "components/keda/scalers.yaml": scalers(),
        "components/prometheus/rules.yaml": alerts(),
        "components/external-secrets/secrets.yaml": external_secrets(),
    }
