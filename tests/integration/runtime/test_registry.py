"""Pulls from a registry on the loopback: what is taken, what is refused in containerd's words; nothing stays of it."""

from __future__ import annotations

import gzip
import os
import socket
import ssl
import threading
import urllib.error
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import pytest
import zstandard

from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.references import parse
from kubelab.runtime.images import registryerrors
from kubelab.runtime.images.registry import PullError, Registry
from kubelab.runtime.images.store import Image, Store
from kubelab.runtime.oci.limits import Limits
from tests.support import archives as writers
from tests.support.archives import HERE, OCI, OTHER, sha

LAYER = writers.tar({"greeting": b"pulled\n"})
LOGIN = ("me", "secret")


@dataclass
class Answer:
    body: bytes = b""
    code: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = cast(Server, self.server)
        path = self.path.partition("?")[0]
        authorization = self.headers.get("Authorization", "")
        server.asked.append((path, authorization))
        if server.token and path != "/token" and authorization != f"Bearer {server.token}":
            answer = Answer(code=401, headers={"WWW-Authenticate": server.challenge})
        else:
            answer = server.answers.get(path) or Answer(b'{"errors": [{"code": "UNKNOWN", "message": "none"}]}', 404)
        self.send_response(answer.code)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep tests quiet."""


class Server(ThreadingHTTPServer):
    """A registry with one repository, ``me/app``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str]] = []
        self.token = ""
        self.challenge = f'Bearer realm="http://127.0.0.1:{self.server_port}/token",service="s",scope="x"'

    @property
    def name(self) -> str:
        return f"localhost:{self.server_port}/me/app"

    def offer(self, tag: str, *contents: bytes) -> bytes:
        """Have a manifest under a tag, and contents, the manifest among them, under their digests."""
        for content in contents:
            for kind in ("manifests", "blobs"):
                self.answers[f"/v2/me/app/{kind}/{sha(content)}"] = Answer(content)
        self.answers[f"/v2/me/app/manifests/{tag}"] = Answer(contents[0])
        return contents[0]

    def offer_image(self, tag: str = "1") -> bytes:
        packed = gzip.compress(LAYER)
        described = writers.config(LAYER)
        manifest = writers.manifest_of(described, [(packed, f"{OCI}.layer.v1.tar+gzip")])
        return self.offer(tag, manifest, described, packed)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        serving = threading.Thread(target=made.serve_forever, args=(0.02,))
        serving.start()
        yield made
        made.shutdown()
        serving.join()


@pytest.fixture
def other() -> Iterator[Server]:
    with Server() as made:
        serving = threading.Thread(target=made.serve_forever, args=(0.02,))
        serving.start()
        yield made
        made.shutdown()
        serving.join()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def pull(store: Store, name: str, login: tuple[str, str] | None = None, limits: Limits | None = None) -> Image:
    return Registry(parse(name), SystemClock(), login, limits).pull(store)


def refused(store: Store, name: str, login: tuple[str, str] | None = None, limits: Limits | None = None) -> PullError:
    """The error of a pull, of which nothing stays."""
    with pytest.raises(PullError) as caught:
        pull(store, name, login, limits)
    left = [path for folder in ("blobs/sha256", "layers", "tmp") for path in (store.root / folder).iterdir()]
    assert (left, store.images()) == ([], [])
    assert str(caught.value).startswith('failed to pull and unpack image "')
    return caught.value


def test_an_index_in_an_index_and_a_layer_of_zstd(server: Server, store: Store) -> None:
    packed, described = zstandard.compress(LAYER), writers.config(LAYER)
    manifest = writers.manifest_of(described, [(packed, f"{OCI}.layer.v1.tar+zstd")])
    _, proven = writers.attestation(manifest)
    away = writers.entry(b"another platform's, which is not there", platform=OTHER)
    inner = writers.index(away, writers.entry(manifest, platform=HERE), proven)
    server.offer("1", writers.index(writers.entry(inner)), inner, manifest, described, packed)
    image = pull(store, f"{server.name}:1")
    assert (store.layer(image.diff_ids[0]) / "greeting").read_bytes() == b"pulled\n"


