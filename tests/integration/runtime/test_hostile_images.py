"""Images whose author wants the machine: links, devices, hard links and whiteouts where a runtime would step.

The machine of these tests is read-only but for the runtime's own folders, and has a canary that the kernel watches.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import tarfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import grpc
import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from tests.integration.runtime import programs
from tests.integration.runtime.canary import Canary
from tests.integration.runtime.conftest import running
from tests.integration.runtime.lab import Lab, tar_of

pytestmark = pytest.mark.root

CANARY, SECRET = "/usr/local/sbin", "a secret of the host"
# A canary in place of a folder of the host's PATH, and nothing else to write to than the test's own folder (where the
# shell is when it runs this), /dev, /proc and /sys.
MACHINE = f"""
mount --make-rprivate /
mount --bind . . && cd "$PWD"
mount -t tmpfs canary {CANARY}
mkdir -p {CANARY}/a/b
for f in secret passwd hosts a/secret a/b/secret; do echo '{SECRET}' > {CANARY}/$f; done
grep -E ' (ext4|xfs|btrfs|overlay|tmpfs) ' /proc/mounts | while read -r _ place _; do
    case $place in /dev*|/sys*|/proc*|"$PWD"*) ;; *) mount -o remount,bind,ro "$place";; esac
done
! touch /usr/x /etc/x /tmp/x /var/x {CANARY}/x 2>/dev/null
"""


@pytest.fixture
async def machine() -> AsyncIterator[Lab]:
    async with running(mounts=MACHINE) as node:
        yield node


@pytest.fixture
def canary(machine: Lab) -> Iterator[Canary]:
    """What nothing may touch during a test."""
    with Canary(f"/proc/{machine.pid}/root{CANARY}") as watched:
        yield watched
        assert watched.touched() == []


def sha(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o755) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = (1, 3) if kind == tarfile.CHRTYPE else (7, 0)
    return info


def layer(*entries: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for one in entries:
            if isinstance(one, tuple):
                info, content = entry(one[0]), one[1]
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                tar.addfile(one)
    return buffer.getvalue()


def link(name: str, target: str) -> tarfile.TarInfo:
    return entry(name, tarfile.SYMTYPE, target)


def image(name: str, layers: Sequence[bytes], **process: object) -> tuple[bytes, bytes]:
    """An archive of ``docker save``, and the configuration in it."""
    config = json.dumps({"config": process, "rootfs": {"diff_ids": [sha(one) for one in layers]}}).encode()
    paths, file = [f"{number}/layer.tar" for number in range(len(layers))], f"{sha(config)[7:]}.json"
    manifest = json.dumps([{"Config": file, "RepoTags": [name], "Layers": paths}]).encode()
    return tar_of({**dict(zip(paths, layers, strict=True)), file: config, "manifest.json": manifest}), config


async def test_the_canary_shows_what_touches_it(machine: Lab) -> None:
    with Canary(f"/proc/{machine.pid}/root{CANARY}") as watched:
        machine.on_machine(f"cat {CANARY}/a/secret")
        assert any(event.startswith("access by ") for event in watched.touched())
        machine.on_machine(
            f"mount -o remount,bind,rw {CANARY}; touch {CANARY}/a/secret; ln {CANARY}/a/secret {CANARY}/x"
        )
        assert {event.split(" by ")[0] for event in watched.touched()} >= {"attrib", "create"}


# --- the attacks of a report


@pytest.mark.parametrize("recorded", [False, True])
async def test_a_program_for_a_folder_of_the_hosts_path_is_never_run(
    machine: Lab, canary: Canary, recorded: bool
) -> None:
    """opt/crun, then opt -> /usr/local/sbin; by its label alone, and where the builder itself had recorded it."""
    owned = machine.folder / "owned"
    script = f"#!/bin/sh\ntouch {owned}\n".encode()
    attack = [programs.layer(), layer(("opt/crun", script)), layer(link("opt", CANARY))]
    archive, config = image("attack:1", attack, Cmd=["readlink", "/opt"], Labels={"io.kubelab.base": "host"})
    if recorded:
        machine.record_host(config)
    await machine.load(archive)
    sandbox = await machine.sandbox("web")
    assert await machine.output(sandbox, "app", "readlink /opt", "attack:1") == f"{CANARY}\n"
    container = await machine.run(sandbox, "again", ["sleep", "60"], "attack:1")
    seen = await machine.execute(container, "sh", "-c", "ls /opt/; cat /opt/* /opt/a/*")
    assert SECRET.encode() not in seen.stdout
    await machine.stop_container(container)
    assert not owned.exists()


async def test_a_link_shows_the_images_own_folder(machine: Lab, canary: Canary) -> None:
    """opt -> /etc showed a pod the host's /etc."""
    shown = tar_of({"etc/own": b"", "etc/passwd": b"root:x:0:0::/:/bin/sh\n"})
    for number, folder in enumerate(("opt", "opt", "usr/local", "srv")):
        name = f"show:{number}"
        archive, config = image(name, [programs.layer(), shown, layer(link(folder, "/etc"))], Env=[f"N={number}"])
        if number:
            machine.record_host(config)
        await machine.load(archive)
        seen = await machine.output(await machine.sandbox(f"web-{number}"), "app", f"ls /{folder}/", name)
        assert "own\n" in seen, folder
        assert not {"shadow", "fstab", "machine-id", "ssh"} & set(seen.split()), folder


