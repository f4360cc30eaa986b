"""The table of processes: what runs in the cluster, what each one uses, and how large it is.

Everything that is alike in all of them is written by `workloads`; what differs stands here.
"""

from dataclasses import dataclass

from libs.common.runtime.settings import SERVICES
from libs.common.runtime.valkey import GATEWAY, MINT, REDEEM, TASKS

API, WORKER, WORK, MIGRATE = "api", "worker", "tasks", "migrate"
BEAT = "beat"
POSTGRES_PORT, KAFKA_PORT, VALKEY_PORT = 5432, 9093, 6379
HTTP_PORT, METRICS_PORT = 8000, 9100
PARTITIONS = 6
"""More consumers of a group than a topic has partitions would stand idle."""

# Beside PostgreSQL: whose APIs keep files, and whose tasks send mail. All tasks write files: their service's
# part of what a person takes along.
STORES = ("identity", "catalog", "learning", "analytics")
MAILS = ("identity", "notify")
DECODES = {"identity": 384, "catalog": 384, "learning": 256, "analytics": 256}
"""MiB beside the usual for pictures, archives, certificates and exports."""
LARGEST_FILE = {"catalog": "2Gi", "learning": "1Gi", "identity": "512Mi", "analytics": "2Gi"}
"""What uploads and exports under way may hold in /tmp."""
EXPORTS = "analytics"
"""Its tasks write Parquet and sheets: they run in the image that has the libraries for that."""


@dataclass(frozen=True)
class Process:
    """One Deployment. `uses` names what it connects to: `edges` says the same from the network's side."""

    app: str
    part: str
    uses: frozenset[str]
    port: int
    """Of HTTP, or of the metrics of a process that serves nothing else."""
    cpu: str
    memory: tuple[int, int]
    """Requested and most, in MiB."""
    replicas: tuple[int, int]
    """Fewest and most; the same where nothing scales it."""
    grace: int
    """Seconds from the wish to end it to SIGKILL: `pause`, then what the process itself takes at most."""
    pause: int = 0
    """Seconds in which it still serves while its address is taken out everywhere."""
    user: str = ""
    """At Kafka and Valkey."""
    image: str = ""
    scratch: str = "64Mi"
    options: tuple[str, ...] = ()
    """Of its entry point."""

    @property
    def name(self) -> str:
        return self.app if self.part == "" else f"{self.app}-{self.part}"

    @property
    def entry(self) -> str:
        """The entry point of its image: `deploy/docker/entry.py`."""
        return BEAT if self.app == BEAT else self.part or API

    @property
    def has_http(self) -> bool:
        """Celery's processes have none: a file tells that they get on."""
        return self.user != TASKS

    @property
    def serves(self) -> bool:
        """Whether others ask it something of it."""
        return self.part == API or self.app == GATEWAY


def _gateway() -> Process:
    return Process(
        app=GATEWAY,
        part="",
        uses=frozenset({"kafka", "valkey", "services"}),
        port=HTTP_PORT,
        cpu="200m",
        memory=(160, 512),
        replicas=(2, 10),
        pause=8,
        grace=8 + 10 + 12,
        user=GATEWAY,
        image=GATEWAY,
    )


def _api(service: str) -> Process:
    uses = {"database", "kafka", "broker", "keys"}
    if service in {*MINT, *REDEEM}:
        uses.add("valkey")
    if service in STORES:
        uses.add("storage")
    more = DECODES.get(service, 0)
    return Process(
        app=service,
        part=API,
        uses=frozenset(uses),
        port=HTTP_PORT,
        cpu="150m",
        memory=(192, 384 + more),
        replicas=(2, 6),
        pause=6,
        grace=6 + 10 + 14,
        user=service,
        image=service,
        scratch=LARGEST_FILE.get(service, "64Mi"),
    )


def _worker(service: str) -> Process:
    return Process(
        app=service,
        part=WORKER,
        uses=frozenset({"database", "kafka", "broker", "keys"}),
        port=HTTP_PORT,
        cpu="100m",
        memory=(192, 384),
        replicas=(2, PARTITIONS),
        grace=45,
        user=service,
        image=service,
    )


def _tasks(service: str) -> Process:
    uses = {"database", "broker", "storage"}
    if service in MAILS:
        uses.add("mail")
    return Process(
        app=service,
        part=WORK,
        uses=frozenset(uses),
        port=METRICS_PORT,
        cpu="100m",
        memory=(160, 384 + DECODES.get(service, 0)),
        replicas=(2, 2),
        grace=60,
        user=TASKS,
        image="worker" if service == EXPORTS else service,
        scratch=LARGEST_FILE.get(service, "64Mi"),
        options=("--only", service) if service == EXPORTS else (),
    )


def _beat() -> Process:
    """One for all services; a second would wait for the lock of the first."""
    return Process(
        app=BEAT,
        part="",
        uses=frozenset({"broker"}),
        port=METRICS_PORT,
        cpu="50m",
        memory=(128, 256),
        replicas=(1, 1),
        grace=20,
        user=TASKS,
        image="worker",
    )


PROCESSES: tuple[Process, ...] = (
    _gateway(),
    *(make(service) for service in SERVICES for make in (_api, _worker, _tasks)),
    _beat(),
)