def test_an_image_is_found_by_the_digest_that_its_registry_has_for_it(server: Server, store: Store) -> None:
    digest = sha(server.offer_image())
    by_tag = pull(store, f"{server.name}:1")
    asked = len(server.asked)
    assert store.find(f"{server.name}@{digest}") == store.find(f"{server.name}:7@{digest}") == by_tag
    assert pull(store, f"{server.name}@{digest}").id == by_tag.id
    assert not [path for path, _ in server.asked[asked:] if path.endswith(sha(gzip.compress(LAYER)))], "it is here"
    store.remove(f"{server.name}:1")
    assert store.find(f"{server.name}@{digest}") is None, "the last tag takes the digest with it"
    assert pull(store, f"{server.name}@{digest}").names == (f"{server.name}@{digest}",)
    assert store.find(f"{server.name}:1") is None


def test_a_token_is_asked_for_with_the_password_and_the_password_goes_nowhere_else(
    server: Server, other: Server, store: Store
) -> None:
    server.offer_image()
    server.token = "good"
    server.answers["/token"] = Answer(b'{"token": "good"}')
    blob = next(path for path in server.answers if path.endswith(sha(gzip.compress(LAYER))) and "/blobs/" in path)
    other.answers["/elsewhere"] = server.answers[blob]
    server.answers[blob] = Answer(code=307, headers={"Location": f"http://127.0.0.1:{other.server_port}/elsewhere"})
    pull(store, f"{server.name}:1", LOGIN)
    assert ("/token", "Basic bWU6c2VjcmV0") in server.asked
    assert other.asked == [("/elsewhere", "")]


CHALLENGES = {
    "file": ('Bearer realm="file:///etc/hostname"', "the registry names no token server: 'file:///etc/hostname'"),
    "no host": ('Bearer realm="http:///token"', "the registry names no token server"),
    "none": ("Bearer", "the registry names no token server"),
    "long": (f'Bearer realm="http://localhost/{"x" * 5000}"', "the registry's challenge is too long"),
}


@pytest.mark.parametrize("kind", CHALLENGES)
def test_a_challenge_that_leads_astray_is_refused(server: Server, store: Store, kind: str) -> None:
    server.token, (server.challenge, told) = "good", CHALLENGES[kind]
    assert told in str(refused(store, f"{server.name}:1", LOGIN))


TOKENS = {
    "no JSON": (Answer(b"<html>"), "no token in the answer"),
    "a list": (Answer(b"[]"), "no token in the answer"),
    "another field": (Answer(b"{}"), "no token in the answer"),
    "a number": (Answer(b'{"token": 5}'), "no token in the answer"),
    "two lines": (Answer(b'{"token": "a\\r\\nHost: b"}'), "no token in the answer"),
    "deep": (Answer(b"[" * 100_000), "no token in the answer"),
    "large": (Answer(b" " * (1 << 20) + b"{}"), "rejecting token: larger than 1048576 bytes"),
    "denied": (Answer(b"{}", 401), "failed to fetch oauth token: pull access denied"),
}


@pytest.mark.parametrize("kind", TOKENS)
def test_a_token_server_that_gives_none(server: Server, store: Store, kind: str) -> None:
    server.token, (server.answers["/token"], told) = "good", TOKENS[kind]
    assert told in str(refused(store, f"{server.name}:1", LOGIN))


def test_a_password_is_not_sent_without_tls_for_a_registry_that_has_it() -> None:
    registry = Registry(parse("registry.example/app"), SystemClock(), LOGIN)
    with pytest.raises(PullError, match="wants the password to be sent without TLS"):
        registry._token('Bearer realm="http://127.0.0.1:1/token"')


