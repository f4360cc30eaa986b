"""Programs of Debian's packages that a cluster is made of, unpacked into the user's cache."""

import platform
from pathlib import Path

from deploy.local.debian import own_suite, unpacked

# Not of a newer release: its runc needs a newer C library.
OLD = (
    "runc", "libseccomp2", "containernetworking-plugins", "nftables", "libnftables1", "libnftnl11",
    "libmnl0", "libjansson4", "libedit2", "libbsd0", "libmd0",
)  # fmt: skip

FIREWALL = (
    "iptables", "ipset", "libipset13", "libip4tc2", "libip6tc2", "libxtables12", "libnftnl11",
    "libnetfilter-conntrack3", "libnfnetlink0", "libmnl0",
)  # fmt: skip
TABLES = tuple(f"{family}tables{end}" for family in ("ip", "ip6") for end in ("", "-save", "-restore"))


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


def firewall() -> Path:
    """The directory of iptables and ipset, for what enforces NetworkPolicies."""
    place = unpacked({own_suite(): FIREWALL})
    programs = place / "bin"
    if not programs.exists():
        libraries = place / "usr" / "lib" / f"{platform.machine()}-linux-gnu"
        (ipset,) = [path for path in place.rglob("sbin/ipset") if path.is_file()]
        settings = f"LD_LIBRARY_PATH={libraries} XTABLES_LIBDIR={libraries / 'xtables'}"
        programs.mkdir()
        commands = {each: f"{place / 'usr/sbin/xtables-nft-multi'} {each}" for each in TABLES}
        for name, command in {**commands, "ipset": str(ipset)}.items():
            (programs / name).write_text(f'#!/bin/sh\n{settings} exec {command} "$@"\n')
            (programs / name).chmod(0o755)
    return programs
