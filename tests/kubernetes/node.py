"""Two real nodes: containerd and kubelet twice, kube-proxy and CoreDNS once, as processes of this machine.

Root only. Pods have addresses of 10.98.0.0/16 and reach the machine at 10.99.0.1. Everything is undone at the
end: pods, mounts, network namespaces, control groups, the interface and the tables of nftables, by name.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from deploy.local.debian import cache
from deploy.local.project import free_ports
from tests.kubernetes import build, debian
from tests.kubernetes.cluster import Cluster, ClusterError
from tests.kubernetes.pause import write_pause

PODS, HOST, DEVICE = "10.98.0.0/16", "10.99.0.1", "lectern0"
NODES = ("node-1", "node-2")
CGROUPS = Path("/sys/fs/cgroup")
PAUSE = "registry.k8s.io/pause:3.10"
# Statistics of the file system are not to be had on every machine, so neither is what rests on them.
KUBELET: dict[str, Any] = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "failCgroupV1": False,
    "cgroupDriver": "cgroupfs",
    "oomScoreAdj": 0,
    "localStorageCapacityIsolation": False,
    "clusterDNS": [HOST],
    "clusterDomain": "cluster.local",
    "authorization": {"mode": "AlwaysAllow"},
    "readOnlyPort": 0,
    "failSwapOn": False,
    "evictionHard": {"memory.available": "200Mi"},
}


def run(*argv: object, check: bool = True) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise ClusterError(f"{' '.join(map(str, argv[:4]))}: {done.stderr.strip()[-1000:]}")
    return done.stdout


class Node:
    """One kubelet with a containerd of its own."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        self.cluster = cluster
        self.number = number
        self.name = NODES[number]
        self.place = debian.node()
        self.directory = cluster.directory / self.name
        self.directory.mkdir()
        self.socket = self.directory / "containerd.sock"
        self.images = cache() / "kubernetes-images" / self.name
        self.images.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Returns when the node is ready."""
        self._containerd()
        self._remove_containers()  # of a run that was killed
        self.ctr("images", "import", write_pause(self.directory, PAUSE))
        self._kubelet()
        ready = ("wait", "--for=condition=Ready", f"node/{self.name}", "--timeout=1s")
        self.cluster.eventually(
            f"{self.name} is ready", lambda: self.cluster.try_kubectl(*ready).returncode == 0, 90
        )

    def ctr(self, *arguments: object, check: bool = True) -> str:
        return run(self.place / "bin" / "ctr", "-a", self.socket, "-n", "k8s.io", *arguments, check=check)

    def load(self, docker: dict[str, str], images: list[str]) -> None:
        """Takes images over from a Docker engine, where they are not here yet; they stay for the next run, in
        place of older ones."""
        ask = ["docker", "image", "inspect", "--format", "{{.Id}}", *images]
        asked = subprocess.run(ask, env=docker, capture_output=True, text=True, check=False)
        if asked.returncode:
            raise ClusterError(f"run 'make images' first: {asked.stderr.strip()}")
        wanted = "\n".join([*images, asked.stdout])
        stamp = self.images / "taken-over"
        if stamp.exists() and stamp.read_text() == wanted:
            return
        stamp.unlink(missing_ok=True)
        older = [each for each in self.ctr("images", "ls", "--quiet").split() if "/lectern/" in each]
        if older:
            self.ctr("images", "rm", "--sync", *older)
        save = subprocess.Popen(["docker", "save", *images], env=docker, stdout=subprocess.PIPE)
        argv = [self.place / "bin" / "ctr", "-a", self.socket, "-n", "k8s.io", "images", "import", "-"]
        taken = subprocess.run(argv, stdin=save.stdout, capture_output=True, text=True, check=False)
        if save.wait() or taken.returncode:
            raise ClusterError(f"images could not be taken over: {taken.stderr[-1000:]}")
        stamp.write_text(wanted)

    def _containerd(self) -> None:
        bridge = {
            "cniVersion": "1.0.0",
            "name": "lectern",
            "plugins": [
                {
                    "type": "ptp",
                    "ipMasq": False,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": str(self.directory / "addresses"),
                        "ranges": [[{"subnet": f"10.98.{self.number + 1}.0/24"}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }
        networks = self.directory / "cni"
        networks.mkdir()
        (networks / "lectern.conflist").write_text(json.dumps(bridge))
        configuration = self.directory / "containerd.toml"
        configuration.write_text(
            f"""version = 3
