"""Programs of Debian's packages that a cluster is made of, unpacked into the user's cache."""

import platform
from pathlib import Path

from deploy.local.debian import own_suite, unpacked

# Not of a newer release: its runc needs a newer C library.
OLD = (
    "runc", "libseccomp2", "containernetworking-plugins", "nftables", "libnftables1", "libnftnl11",
    "libmnl0", "libjansson4", "libedit2", "libbsd0", "libmd0",
)  # fmt: skip


def etcd() -> Path:
    return unpacked({"trixie": ("etcd-server",)}) / "usr" / "bin" / "etcd"


def containerd() -> Path:
    """A kubelet of today wants a current one."""
    return unpacked({"forky": ("containerd",)}) / "usr" / "bin"


def node() -> Path:
    """The directory of what else a node is made of; its `bin` has wrappers that find their libraries."""
    place = unpacked({own_suite(): OLD})
    programs = place / "bin"
    if not programs.exists():
        libraries = place / "usr" / "lib" / f"{platform.machine()}-linux-gnu"
        programs.mkdir()
        for path in (
            *(place / "usr" / "sbin").iterdir(),
            *(place / "usr" / "bin").iterdir(),
            *containerd().iterdir(),
        ):
            wrapper = programs / path.name
            wrapper.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {path} "$@"\n')
            wrapper.chmod(0o755)
    return place