RATE = b'{"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit.\\u001b[31m"}]}'
ANSWERS: dict[str, tuple[Answer, str, bool]] = {
    "nothing": (Answer(b"", 404), "failed to resolve reference \"{name}:1\": {name}:1: not found", True),
    "denied": (
        Answer(b"", 401),
        "pull access denied, repository does not exist or may require authorization: server message: unauthorized: "
        "authorization failed",
        True,
    ),
    "forbidden": (Answer(b"", 403), "unexpected status from GET request to {base}/manifests/1: 403 Forbidden", True),
    "too many": (
        Answer(RATE, 429),
        "429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit. [31m",
        False,
    ),
    "broken": (Answer(b"oops", 500), "unexpected status from GET request to {base}/manifests/1: 500 Internal", False),
    "to a file": (Answer(b"", 302, {"Location": "file:///etc/hostname"}), "Redirection to url", False),
    "to another protocol": (Answer(b"", 302, {"Location": "ftp://localhost/"}), "redirected to ftp, which is", False),
    "in circles": (Answer(b"", 302, {"Location": "/v2/me/app/manifests/1"}), "infinite loop", False),
    "no JSON": (Answer(b"<html>"), "not JSON", False),
    "no manifest": (Answer(b"{}"), "neither a manifest (config, layers) nor an index (manifests)", False),
    "large": (Answer(b" " * (5 << 20)), "rejecting manifest for {name}:1: larger than 4194304 bytes", False),
    "schema 1": (
        Answer(b"{}", headers={"Content-Type": "application/vnd.docker.distribution.manifest.v1+prettyjws"}),
        'media type "application/vnd.docker.distribution.manifest.v1+prettyjws" is no longer supported since '
        "containerd v2.0, please rebuild the image as",
        False,
    ),
    "schema 1, untold": (Answer(b'{"schemaVersion": 1}'), "is no longer supported since containerd v2.0", False),
    "other platforms": (
        Answer(writers.index(writers.entry(b"x", platform=OTHER))),
        f"no match for platform in manifest: this machine is linux/{HERE}, the image is for linux/{OTHER}: not found",
        True,
    ),
    "an image's index without the image": (
        Answer(writers.index(writers.entry(b"x", platform=HERE))),
        f"{sha(b'x')}: not found",
        True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_manifest_that_cannot_be_had_is_told_in_containerds_words(server: Server, store: Store, kind: str) -> None:
    server.answers["/v2/me/app/manifests/1"], told, missing = ANSWERS[kind]
    err = refused(store, f"{server.name}:1")
    assert told.format(name=server.name, base=f"http://{server.name.replace('/', '/v2/', 1)}") in str(err)
    assert err.missing is missing


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "changed": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "cut off": lambda content: content[:-1],
    "longer": lambda content: content + b"more",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("part", ["layer", "config", "manifest"])
def test_what_is_not_what_its_digest_says(server: Server, store: Store, part: str, change: str) -> None:
    manifest = server.offer_image()
    changed = {"layer": gzip.compress(LAYER), "config": writers.config(LAYER), "manifest": manifest}[part]
    for path, answer in server.answers.items():
        if path.endswith(sha(changed)):
            answer.body = CHANGES[change](answer.body)
    expected = "larger than the" if (part, change) == ("layer", "longer") else r"expected sha256:\w+, got sha256:"
    with pytest.raises(PullError, match=expected):
        pull(store, f"{server.name}@{sha(manifest)}")
    assert store.used_bytes() == 0


def test_a_pull_is_bounded(server: Server, store: Store) -> None:
    server.offer_image()
    assert "the image is too large" in str(refused(store, f"{server.name}:1", limits=Limits(bytes=20)))


def test_a_registry_that_is_not_there(store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    told = str(refused(store, f"127.0.0.1:{port}/x"))
    assert f'failed to do request: Get "http://127.0.0.1:{port}/v2/x/manifests/latest": ' in told
    assert told.endswith(f"dial tcp 127.0.0.1:{port}: connect: connection refused")
    assert "dial tcp [::1]:" in str(refused(store, f"[::1]:{port}/x"))


def certificate(code: int) -> ssl.SSLCertVerificationError:
    err = ssl.SSLCertVerificationError("certificate verify failed")
    err.verify_code = code
    return err


REASONS: list[tuple[BaseException, str]] = [
    (urllib.error.URLError(socket.gaierror(-2, "unknown")), "dial tcp: lookup r.example: no such host"),
    (TimeoutError("timed out"), "dial tcp r.example:443: i/o timeout"),
    (OSError(101, os.strerror(101)), "dial tcp r.example:443: connect: network is unreachable"),
    (ConnectionResetError(104, "x"), "read: connection reset by peer"),
    (certificate(18), "tls: failed to verify certificate: x509: certificate signed by unknown authority"),
    (certificate(10), "tls: failed to verify certificate: x509: certificate has expired or is not yet valid"),
    (certificate(62), "x509: certificate is not valid for any names, but wanted to match r.example"),
]


@pytest.mark.parametrize(("err", "told"), REASONS, ids=[told for _, told in REASONS])
def test_errors_of_the_network_in_gos_words(err: BaseException, told: str) -> None:
    assert registryerrors.reason(err, "https://r.example/v2/x").endswith(told)
