"""RUN and WORKDIR: what a step sees, what it may change, and that nothing of it stays."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.integration.runtime.lab import Lab, ip

pytestmark = pytest.mark.root


def printed(lines: list[str]) -> list[str]:
    """What the steps of a build printed."""
    return [line for line in lines if not line.startswith((" ---> ", "Step "))]


async def test_here_documents_users_shells_and_working_directories(lab: Lab) -> None:
    lines = await lab.build(
        """\
# syntax=docker/dockerfile:1
# escape=`
FROM host
RUN <<EOF
echo one
cat <<END
  two
END
EOF
RUN <<-EOF
	#!/usr/bin/python3
	print("python", 1 + 1)
EOF
RUN cat <<A && cat <<B
from a
A
from b
B
RUN echo 'app:x:1234:1235::/home/app:/bin/sh' >> /etc/passwd && `
    # a comment in between
    echo 'app:x:1235:' >> /etc/group
USER app
WORKDIR /srv/new/deep
RUN touch here && stat -c '%U:%G %n' . .. && id -un && echo $HOME
WORKDIR ../again
RUN pwd && stat -c '%u:%g' .
USER 77
WORKDIR /srv/numbered
RUN stat -c '%u:%g' /srv/numbered
USER root
SHELL ["/usr/bin/python3", "-c"]
RUN print("in python")
RUN ["echo", "exec $HOME"]
""",
        "v",
    )
    assert printed(lines) == [
        "[Warning] Dockerfile:1: # syntax=docker/dockerfile:1 has no effect in `kubelab image build`",
        *("one", "  two", "python 2", "from a", "from b"),
        *("app:app .", "app:app ..", "app", "/home/app", "/srv/new/again", "1234:1235", "77:77"),
        *("in python", "exec $HOME"),
    ]


async def test_the_mounts_of_a_step(lab: Lab) -> None:
    dockerfile = """\
FROM host AS made
RUN mkdir /made && echo of-stage > /made/file
FROM host
WORKDIR /w
RUN --mount=target=/ctx --mount=type=bind,from=made,source=/made,target=../stage <<EOF
cat /ctx/dir/file /stage/file
touch /ctx/no 2>/dev/null || echo read-only
EOF
RUN --mount=source=dir,target=/ctx,rw echo more > /ctx/more && cat /ctx/file /ctx/more
RUN --mount=source=dir/file,target=/one cat /one && test ! -e /ctx
RUN --mount=type=cache,target=/cache,mode=0700,uid=7 stat -c '%a %u' /cache; ls /cache; date +%N >> /cache/x
RUN --mount=type=cache,target=/cache,id=/cache,sharing=locked ls /cache
RUN --mount=type=cache,target=/cache,sharing=private,id=other ls /cache
RUN --mount=type=tmpfs,target=/t,size=4k head -c 9000 /dev/zero > /t/x 2>&- || stat -c %s /t/x; df -T /t | tail -1
RUN --mount=type=secret,id=key cat /run/secrets/key && stat -c '%a' /run/secrets/key
RUN --mount=type=secret,id=key,target=k,env=KEY,mode=0444 cat k && echo $KEY
RUN --mount=type=secret,id=none test ! -e /run/secrets/none
RUN ls -A / /run /w
"""
    files = {"dir/file": b"of-context\n"}
    lines = await lab.build(dockerfile, "v", files=files, secrets={"key": b"hush\n"})
    seen = [" ".join(line.split()) for line in printed(lines)]
    assert seen[:12] == [
        *("of-context", "of-stage", "read-only", "of-context", "more", "of-context", "700 7", "x", "4096"),
        *seen[9:12],
    ]
    assert seen[9].split()[1] == "tmpfs"
    assert seen[10:14] == ["hush", "400", "hush", "hush"]
    # no mount point stays, and no secret
    assert not {"ctx", "stage", "one", "cache", "t", "secrets", "k"} & set(seen[14:])
    again = await lab.build(dockerfile, "v2", files=files, secrets={"key": b"other\n"})
    assert again.count(" ---> Using cache") == lines.count(" ---> Using cache") + 13
    changed = await lab.build(dockerfile, "v3", files={"dir/file": b"new\n"}, secrets={"key": b"hush\n"})
    assert "new" in changed


async def test_names_are_found_as_the_machine_finds_them_and_its_files_stay_as_they_are(lab: Lab) -> None:
    hosts, resolver = Path("/etc/hosts").read_text(), Path("/etc/resolv.conf").read_text()
    lines = await lab.build(
        "FROM host\n"
        "RUN for f in hosts resolv.conf; do (echo evil >> /etc/$f) 2>/dev/null || echo read-only; done\n"
        "RUN mount -o remount,rw /etc/hosts 2>/dev/null || echo refused; rm -f /etc/hosts 2>/dev/null || echo refused\n"
        "RUN cat /etc/hosts; echo ---; cat /etc/resolv.conf; hostname\n",
        "v",
    )
    said, shown = printed(lines)[:4], printed(lines)[4:]
    assert said == ["read-only", "read-only", "refused", "refused"]
    assert shown[: shown.index("---")] == [*hosts.rstrip().splitlines(), "127.0.0.1\tbuildkitsandbox"]
    assert shown[shown.index("---") + 1 :] == [*resolver.splitlines(), "buildkitsandbox"]
    assert (Path("/etc/hosts").read_text(), Path("/etc/resolv.conf").read_text()) == (hosts, resolver)


async def test_networks(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without slirp4netns: the node's by default; none; the machine's only where that was allowed."""
    await lab.kill()
    own = Path(f"/proc/{os.getpid()}/ns/net")
    monkeypatch.setenv("KUBELAB_HOST_NETNS", str(own))
    monkeypatch.setenv("PATH", programs_without("slirp4netns", tmp_path))
    await lab.start()
    look = "readlink /proc/self/ns/net"
    node = f"net:[{Path(f'/run/netns/{lab.namespace}').stat().st_ino}]"
    machine = str(own.readlink())
    dockerfile = f"FROM host\nRUN {look}\nRUN --network=none {look}\nRUN --network=default {look}\n"
    default, none, again = printed(await lab.build(dockerfile, "v"))
    assert (default, again) == (node, node)
    assert none not in (node, machine)
    with pytest.raises(grpc.aio.AioRpcError, match=r"network\.host is not allowed"):
        await lab.build(f"FROM host\nRUN --network=host {look}\n", "v")
    assert printed(await lab.build(f"FROM host\nRUN --network=host {look}\n", "v", allow=["network.host"])) == [machine]
    assert printed(await lab.build(f"FROM host\nRUN {look}\n", "v", network="host", no_cache=True)) == [machine]
    (alone,) = printed(await lab.build(f"FROM host\nRUN {look}\n", "v", network="none"))
    assert alone not in (node, machine)
    assert [line for line in await failing(lab, "default") if "kubelab image build --network host" in line]
    assert not [line for line in await failing(lab, "host") if "[Note]" in line]


def programs_without(name: str, folder: Path) -> str:
    """A PATH with every program of this machine's but one."""
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).glob("*"):
            link = folder / program.name
            if program.name != name and not link.is_symlink():
                link.symlink_to(program)
    return str(folder)


WEB_SERVER = """\
import http.server, sys
server = http.server.HTTPServer((sys.argv[1], 8000), http.server.SimpleHTTPRequestHandler)
print("ready", flush=True)
server.serve_forever()
"""
ASK = """\
import sys, urllib.request as r
print(r.build_opener(r.ProxyHandler({})).open(f"http://{sys.argv[1]}:8000/", timeout=5).status)
"""


@pytest.fixture
def outside() -> Iterator[str]:
    """A machine's network in the place of the real one: 192.0.2.7, with a web server there and one on its loopback."""
    name = f"kl-outside-{os.getpid()}"
    ip("netns", "add", name)
    servers: list[subprocess.Popen[bytes]] = []
    try:
        for words in ("link set lo up", "link add out type bridge", "addr add 192.0.2.7/24 dev out", "link set out up"):
            ip("-n", name, *words.split())
        for address in ("192.0.2.7", "127.0.0.1"):
            command = ["ip", "netns", "exec", name, "python3", "-c", WEB_SERVER, address]
            server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            servers.append(server)
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
        yield f"/run/netns/{name}"
    finally:
        for server in servers:
            server.kill()
            server.communicate()
        ip("netns", "del", name)


@pytest.mark.skipif(not shutil.which("slirp4netns"), reason="slirp4netns is not installed")
async def test_a_step_has_a_way_out_but_not_into_the_machine(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, outside: str
) -> None:
    """It reaches what the machine reaches, not what listens on the machine's loopback; nothing of it is left."""
    await lab.kill()
    monkeypatch.setenv("KUBELAB_HOST_NETNS", outside)
    await lab.start()
    dockerfile = """\
FROM host
COPY ask.py /
RUN cat /etc/resolv.conf; python3 /ask.py 192.0.2.7
RUN python3 /ask.py 10.0.2.2 2>/dev/null || echo refused
RUN --network=none python3 /ask.py 192.0.2.7 2>/dev/null || echo alone
"""
    assert printed(await lab.build(dockerfile, "v", files={"ask.py": ASK.encode()})) == [
        "nameserver 10.0.2.3",
        "200",
        "refused",
        "alone",
    ]
    assert not [line for line in await failing(lab, "default") if "[Note]" in line]
    left = subprocess.run(["pgrep", "-f", f"net={outside}"], capture_output=True, text=True, check=False)
    assert left.stdout == ""
    assert not {"slirp4netns", "cat"} & set(lab.processes().values())


async def failing(lab: Lab, network: str) -> list[str]:
    """What a build printed before its step failed."""
    seen: list[str] = []

    async def build() -> None:
        async for line in lab.building("FROM host\nRUN exit 3\n", "v", network=network):
            seen.append(line)  # noqa: PERF401 — those before the failure count

    with pytest.raises(grpc.aio.AioRpcError, match="exit code: 3"):
        await build()
    return seen


async def test_no_process_of_a_step_is_there_in_the_next_one(lab: Lab) -> None:
    """A step leaves one behind that changes folders for links as quickly as it can; the next one copies into them.

    Whichever of the two it leaves, a folder or a link to the image's own /etc, the file is found by way of it.
    """
    swap = "while :; do rm -rf /d; mkdir /d; rm -rf /d; ln -s /etc /d; done"
    dockerfile = f"""\
FROM host
RUN mkdir /d; (setsid nohup sh -c '{swap}' >/dev/null 2>&1 &); sleep 0.3
COPY file /d/kubelab-canary
RUN test -e /d/kubelab-canary
"""
    before = set(Path("/etc").iterdir())
    await lab.build(dockerfile, "v", files={"file": b"x"})
    assert set(Path("/etc").iterdir()) == before
    assert not {"sh", "sleep", "kl-monitor"} & set(lab.processes().values())


async def test_what_the_image_says(lab: Lab) -> None:
    await lab.build(
        """\
FROM host AS base
MAINTAINER me <me@example.com>
VOLUME ["/data", "/more"]
EXPOSE 80 8000-8001/udp
STOPSIGNAL SIGINT
HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f http://localhost/ || exit 1
LABEL a=1 b="two words" "c.d"=e
ENV OLD old form
ENTRYPOINT exec sleep 1
ONBUILD RUN echo "triggered in $PWD"
""",
        "base:1",
    )
    lines = await lab.build('FROM base:1\nWORKDIR /app\nCMD ["x"]\n', "child:1")
    assert lines[2:4] == ["# Executing 1 build trigger", "triggered in /"]
    config = lab.image_config(await lab.image_id("child:1"))
    process = config["config"]
    assert config["author"] == "me <me@example.com>"
    assert process["Volumes"] == {"/data": {}, "/more": {}}
    assert set(process["ExposedPorts"]) == {"80/tcp", "8000/udp", "8001/udp"}
    assert process["StopSignal"] == "SIGINT"
    assert process["Healthcheck"] == {
        "Test": ["CMD-SHELL", "curl -f http://localhost/ || exit 1"],
        "Interval": 90 * 10**9,
        "Retries": 3,
    }
    assert {key: process["Labels"][key] for key in ("a", "b", "c.d")} == {"a": "1", "b": "two words", "c.d": "e"}
    assert "OLD=old form" in process["Env"]
    assert process["Entrypoint"] == ["/bin/sh", "-c", "exec sleep 1"]
    assert (process["Cmd"], process["WorkingDir"], process.get("OnBuild")) == (["x"], "/app", None)


async def test_locked_cache_mounts_are_used_one_after_the_other(lab: Lab) -> None:
    """Each step appends twice; what one appends is never between what the other does."""
    step = "RUN --mount=type=cache,target=/c,sharing=locked echo {0} >> /c/log; sleep 0.5; echo {0} >> /c/log\n"
    await asyncio.gather(
        *(lab.build(f"FROM host\nLABEL n={n}\nENV N={n}\n{step.format(n)}", f"v{n}") for n in range(2))
    )
    lines = await lab.build("FROM host\nRUN --mount=type=cache,target=/c cat /c/log\n", "v")
    found = [line for line in lines if line in ("0", "1")]
    assert found in (["0", "0", "1", "1"], ["1", "1", "0", "0"])