async def test_an_image_by_its_label_alone_has_nothing_of_the_host(machine: Lab) -> None:
    archive, _ = image("claim:1", [tar_of({"f": b""})], Cmd=["sh"], Labels={"io.kubelab.base": "host"})
    await machine.load(archive)
    sandbox = await machine.sandbox("web")
    with pytest.raises(grpc.aio.AioRpcError, match="says that it was built FROM host, and this machine has no record"):
        await machine.run(sandbox, "app", [], "claim:1")


# --- what a container is given at paths that the image leads elsewhere


TRICKS = {
    "etc is a link to the host": [link("etc", CANARY)],
    "etc leads up": [link("etc", f"../../../../..{CANARY}")],
    "etc leads nowhere": [link("etc", "/not/there")],
    "files of etc are links": [link(f"etc/{name}", f"{CANARY}/hosts") for name in ("hosts", "hostname", "resolv.conf")],
    "files of users are links": [link("etc/passwd", f"{CANARY}/passwd"), link("etc/group", f"{CANARY}/passwd")],
    "places of mounts are links": [link(name, CANARY) for name in ("proc", "sys", "dev", "tmp")],
    "places of mounts are files": [(name, b"") for name in ("proc", "sys", "dev")],
    "a volume's place is a link": [link("data", CANARY), link("var", "/proc/1/root")],
    "the folder to work in is a link": [link("task", CANARY)],
    "hosts is a folder": [entry("etc/hosts", tarfile.DIRTYPE)],
    "links in a circle": [link("etc", "data"), link("data", "task"), link("task", "etc")],
    "devices": [
        entry("etc/hosts", tarfile.BLKTYPE),
        entry("etc/passwd", tarfile.CHRTYPE),
        entry("data", tarfile.FIFOTYPE),
    ],
    "whiteouts": [("etc/.wh.hosts", b""), (".wh.data", b""), (".wh.proc", b""), ("usr/.wh..wh..opq", b"")],
}


@pytest.mark.parametrize("recorded", [False, True])
async def test_what_a_container_is_given_stays_in_its_root(machine: Lab, canary: Canary, recorded: bool) -> None:
    ran: list[str] = []
    for number, (trick, entries) in enumerate(TRICKS.items()):
        archive, config = image(f"trick:{number}", [programs.layer(), layer(*entries)], Cmd=["x"])
        if recorded:
            machine.record_host(config)
        with contextlib.suppress(grpc.aio.AioRpcError):  # an image may be refused, or have no shell left
            await machine.load(archive)
            await _live_through(machine, f"trick:{number}")
            ran.append(trick)
        assert canary.touched() == [], trick
    assert {"etc is a link to the host", "files of users are links"} <= set(ran), ran
    assert await machine.output(await machine.sandbox("after"), "app", "echo good") == "good\n"


async def _live_through(machine: Lab, name: str) -> None:
    """Run a container of an image with all that a pod may ask for, and see that nothing of the canary comes out."""
    volume = machine.folder / "volume"
    volume.mkdir(exist_ok=True)
    (volume / "message").touch()
    sandbox = await machine.sandbox("web")
    mounts = [
        cri.Mount(container_path="/data/sub", host_path=str(volume)),
        cri.Mount(container_path="/etc/config/message", host_path=str(volume / "message")),
        cri.Mount(container_path="/var/run/secrets/kubernetes.io/serviceaccount", host_path=str(volume), readonly=True),
        cri.Mount(container_path="/dev/termination-log", host_path=str(volume / "message")),
    ]
    places = " ".join(f"/{name} /{name}/*" for name in ("etc", "opt", "data", "task", "var", "srv", "a"))
    read = "test -f $d && read -r line < $d && echo $line; test -d $d && cat $d/secret $d/passwd $d/a/secret"
    look = f"for d in {places}; do {read}; ls $d; echo x > $d/written; done 2>/dev/null"
    try:
        container = await machine.create(
            sandbox, "app", ["sh", "-c", f"{look}; sleep 60"], name, mounts=mounts, working_dir="/task/made"
        )
        await machine.start_container(container)
        seen = await machine.execute(container, "sh", "-c", f"cat secret passwd; {look}; echo end")
        assert SECRET.encode() not in seen.stdout + seen.stderr
        log = (await machine.status(container)).log_path
        assert SECRET.encode() not in Path(log).read_bytes()
        assert not (volume / "secret").exists()
    finally:
        await machine.remove_sandbox(sandbox)


