"""Images: built, loaded, pulled, listed, removed; and containers that run on them."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import grpc
import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime.oci import platforms
from tests.integration.runtime import programs
from tests.integration.runtime.lab import SECONDS, Lab, tar_of, until

pytestmark = pytest.mark.root


def sha(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def config_of(*layers: bytes) -> bytes:
    """An image with these layers; the lowest has programs, as of any other image."""
    config = {"Cmd": ["cat", "/greeting"]}
    return json.dumps({"config": config, "rootfs": {"diff_ids": [sha(layer) for layer in layers]}}).encode()


def docker_save(name: str, *above: bytes) -> bytes:
    layers = (programs.layer(), *above)
    config = config_of(*layers)
    file = sha(config).removeprefix("sha256:") + ".json"
    paths = [f"{n}/layer.tar" for n in range(len(layers))]
    manifest = json.dumps([{"Config": file, "RepoTags": [name], "Layers": paths}]).encode()
    return tar_of({**dict(zip(paths, layers, strict=True)), file: config, "manifest.json": manifest})


PART = bytes(memoryview(docker_save("a:1", tar_of({"f": b"x"})))[: 1 << 20])


async def status(lab: Lab, name: str) -> cri.Image | None:
    request = cri.ImageStatusRequest(image=cri.ImageSpec(image=name))
    answer = await lab.images.ImageStatus(request, timeout=SECONDS)
    return answer.image if answer.HasField("image") else None


async def remove(lab: Lab, name: str) -> None:
    await lab.images.RemoveImage(cri.RemoveImageRequest(image=cri.ImageSpec(image=name)), timeout=SECONDS)


async def pull(lab: Lab, name: str) -> str:
    request = cri.PullImageRequest(image=cri.ImageSpec(image=name))
    return (await lab.images.PullImage(request, timeout=SECONDS)).image_ref


async def test_an_archive_of_docker_save_twice(lab: Lab) -> None:
    archive = docker_save("me/hello:1", tar_of({"greeting": b"old"}), tar_of({"greeting": b"hello\n", "etc/more": b""}))
    for _ in range(2):
        assert await lab.load(archive) == ["me/hello:1"]
    image = await status(lab, "me/hello:1")
    assert image is not None
    assert list(image.repo_tags) == ["docker.io/me/hello:1"]
    container = await lab.run(await lab.sandbox("web"), "app", [], "me/hello:1")
    assert [line.split(" ", 3)[3] for line in lab.lines((await lab.ended(container)).log_path)] == ["hello"]
    for _ in range(2):
        await remove(lab, "me/hello:1")
        assert await status(lab, "me/hello:1") is None


@pytest.mark.parametrize("archive", [b"", b"nonsense", PART])
async def test_an_archive_that_is_not_whole_is_refused(lab: Lab, archive: bytes) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await lab.load(archive)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await status(lab, "a:1") is None


async def test_a_layer_hides_files_of_the_one_below(lab: Lab) -> None:
    below = tar_of({"data/gone": b"1", "data/kept": b"2", "old/a": b"3", "greeting": b""})
    above = tar_of({"data/.wh.gone": b"", "old/.wh..wh..opq": b"", "old/b": b"4"})
    await lab.load(docker_save("layers:1", below, above))
    text = await lab.output(await lab.sandbox("web"), "app", "ls /data /old", "layers:1")
    assert text == "/data:\nkept\n\n/old:\nb\n"


async def test_an_image_may_have_many_layers(lab: Lab) -> None:
    """Docker's limit is 127."""
    await lab.load(docker_save("deep:1", *(tar_of({f"f{n}": b""}) for n in range(126))))
    assert await lab.output(await lab.sandbox("web"), "app", "ls / | grep -c ^f", "deep:1") == "126\n"
    assert "126" in await lab.build("FROM deep:1\nRUN ls / | grep -c ^f\n", "deeper:1")


