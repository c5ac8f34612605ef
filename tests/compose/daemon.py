"""A Docker daemon for the tests, and the images in it.

The daemon that answers is used. Where none does, root gets Debian's packages and a daemon of the tests' own, with its
own folders and socket, which is gone afterwards with all that it has changed. Where that cannot be, :class:`NoDocker`
says why.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

from tests.e2e.terminal import ROOT, eventually

PROGRAMS = {
    "docker.io": "dockerd",
    "docker-compose": "docker-compose",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
}  # by the package that has them
BASE = next(
    line.partition("=")[2] for line in (ROOT / ".env").read_text().splitlines() if line.startswith("KUBELAB_DEBIAN=")
)
CACHE = ROOT / "build" / "debian-bookworm-slim.tar"
WHEELS = ROOT / "build" / "wheels"
MIRROR = "http://deb.debian.org/debian"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")  # which the daemon turns on
START_SECONDS, INSTALL_SECONDS, PULL_SECONDS, BUILD_SECONDS = 60.0, 600.0, 60.0, 900.0


class NoDocker(Exception):
    """There is no Docker here; the message says what was tried, and how it ended."""


def run(*command: str, deadline: float = 60.0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, and keep what it says."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=deadline,
        check=False,
    )


def answers() -> bool:
    """Whether a daemon answers the docker CLI."""
    return bool(shutil.which("docker")) and run("docker", "version").returncode == 0


@contextlib.contextmanager
def daemon(folder: Path) -> Generator[None]:
    """A daemon that the docker CLI reaches during the body. Raises NoDocker."""
    if answers():
        if not (shutil.which("docker-compose") or run("docker", "compose", "version").returncode == 0):
            install()
        yield
        return
    install()
    filters, forwarding = run("iptables-save").stdout, FORWARDING.read_text()
    socket = folder / "docker.sock"
    command = [
        "dockerd",
        *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
        *("--host", f"unix://{socket}", "--pidfile", str(folder / "dockerd.pid"), "--bridge", "none"),
    ]
    log = folder / "dockerd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    before = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = f"unix://{socket}"
    try:
        try:
            eventually(lambda: answers() or process.poll() is not None, within=START_SECONDS, what="a daemon")
        except AssertionError as err:
            raise NoDocker(f"dockerd does not answer within {START_SECONDS:g} s: {last_line(log)}") from err
        if process.poll() is not None:
            raise NoDocker(f"dockerd cannot run here: {last_line(log)}")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        os.environ.pop("DOCKER_HOST")
        if before is not None:
            os.environ["DOCKER_HOST"] = before
        undone = as_before(filters, run("iptables-save").stdout)
        subprocess.run(["iptables-restore"], input=undone, text=True, check=True)
        FORWARDING.write_text(forwarding)
        release(folder)
        shutil.rmtree(folder)


def release(folder: Path) -> None:
    """Take away the mounts that a daemon leaves below its folders, innermost first: a network namespace is one."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((p for p in points if p.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", point], check=True)


def as_before(before: str, now: str) -> str:
    """What ``iptables-restore`` has to read so that rules are what they were; both are what ``iptables-save`` printed.

    A table in which nothing had been is not in ``before``: it is emptied, and its built-in chains accept again.
    """
    lines = [before.rstrip()] if before.strip() else []
    policies = {line for line in before.splitlines() if line.startswith("*")}
    table = ""
    for line in now.splitlines():
        if line.startswith("*"):
            table = "" if line in policies else line
        chain, _, policy = line.partition(" ")
        if table and (line == "COMMIT" or line == table):
            lines.append(line)
        elif table and chain.startswith(":") and not policy.startswith("-"):  # a user-defined chain has none
            lines.append(f"{chain} ACCEPT [0:0]")
    return "\n".join(lines) + "\n"


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def install() -> None:
    """Install Debian's Docker. Raises NoDocker where that is not ours to do, or does not work."""
    missing = [package for package, program in PROGRAMS.items() if not shutil.which(program)]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise NoDocker(f"no Docker daemon answers, and {' '.join(missing)} can only be installed by root on Debian")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    for command in (["apt-get", "update", "-q"], apt):
        done = run(*command, deadline=INSTALL_SECONDS, **quiet)
        if done.returncode:
            raise NoDocker(f"{' '.join(command)}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")


@contextlib.contextmanager
def images(tag: str) -> Generator[None]:
    """The project's images under a tag of their own, gone at the end."""
    ensure_base()
    try:
        wheels = run("deploy/images/wheels", sys.executable, deadline=BUILD_SECONDS)
        assert wheels.returncode == 0, wheels.stderr
        compose = ["docker", "compose"] if run("docker", "compose", "version").returncode == 0 else ["docker-compose"]
        built = run(
            *compose, "--profile", "ha", "build",
            deadline=BUILD_SECONDS, KUBELAB_TAG=tag, KUBELAB_BUILD_NETWORK="host",
        )  # fmt: skip
        assert built.returncode == 0, built.stdout[-4000:] + built.stderr[-4000:]
        yield
    finally:
        shutil.rmtree(WHEELS, ignore_errors=True)  # else they would go into the next build by hand
        which = ("--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference=kubelab/*:{tag}")
        named = run("docker", "images", *which).stdout.split()
        if named:
            run("docker", "rmi", "--force", *named)


def ensure_base() -> None:
    """Have the public base image; where no registry answers, make one of the same name from Debian's packages."""
    if run("docker", "image", "inspect", BASE).returncode == 0:
        return
    with contextlib.suppress(subprocess.TimeoutExpired):
        if run("docker", "pull", "--quiet", BASE, deadline=PULL_SECONDS).returncode == 0:
            return
    if not CACHE.exists():
        make_base(CACHE)
    imported = run("docker", "import", str(CACHE), BASE, deadline=PULL_SECONDS)
    assert imported.returncode == 0, imported.stderr


def make_base(archive: Path) -> None:
    """A minimal Debian as an archive."""
    archive.parent.mkdir(exist_ok=True)
    root, half = archive.with_suffix(".root"), archive.with_suffix(".half")
    shutil.rmtree(root, ignore_errors=True)
    try:
        bootstrapped = run("debootstrap", "--variant=minbase", "bookworm", str(root), MIRROR, deadline=BUILD_SECONDS)
        if bootstrapped.returncode:
            raise NoDocker(
                f"no registry has {BASE}, and debootstrap fails: {bootstrapped.stdout.strip().splitlines()[-1]}"
            )
        for waste in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(root / waste)
            (root / waste / "partial").mkdir(parents=True)
        packed = run("tar", "--numeric-owner", "-C", str(root), "-cf", str(half), ".", deadline=BUILD_SECONDS)
        assert packed.returncode == 0, packed.stderr
        half.replace(archive)
    finally:
        shutil.rmtree(root, ignore_errors=True)
        half.unlink(missing_ok=True)
