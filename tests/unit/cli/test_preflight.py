"""What a machine lacks is named, with the command that mends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kubelab.cli import preflight
from kubelab.cli.preflight import HostFacts


def no_overlay(name: str) -> bool:
    return "overlay" not in name


GOOD = HostFacts(
    which=lambda program: f"/usr/bin/{program}",
    user=0,
    capabilities=(1 << 40) - 1,
    filesystems="nodev\toverlay\n",
    files=lambda _: True,
    descriptors=1024,
)


def only(*programs: str) -> HostFacts:
    def which(program: str) -> str | None:
        return program if program in programs else None

    return replace(GOOD, which=which)


@pytest.mark.parametrize(
    ("machine", "told"),
    [
        (GOOD, []),
        (only("apt-get", "nft", "ip"), ["missing: etcd, etcdctl, crun", "install -y etcd-server etcd-client crun"]),
        (only("dnf", "etcd", "etcdctl", "crun", "nft"), ["missing: ip", "type: dnf install -y iproute"]),
        (only("dnf", "crun", "nft", "ip"), ["missing: etcd, etcdctl", "type: dnf install -y etcd"]),
        (only(), ["missing: etcd, etcdctl, crun, nft, ip", "with your distribution's package manager"]),
        (replace(GOOD, user=1000), ["needs root", "sudo -E /", " up"]),
        (replace(only("etcd", "etcdctl", "crun", "nft", "ip"), user=1000), ["needs root", "su root -c '/", " up'"]),
        (replace(GOOD, capabilities=0xA80425FB), ["CAP_SYS_ADMIN and CAP_NET_ADMIN", "--privileged"]),
        (replace(GOOD, filesystems="", files=no_overlay), ["modprobe overlay"]),
        (
            replace(GOOD, descriptors=255),
            ["only 255 files open at once", "needs 1024", "ulimit -n 4096", "nofile=4096"],
        ),
    ],
)
def test_check(machine: HostFacts, told: list[str]) -> None:
    text = "\n".join(str(problem) for problem in preflight.check(machine))
    assert all(words in text for words in told)
    assert bool(text) == bool(told)
