"""A docker that lives in memory: it answers the commands that kubelab types, as Docker 20.10 does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from kubelab.apimachinery import errors
from kubelab.cluster.docker import Docker
from kubelab.cluster.driver import CommandOutput

PROJECT, NETWORK = "lab", "192.168.49"
IMAGE = "sha256:" + "e" * 64


def document(service: str, number: int, **more: Any) -> dict[str, Any]:
    """What ``docker inspect`` says of a running container; ``state``, ``mode``, ``ports`` and so on differ."""
    id = f"{number:064x}"
    state = {"Status": "running", "Paused": False, "Pid": 1000 + number, "ExitCode": 0, "Error": ""}
    state |= {"StartedAt": "2026-01-01T00:00:00.123456789Z", "Health": {"Status": "healthy"}} | more.pop("state", {})
    address = f"{NETWORK}.{number}"
    mode = more.pop("mode", "lab_cluster")
    ports = {port: [{"HostIp": "127.0.0.1", "HostPort": str(at)}] for port, at in more.pop("ports", {}).items()}
    networks = (
        {}
        if mode.startswith("container:")
        else {"lab_cluster": {"IPAddress": address, "MacAddress": "02:42:ac:11:00:02"}}
    )
    labels = {
        "com.docker.compose.project": PROJECT,
        "com.docker.compose.service": service,
        "com.docker.compose.project.working_dir": "/src",
        "com.docker.compose.project.config_files": "docker-compose.yml",
        "com.docker.compose.version": more.pop("compose", "1.29.2"),
    }
    return {
        "Id": id,
        "Name": f"/{PROJECT}_{service}_1",
        "Image": IMAGE,
        "RestartCount": more.pop("restarts", 0),
        "State": state,
        "Config": {"Labels": labels, "Healthcheck": {"Test": more.pop("test", ["CMD", "healthy"])}},
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {"Networks": networks, "Ports": ports},
        "Mounts": more.pop("mounts", []),
    }


def small_cluster() -> list[dict[str, Any]]:
    """etcd, an api-server, one node with its kubelet, and pki that is done."""
    volume = [{"Type": "volume", "Name": "lab_node-2", "Destination": "/var/lib/kubelab"}]
    machine = document("node-2", 12, ports={"29100/tcp": 40000, "29101/tcp": 40001}, mounts=volume, test=[])
    return [
        document("kubelet-2", 13, mode=f"container:{machine['Id']}"),
        machine,
        document("api-server", 21, ports={"6443/tcp": 6443}),
        document("etcd", 11),
        document("pki", 1, state={"Status": "exited", "Pid": 0, "Health": None}),
    ]


class FakeDocker(Docker):
    """Knows containers by their documents, and remembers what it was asked.

    ``fails`` are commands that do not work, ``closed`` containers whose namespace no helper gets into. ``rules`` is
    what helpers have left in each.
    """

    def __init__(self, documents: list[dict[str, Any]] | None = None) -> None:
        super().__init__()
        self.documents = small_cluster() if documents is None else documents
        self.asked: list[tuple[str, ...]] = []
        self.stdin: list[bytes] = []
        self.version: dict[str, Any] | None = {"Version": "20.10.24+dfsg1", "Arch": "amd64"}
        self.well = True  # what a health check gives that we ask for ourselves
        self.fails: dict[str, str] = {}
        self.closed: dict[str, errors.ApiError] = {}
        self.rules: dict[str, str] = {}
        self.images = {IMAGE: {"Id": IMAGE, "Architecture": "amd64", "RepoTags": ["kubelab/node:latest"]}}
        self.events: asyncio.Queue[bytes] = asyncio.Queue()

    def of(self, service: str) -> dict[str, Any]:
        return next(d for d in self.documents if d["Name"] == f"/{PROJECT}_{service}_1")

    def put(self, service: str, **state: Any) -> None:
        """Change a container's state, and tell of it."""
        self.of(service)["State"] |= state
        self.events.put_nowait(b"changed\n")

    def verbs(self) -> list[str]:
        """What was done, without what only looks."""
        return [" ".join(words[:1]) for words in self.asked if words[0] not in ("ps", "inspect", "version", "exec")]

    async def run(self, *arguments: str, stdin: bytes = b"", timeout: float = 30.0) -> CommandOutput:
        self.asked.append(arguments)
        self.stdin.append(stdin)
        verb, last = arguments[0], arguments[-1]
        if verb in self.fails:
            return CommandOutput(1, b"", self.fails[verb].encode())
        match verb:
            case "version":
                if self.version is None:
                    return CommandOutput(1, b"", b"Cannot connect to the Docker daemon at unix:///x. Is it running?")
                return CommandOutput(0, json.dumps(self.version).encode(), b"")
            case "ps":
                return CommandOutput(0, "\n".join(str(d["Id"]) for d in self.documents).encode(), b"")
            case "inspect":
                known = {d["Id"]: d for d in self.documents} | self.images
                found = [known[id] for id in arguments[3:] if id in known]
                return CommandOutput(
                    int(len(found) < len(arguments) - 3), json.dumps(found).encode(), b"No such object"
                )
            case "exec":
                return CommandOutput(0 if self.well else 1, b"", b"")
            case "stop" | "start" | "pause" | "unpause":
                for told in (d for d in self.documents if d["Id"] in arguments):
                    self._become(told, verb)
            case "run" if "--network" in arguments and last == "-":
                place = arguments[arguments.index("--network") + 1].removeprefix("container:")
                if place in self.closed:
                    raise self.closed[place]
                self.rules[place] = stdin.decode()
            case "run" if last.startswith("kill -9 "):
                for told in (d for d in self.documents if last == f"kill -9 {d['State']['Pid']}"):
                    told["State"] |= {"Pid": told["State"]["Pid"] + 5000, "Status": "running", "Paused": False}
                    told["RestartCount"] += 1
                self.events.put_nowait(b"start\n")
            case _:
                pass
        return CommandOutput(0, b"", b"")

    def _become(self, told: dict[str, Any], verb: str) -> None:
        told["State"] |= {
            "stop": {"Status": "exited", "Pid": 0, "ExitCode": 0, "Paused": False},
            "start": {"Status": "running", "Pid": 7000, "Error": ""},
            "pause": {"Status": "paused", "Paused": True},
            "unpause": {"Status": "running", "Paused": False},
        }[verb]
        self.events.put_nowait(verb.encode())

    async def chunks(self, *arguments: str) -> AsyncGenerator[bytes]:
        self.asked.append(arguments)
        if arguments[0] == "logs":
            yield b"one\n"
            return
        while True:
            yield await self.events.get()