async def test_a_dockerfile_from_first_to_last_instruction(lab: Lab) -> None:
    dockerfile = """
        ARG BASE=python:3.7
        FROM $BASE
        LABEL author="me and you"
        ARG GREETING=hello
        ENV TEXT="$GREETING world" MODE=test
        WORKDIR /app
        COPY main.py .
        ADD static/ /static
        RUN echo "built $MODE" \\
            > built
        EXPOSE 8080
        CMD ["main.py"]
        ENTRYPOINT ["/usr/bin/python3"]
    """
    main = b"import os; print(os.environ['TEXT'], os.getcwd(), open('built').read().strip(), os.listdir('/static'))\n"
    files = {"main.py": main, "static/a.css": b"a"}
    lines = await lab.build(dockerfile, "made:1", files=files, bases={"python:3.7": "host"})
    assert "Step 1/12 : ARG BASE=python:3.7" in lines
    container = await lab.run(await lab.sandbox("web"), "app", [], "made:1")
    log = lab.lines((await lab.ended(container)).log_path)
    assert [line.split(" ", 3)[3] for line in log] == ["hello world /app built test ['a.css']"]
    again = await lab.build(dockerfile, "made:2", files=files, bases={"python:3.7": "host"})
    assert again.count(" ---> Using cache") == 5  # the base as completed for python, and four steps
    first, second = await status(lab, "made:1"), await status(lab, "made:2")
    assert first == second is not None
    changed = await lab.build(dockerfile, "made:3", files={**files, "main.py": b"#"}, bases={"python:3.7": "host"})
    assert changed.count(" ---> Using cache") == 2  # WORKDIR comes before main.py


