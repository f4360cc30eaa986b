"""A control plane of Kubernetes on this machine: etcd, API server, controllers and scheduler, on free ports.

Everything lies in one directory and ends with the block: `with control_plane(directory) as cluster:`.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from deploy.local.process import Command, end, spawn, tail
from deploy.local.project import free_ports
from tests.kubernetes import build, debian
from tests.kubernetes.certificates import Certificates, make_certificates
from tests.kubernetes.rendered import tool

Json = dict[str, Any]
NAMESPACE = "lectern"


class ClusterError(Exception):
    """Something did not happen in time, or kubectl refused: the message says what."""


@dataclass
class Cluster:
    """A running control plane, and kubectl to speak with it."""

    directory: Path
    certificates: Certificates
    kubeconfig: Path
    server: str
    processes: list[tuple[Command, subprocess.Popen[bytes]]] = field(default_factory=list)

    def start(self, name: str, program: Path, *options: str, **more: Any) -> None:
        """One more process, with its log in the directory; it ends with the cluster."""
        environment = more.pop("environment", {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        command = Command(name, (str(program), *options), environment, self.directory, **more)
        process = spawn(command, self.directory / f"{name}.log", tied=True)
        self.processes.append((command, process))

    def kubectl(self, *arguments: str, stdin: str = "", timeout: float = 120) -> str:
        done = self.try_kubectl(*arguments, stdin=stdin, timeout=timeout)
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments[:4])}: {done.stderr.strip()[-3000:]}")
        return done.stdout

    def try_kubectl(
        self, *arguments: str, stdin: str = "", timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        argv = [tool("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=timeout)

    def apply(self, manifests: str | Sequence[Json], *options: str) -> str:
        """By the server, with the strictest validation."""
        text = manifests if isinstance(manifests, str) else yaml.safe_dump_all(manifests)
        flags = ("--server-side", "--validate=strict", "--force-conflicts", *options)
        return self.kubectl("apply", *flags, "-f", "-", stdin=text)

    def get(self, *arguments: str, namespace: str = NAMESPACE) -> list[Json]:
        """The objects of a kind, or one by its name."""
        found = json.loads(self.kubectl("get", *arguments, "-n", namespace, "-o", "json"))
        items: list[Json] = found["items"] if found["kind"].endswith("List") else [found]
        return items

    def eventually(self, what: str, holds: Callable[[], bool], timeout: float = 60) -> None:
        """Until it holds; a ClusterError names what did not."""
        deadline = time.monotonic() + timeout
        while not holds():
            for command, process in self.processes:
                if process.poll() is not None:
                    raise ClusterError(
                        f"{command.name} ended: {tail(self.directory / f'{command.name}.log')}"
                    )
            if time.monotonic() > deadline:
                raise ClusterError(f"not after {timeout:.0f} s: {what}")
            time.sleep(0.2)

    def answers(self, url: str) -> bool:
        try:
            return httpx.get(url, verify=False, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def end(self, name: str) -> None:
        """One process before the others."""
        for entry in [each for each in self.processes if each[0].name == name]:
            self.processes.remove(entry)
            end(entry[1], entry[0].stop_signal, entry[0].patience)

    def stop(self) -> None:
        """The last first; whatever has to be undone is done by who started it."""
        for command, process in reversed(self.processes):
            end(process, command.stop_signal, command.patience)
        self.processes.clear()


@contextmanager
def control_plane(directory: Path) -> Iterator[Cluster]:
    """API server, controllers and scheduler are ready; there are no nodes."""
    etcd, peer, api, manager, scheduler = free_ports(5)
    certificates = make_certificates(directory / "certificates")
    server = f"https://127.0.0.1:{api}"
    kubeconfig = directory / "kubeconfig"
    _write_kubeconfig(kubeconfig, server, certificates)
    cluster = Cluster(directory, certificates, kubeconfig, server)
    try:
        _start_etcd(cluster, etcd, peer)
        _start_api(cluster, etcd, api)
        cluster.eventually("the API server is ready", lambda: _is_ready(cluster), 120)
        _start_controllers(cluster, manager, scheduler)
        account = ("get", "serviceaccount", "default", "-n", "default")
        cluster.eventually("controllers work", lambda: cluster.try_kubectl(*account).returncode == 0, 60)
        yield cluster
    finally:
        cluster.stop()


def _is_ready(cluster: Cluster) -> bool:
    return cluster.try_kubectl("get", "--raw", "/readyz").returncode == 0


def _start_etcd(cluster: Cluster, client: int, peer: int) -> None:
    here, there = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    cluster.start(
        "etcd", debian.etcd(), "--data-dir", str(cluster.directory / "etcd"),
        "--listen-client-urls", here, "--advertise-client-urls", here, "--listen-peer-urls", there,
        "--initial-advertise-peer-urls", there, "--initial-cluster", f"default={there}", "--unsafe-no-fsync",
    )  # fmt: skip


def _start_api(cluster: Cluster, etcd: int, port: int) -> None:
    certificates = cluster.certificates
    cluster.start(
        "kube-apiserver", build.program("kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{etcd}", "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}", f"--cert-dir={cluster.directory / 'api'}",
        f"--client-ca-file={certificates.ca}", f"--service-account-key-file={certificates.account_public}",
        f"--service-account-signing-key-file={certificates.account_key}",
        "--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=Node,RBAC", "--endpoint-reconciler-type=none", "--allow-privileged=true",
        f"--kubelet-client-certificate={certificates.admin}",
        f"--kubelet-client-key={certificates.admin_key}",
        "--kubelet-preferred-address-types=InternalIP",
    )  # fmt: skip


def _start_controllers(cluster: Cluster, manager: int, scheduler: int) -> None:
    certificates = cluster.certificates
    cluster.start(
        "kube-controller-manager", build.program("kube-controller-manager"),
        f"--kubeconfig={cluster.kubeconfig}", "--bind-address=127.0.0.1", f"--secure-port={manager}",
        f"--service-account-private-key-file={certificates.account_key}", f"--root-ca-file={certificates.ca}",
        f"--cluster-signing-cert-file={certificates.ca}", f"--cluster-signing-key-file={certificates.ca_key}",
        "--use-service-account-credentials", "--leader-elect=false",
        f"--cert-dir={cluster.directory / 'manager'}",
    )  # fmt: skip
    cluster.start(
        "kube-scheduler", build.program("kube-scheduler"), f"--kubeconfig={cluster.kubeconfig}",
        "--bind-address=127.0.0.1", f"--secure-port={scheduler}", "--leader-elect=false",
        f"--cert-dir={cluster.directory / 'scheduler'}",
    )  # fmt: skip


def _write_kubeconfig(path: Path, server: str, certificates: Certificates) -> None:
    """The server's certificate is its own; it is on loopback."""
    cluster = {"server": server, "insecure-skip-tls-verify": True}
    user = {"client-certificate": str(certificates.admin), "client-key": str(certificates.admin_key)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "admin", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    }
    path.write_text(yaml.safe_dump(config))