async def test_what_a_container_leaves_is_removed_however_it_nested_and_linked(machine: Lab, canary: Canary) -> None:
    """Folders deeper than a path can say, which took the runtime's removal beyond Python's recursion."""
    await machine.load(image("deep:1", [programs.layer()], Cmd=["x"])[0])
    script = (
        f"mkdir d; cd d; ln -s {CANARY} link; i=0; while [ $i -lt 1500 ]; do "
        f"mkdir abcd; cd abcd; i=$((i+1)); done; ln -s {CANARY} link; ln -s ../../../../../../.. up"
    )
    sandbox = await machine.sandbox("web")
    await machine.output(sandbox, "app", script, "deep:1", working_dir="/tmp")
    await machine.remove_sandbox(sandbox)
    assert list((machine.state / "containers").iterdir()) == []


async def test_no_other_user_of_the_machine_reaches_what_images_and_pods_write(machine: Lab) -> None:
    """A set-user-id program that a pod makes would be root's on the machine."""
    assert [folder.stat().st_mode & 0o777 for folder in (machine.state, machine.store)] == [0o700, 0o700]


async def test_no_folder_of_the_host_is_open_in_a_container(machine: Lab) -> None:
    """CVE-2024-21626: a descriptor of the host's that is left open is a way out for a working directory."""
    await machine.load(image("work:1", [programs.layer()], Cmd=["x"])[0])
    sandbox = await machine.sandbox("web")
    for number in range(3, 14):
        for folder in (f"/proc/self/fd/{number}", f"/proc/self/fd/{number}/..", f"/proc/1/fd/{number}"):
            with contextlib.suppress(grpc.aio.AioRpcError):
                name = f"app{number}{len(folder)}"
                container = await machine.create(sandbox, name, ["sh", "-c", "pwd; ls"], "work:1", working_dir=folder)
                await machine.start_container(container)
                ended = await machine.ended(container)
                seen = {line.split(" ", 3)[3] for line in machine.lines(ended.log_path)}
                assert not seen & {"home", "root", "boot", "containers", "config.json", machine.folder.name}, seen


# --- images that a generator thought of


NAMES = ("etc", "etc/hosts", "etc/passwd", "opt", "opt/crun", "usr/local", "usr/local/sbin", "data", "data/sub", "task",
         "var", "var/run", "tmp", "dev/null", "srv", "a", "a/b", "a/b/c")  # fmt: skip
TARGETS = (CANARY, f"{CANARY}/a", f"../..{CANARY}", f"../../../../../../..{CANARY}/secret", "/", "..", "a", "/a/b",
           "../a", "/etc", "/proc/1/root", f"/proc/self/root{CANARY}", "/proc/self/cwd", "/usr/bin", ".", "/dev",
           "data")  # fmt: skip


def thought_of(chance: random.Random) -> bytes:
    """A layer with a few entries, most of them links."""
    entries: list[tarfile.TarInfo | tuple[str, bytes]] = []
    for _ in range(chance.randint(1, 5)):
        name = chance.choice(NAMES)
        folder, _, last = name.rpartition("/")
        kinds: list[tarfile.TarInfo | tuple[str, bytes]] = [
            *(link(name, chance.choice(TARGETS)) for _ in range(4)),
            entry(name, tarfile.DIRTYPE),
            (name, b"x"),
            (f"{folder}/.wh.{last}".lstrip("/"), b""),
            (f"{name}/.wh..wh..opq", b""),
            entry(name, chance.choice((tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE))),
        ]
        if chance.random() < 0.05:  # what is refused
            kinds = [
                entry(name, tarfile.LNKTYPE, chance.choice((*NAMES, *TARGETS)).lstrip("/")),
                (f"{name}/../../{chance.choice(NAMES)}", b"x"),
                (f"../../../{CANARY}/{name}", b"x"),
                (CANARY, b"x"),
            ]
        entries.append(chance.choice(kinds))
    return layer(*entries)


@pytest.mark.parametrize("seed", range(2))
async def test_generated_images_neither_read_nor_change_the_host(machine: Lab, canary: Canary, seed: int) -> None:
    chance = random.Random(seed)
    refused: list[str] = []
    for number in range(8):
        made = [thought_of(chance) for _ in range(chance.randint(1, 3))]
        layers = [programs.layer(), *made, *chance.choices(made, k=chance.randint(0, 1))]
        archive, config = image(f"generated:{number}", layers, Cmd=["x"], User=chance.choice(("", "0", "7:8")))
        if chance.random() < 0.5:
            machine.record_host(config)
        try:
            await machine.load(archive)
            await _live_through(machine, f"generated:{number}")
        except grpc.aio.AioRpcError as err:
            refused.append(err.details() or "")
    assert len(refused) < 7, refused
    assert await machine.output(await machine.sandbox("after"), "app", "echo good") == "good\n"