@pytest.mark.parametrize(
    ("dockerfile", "told"),
    [
        ("FROM nowhere", "Dockerfile:1: FROM nowhere: the image nowhere is not here, and pulling it failed: "),
        ("FROM host\nCOPY missing /", 'Dockerfile:2: COPY missing /: "/missing": not found'),
        ("FROM host\nCOPY ../x /", 'Dockerfile:2: COPY ../x /: "/x": not found'),
        (
            "FROM host\nRUN exit 3",
            'Dockerfile:2: RUN exit 3: process "/bin/sh -c exit 3" did not complete successfully: exit code: 3',
        ),
    ],
)
async def test_a_build_that_fails_says_where_and_leaves_no_image(lab: Lab, dockerfile: str, told: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await lab.build(dockerfile, "bad:1")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (caught.value.details() or "").startswith(told)
    assert await status(lab, "bad:1") is None
    assert "kl-monitor" not in lab.processes().values()


async def test_what_a_command_prints_is_seen_while_it_runs(lab: Lab) -> None:
    """It waits for a file that is made only when its first line was read."""
    wait = "while ! test -e /go; do sleep 0.02; done"
    building = lab.building(f"FROM host\nRUN echo one; {wait}; echo two\n", "slow")
    seen: list[str] = []
    async for line in building:
        seen.append(line)
        if line == "one":
            (started,) = lab.store.glob("tmp/*/started.json")
            Path(f"/proc/{json.loads(started.read_text())['pid']}/root/go").touch()
    assert seen[3:5] == ["one", "two"]


async def test_the_last_words_of_a_build_that_fails(lab: Lab) -> None:
    seen: list[str] = []

    async def build() -> None:
        async for line in lab.building('FROM host\nRUN echo "boom: the reason"; exit 1\n', "bad:1"):
            seen.append(line)  # noqa: PERF401 — those before the error count

    with pytest.raises(grpc.aio.AioRpcError, match="did not complete successfully: exit code: 1"):
        await build()
    assert seen[2:] == ['Step 2/2 : RUN echo "boom: the reason"; exit 1', "boom: the reason"]


@pytest.mark.parametrize(
    ("dockerfile", "given", "expected"),
    [
        ("ARG V=1.2\nFROM host\nARG V", {}, "1.2"),
        ("ARG V=1.2\nFROM host", {}, "unset"),
        ("ARG V=1.2\nFROM host\nARG V", {"V": "3"}, "3"),
        ("ARG V=1.2\nFROM host\nARG V=4", {}, "4"),
        ("FROM host\nARG V", {}, "unset"),
        ('FROM host\nENV A="x y"\nENV V=$A', {}, "x y"),
        ("FROM host\nENV V='$HOME x'", {}, "$HOME x"),
    ],
)
async def test_arguments_and_variables(lab: Lab, dockerfile: str, given: dict[str, str], expected: str) -> None:
    lines = await lab.build(f'{dockerfile}\nRUN echo "[${{V-unset}}]"\n', "v", build_args=given)
    assert f"[{expected}]" in lines


async def test_add_extracts_an_archive_of_the_context(lab: Lab) -> None:
    files = {"t.tgz": gzip.compress(tar_of({"a/file": b"inside"})), "plain": b"p"}
    lines = await lab.build("FROM host\nADD t.tgz plain /x/\nRUN cat /x/a/file; echo; ls /x\n", "v", files=files)
    assert lines[5:8] == ["inside", "a", "plain"]
    lines = await lab.build("FROM host\nCOPY t.tgz /x/\nRUN ls /x\n", "v", files=files)
    assert "t.tgz" in lines


async def test_a_build_that_nobody_waits_for_ends_its_command(lab: Lab) -> None:
    building = asyncio.ensure_future(lab.build("FROM host\nRUN touch /begun && sleep 1000\n", "late"))
    await until(lambda: list(lab.store.glob("tmp/*/upper/root/begun")))
    building.cancel()
    await asyncio.gather(building, return_exceptions=True)
    await until(lambda: not {"kl-monitor", "sleep"} & set(lab.processes().values()))
    await until(lambda: not list((lab.state / "crun").iterdir()) and not list(lab.store.glob("tmp/*")))


async def test_a_containers_files_stay_when_its_image_is_removed(lab: Lab) -> None:
    await lab.build("FROM host\nRUN mkdir /data && echo here > /data/file\n", "gone:1")
    sandbox = await lab.sandbox("web")
    running = await lab.run(sandbox, "running", ["sleep", "infinity"], "gone:1")
    created = await lab.create(sandbox, "created", ["cat", "/data/file"], "gone:1")
    await remove(lab, "gone:1")
    assert (await lab.execute(running, "cat", "/data/file")).stdout == b"here\n"
    await lab.start_container(created)
    assert (await lab.ended(created)).exit_code == 0


async def test_where_images_lie(lab: Lab) -> None:
    answer = await lab.images.ImageFsInfo(cri.ImageFsInfoRequest(), timeout=SECONDS)
    (info,) = answer.image_filesystems
    assert info.fs_id.mountpoint.startswith(str(lab.store))
    listed = (await lab.images.ListImages(cri.ListImagesRequest(), timeout=SECONDS)).images
    assert [list(image.repo_tags) for image in listed] == [["docker.io/library/app:latest"]]


class Registry(BaseHTTPRequestHandler):
    """A registry with one image, that wants a token."""

    answers: dict[str, bytes]

    def do_GET(self) -> None:
        if self.path.startswith("/token"):
            self._send(200, b'{"token": "good"}')
        elif self.headers.get("Authorization") != "Bearer good":
            port = cast(ThreadingHTTPServer, self.server).server_port
            challenge = f'Bearer realm="http://localhost:{port}/token",service="test",scope="repository:me/app:pull"'
            self._send(401, b"", ("WWW-Authenticate", challenge))
        elif content := self.answers.get(self.path):
            self._send(200, content)
        else:
            self._send(404, b"{}")

    def _send(self, code: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(code)
        for key, value in (("Content-Length", str(len(body))), *headers):
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep tests quiet."""


@pytest.fixture
def answers() -> dict[str, bytes]:
    """What the registry has, by path: two layers, one gzipped, and an index of two platforms."""
    layer = tar_of({"greeting": b"pulled\n"})
    base, packed, config = programs.layer(), gzip.compress(layer), config_of(programs.layer(), layer)
    blobs = [{"digest": sha(blob), "size": len(blob)} for blob in (base, packed)]
    manifest = json.dumps({"config": {"digest": sha(config)}, "layers": blobs}).encode()
    machine = platforms.machine().architecture
    others = {"digest": "sha256:" + "0" * 64, "platform": {"os": "windows", "architecture": machine}}
    own = {"digest": sha(manifest), "platform": {"os": "linux", "architecture": machine}}
    repository = "/v2/me/app"
    return {
        f"{repository}/manifests/1": json.dumps({"manifests": [others, own]}).encode(),
        f"{repository}/manifests/{sha(manifest)}": manifest,
        **{f"{repository}/blobs/{sha(blob)}": blob for blob in (config, base, packed)},
    }


@pytest.fixture
def registry(lab: Lab, answers: dict[str, bytes]) -> Iterator[str]:
    """A registry on the node's own loopback: its socket is made in the node's network namespace."""
    handler = type("Handler", (Registry,), {"answers": answers})
    made: list[ThreadingHTTPServer] = []

    def make() -> None:
        lab.enter_network()  # for this thread alone
        made.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))

    maker = threading.Thread(target=make)
    maker.start()
    maker.join()
    (server,) = made
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"localhost:{server.server_address[1]}"
    server.shutdown()
    serving.join()
    server.server_close()


async def test_a_registry_that_wants_a_token(lab: Lab, registry: str) -> None:
    reference = await pull(lab, f"{registry}/me/app:1")
    assert await pull(lab, f"{registry}/me/app:1") == reference
    image = await status(lab, f"{registry}/me/app:1")
    assert image is not None
    assert image.id == reference
    container = await lab.run(await lab.sandbox("web"), "app", [], f"{registry}/me/app:1")
    assert [line.split(" ", 3)[3] for line in lab.lines((await lab.ended(container)).log_path)] == ["pulled"]


async def test_a_build_pulls_the_image_that_it_is_based_on(lab: Lab, registry: str) -> None:
    lines = await lab.build(f"FROM {registry}/me/app:1\nRUN cat /greeting\n", "built:1")
    assert lines[1] == f"Pulling {registry}/me/app:1"
    assert "pulled" in lines
    with pytest.raises(grpc.aio.AioRpcError, match="me/app:2: not found"):
        await lab.build(f"FROM {registry}/me/app:2\n", "built:2")


async def test_what_a_registry_does_not_have(lab: Lab, registry: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pull(lab, f"{registry}/me/app:2")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert (caught.value.details() or "").endswith(f"{registry}/me/app:2: not found")


async def test_a_changed_byte_on_the_way_is_refused(lab: Lab, registry: str, answers: dict[str, bytes]) -> None:
    for path, content in answers.items():
        if "/blobs/" in path:
            answers[path] = content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(grpc.aio.AioRpcError, match=r"expected sha256:\w+, got sha256:"):
        await pull(lab, f"{registry}/me/app:1")
    assert await status(lab, f"{registry}/me/app:1") is None


async def test_a_registry_that_does_not_answer(lab: Lab) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="connect: connection refused") as caught:
        await pull(lab, "localhost:1/me/app:1")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_containers_are_made_while_registries_do_not_answer(lab: Lab) -> None:
    made: list[socket.socket] = []

    def listen() -> None:
        lab.enter_network()  # for this thread alone
        made.append(socket.create_server(("127.0.0.1", 0)))

    maker = threading.Thread(target=listen)
    maker.start()
    maker.join()
    with made[0] as silent:
        address = f"localhost:{silent.getsockname()[1]}"
        pulls = [asyncio.ensure_future(pull(lab, f"{address}/me/app:{n}")) for n in range(12)]
        connected = [await asyncio.to_thread(silent.accept) for _ in pulls]
        container = await lab.run(await lab.sandbox("web"), "app", ["true"])
        assert (await lab.ended(container)).exit_code == 0
        for link, _ in connected:
            link.close()
        await asyncio.gather(*pulls, return_exceptions=True)
