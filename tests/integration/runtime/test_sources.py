"""A pod that forges the source of its packets: none of them arrives."""

from __future__ import annotations

import asyncio
import subprocess

import pytest

from tests.integration.runtime.lab import Lab, ip

pytestmark = pytest.mark.root

PORT = 9053
RECEIVE = f"""
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", {PORT}))
print("bound", flush=True)
while True:
    data, sender = s.recvfrom(100)
    print(sender[0].removeprefix("::ffff:").partition("%")[0], data.decode(), flush=True)
    if data == b"last":
        break
"""
SEND = f"""
import socket, struct, sys, time
to, own, *forged = sys.argv[1:]
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
def send(source, data):
    udp = struct.pack("!HHHH", 5000, {PORT}, 8 + len(data), 0) + data
    head = struct.pack("!BBHHHBBH4s4s", 69, 0, 20 + len(udp), 1, 0, 64, 17, 0, *map(socket.inet_aton, (source, to)))
    raw.sendto(head + udp, (to, 0))
for address in forged:
    send(address, b"forged")
six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
while True:
    try:
        six.sendto(b"six", ("ff02::1%eth0", {PORT}))
        break
    except OSError as err:
        assert err.errno == 99, err  # the link-local address is still being looked for on the link
        time.sleep(0.05)
send(own, b"last")
"""


async def _listen(command: list[str]) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"bound\n"
    return process


async def _heard(process: asyncio.subprocess.Process) -> list[str]:
    async with asyncio.timeout(20):
        out, _ = await process.communicate()
    return out.decode().splitlines()


@pytest.mark.parametrize("flushed", [False, True], ids=["fresh", "restarted"])
async def test_only_a_pods_own_address_is_heard_by_a_pod_and_by_the_node(lab: Lab, flushed: bool) -> None:
    node = "192.0.2.7"
    ip("-n", lab.namespace, "link", "add", "outside", "type", "bridge")
    ip("-n", lab.namespace, "address", "add", f"{node}/24", "dev", "outside")
    ip("-n", lab.namespace, "link", "set", "outside", "up")
    ip("-n", lab.namespace, "route", "add", "default", "dev", "outside")
    inside = ["nsenter", f"--net=/run/netns/{lab.namespace}"]
    if flushed:
        await lab.kill()
        subprocess.run([*inside, "nft", "flush", "ruleset"], check=True)
        await lab.start()
    server, other, evil = [await lab.sandbox(name) for name in ("server", "other", "evil")]
    heard_of, victim, own = [(await lab.sandbox_status(one)).status.network.ip for one in (server, other, evil)]
    forged = [victim, heard_of, node, "10.244.9.200", "10.96.0.1", "198.51.100.1", "127.0.0.1"]
    pod = lab.sandbox_pid(server)
    for place, to in ((["nsenter", f"--net=/proc/{pod}/ns/net"], heard_of), (inside, node)):
        listener = await _listen([*place, "/usr/bin/python3", "-c", RECEIVE])
        name = f"send-{to.replace('.', '-')}"
        await lab.output(evil, name, f"exec /usr/bin/python3 - {to} {own} {' '.join(forged)} <<'END'\n{SEND}\nEND")
        assert await _heard(listener) == [f"{own} last"]