root = "{self.images}"
state = "{self.directory / "state"}"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
address = "{self.socket}"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE}"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{self.place / "usr/lib/cni"}"]
conf_dir = "{networks}"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
BinaryName = "{self.place / "bin/runc"}"
"""
        )
        self.cluster.start(
            f"containerd-{self.number}", self.place / "bin" / "containerd", "--config", str(configuration),
            environment=environment(self.cluster),
        )  # fmt: skip
        self.cluster.eventually("containerd answers", self._answers, 30)

    def _answers(self) -> bool:
        with suppress(ClusterError):
            self.ctr("version")
            return True
        return False

    def _kubelet(self) -> None:
        port, health = free_ports(2)
        resolv = self.directory / "resolv.conf"
        resolv.write_text("nameserver 127.0.0.1\n")
        address = address_of(self.number)
        for controller in _controllers():
            _make_group(controller / f"lectern-{self.number}")
        values = KUBELET | {
            "address": address,
            "port": port,
            "healthzPort": health,
            "cgroupRoot": f"/lectern-{self.number}",
            "podLogsDir": str(self.directory / "logs"),
            "resolvConf": str(resolv),
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
                "x509": {"clientCAFile": str(self.cluster.certificates.ca)},
            },
        }
        configuration = self.directory / "kubelet.yaml"
        configuration.write_text(yaml.safe_dump(values))
        self.cluster.start(
            f"kubelet-{self.number}", build.program("kubelet"), f"--config={configuration}",
            f"--kubeconfig={self.cluster.kubeconfig}", f"--hostname-override={self.name}",
            f"--node-ip={address}", f"--root-dir={self.directory / 'kubelet'}",
            f"--cert-dir={self.directory / 'certificates'}", environment=environment(self.cluster),
        )  # fmt: skip

    def stop(self) -> None:
        """What the pods and the programs have left."""
        self.cluster.end(f"kubelet-{self.number}")
        self._remove_containers()
        self.cluster.end(f"containerd-{self.number}")
        unmount(self.directory)
        for controller in CGROUPS.iterdir():
            _remove_group(controller / f"lectern-{self.number}")

    def _remove_containers(self) -> None:
        containers = self.ctr("containers", "list", "-q", check=False).split()
        for container in containers:
            self.ctr("tasks", "delete", "-f", container, check=False)
            self.ctr("containers", "delete", container, check=False)


def environment(cluster: Cluster) -> dict[str, str]:
    """In which the programs of a node find each other."""
    return {"PATH": f"{debian.node() / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(cluster.directory)}


def address_of(number: int) -> str:
    """Of a node."""
    return HOST.rpartition(".")[0] + f".{number + 1}"


def _controllers() -> list[Path]:
    """Hierarchies of control groups, version 1; none where there is only version 2."""
    return [path for path in CGROUPS.iterdir() if (path / "cgroup.procs").exists() and path.name != "unified"]


def _make_group(path: Path) -> None:
    """A group of cpusets begins without processors; a node weighs more than one process of the machine."""
    path.mkdir(exist_ok=True)
    if (path / "cpu.shares").exists():
        (path / "cpu.shares").write_text("16384")
    for file in ("cpuset.cpus", "cpuset.mems"):
        if (path / file).exists():
            (path / file).write_text((path.parent / file).read_text())


def _remove_group(path: Path) -> None:
    """The innermost first."""
    if path.exists():
        for each in sorted(path.rglob("*"), key=lambda each: len(each.parts), reverse=True):
            if each.is_dir():
                with suppress(OSError):
                    each.rmdir()
        with suppress(OSError):
            path.rmdir()


def unmount(directory: Path) -> None:
    """Mounts below a directory, the deepest first."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted(mounts, key=len, reverse=True):
        if mount.startswith(f"{directory}/"):
            run("umount", "-l", mount, check=False)


class Machine:
    """What the nodes share: an address, kube-proxy and the names of Services."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.nodes: list[Node] = []
        self._namespaces = set(Path("/run/netns").glob("cni-*"))

    def start(self) -> None:
        run("ip", "link", "add", DEVICE, "type", "bridge")  # it only carries addresses
        for number in range(len(NODES)):
            run("ip", "address", "add", f"{address_of(number)}/32", "dev", DEVICE)
        run("ip", "link", "set", DEVICE, "up")
        self._proxy()
        self._names()
        for number in range(len(NODES)):
            node = Node(self.cluster, number)
            self.nodes.append(node)
            node.start()

    def _proxy(self) -> None:
        health, metrics = free_ports(2)
        values = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": str(self.cluster.kubeconfig)},
            "hostnameOverride": NODES[0],
            "clusterCIDR": PODS,
            "conntrack": {"maxPerCore": 0, "min": 0},
            "nodePortAddresses": ["127.0.0.1/32"],
            "healthzBindAddress": f"127.0.0.1:{health}",
            "metricsBindAddress": f"127.0.0.1:{metrics}",
        }
        self._proxy_file.write_text(yaml.safe_dump(values))
        self.cluster.start(
            "kube-proxy", build.program("kube-proxy"), f"--config={self._proxy_file}",
            environment=environment(self.cluster),
        )  # fmt: skip

    @property
    def _proxy_file(self) -> Path:
        return self.cluster.directory / "proxy.yaml"

    def _names(self) -> None:
        corefile = self.cluster.directory / "Corefile"
        corefile.write_text(
            f""".:53 {{
    bind {HOST}
    errors
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {self.cluster.kubeconfig}
        pods disabled
        ttl 5
    }}
}}
"""
        )
        self.cluster.start(
            "coredns", build.program("coredns"), "-conf", str(corefile), environment=environment(self.cluster)
        )

    def stop(self) -> None:
        """Pods first, while everything still works."""
        gone = ("delete", "namespace", "lectern", "--wait", "--timeout=90s", "--ignore-not-found")
        with suppress(ClusterError, subprocess.TimeoutExpired):
            self.cluster.kubectl(*gone, timeout=100)
        for node in reversed(self.nodes):
            node.stop()
        self.cluster.end("coredns")
        self.cluster.end("kube-proxy")
        clean = (build.program("kube-proxy"), "--cleanup", f"--config={self._proxy_file}")
        subprocess.run(clean, env=environment(self.cluster), capture_output=True, check=False, timeout=30)
        for family in ("ip", "ip6"):
            run(debian.node() / "bin" / "nft", "delete", "table", family, "kube-proxy", check=False)
        for namespace in set(Path("/run/netns").glob("cni-*")) - self._namespaces:
            run("umount", "-l", namespace, check=False)
            namespace.unlink(missing_ok=True)
        run("ip", "link", "delete", DEVICE, check=False)


@contextmanager
def real_nodes(cluster: Cluster) -> Iterator[Machine]:
    """The nodes, ready; undone at the end."""
    if os.geteuid() != 0:
        raise ClusterError("only root can start a node")
    machine = Machine(cluster)
    try:
        machine.start()
        yield machine
    finally:
        machine.stop()
