"""Image names, normalised as docker, containerd and Kubernetes do."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kubelab.apimachinery.references import BadReference, check_digest, is_reference, parse

DIGEST = "sha256:" + "a" * 64
SHA512 = "sha512:" + "0f" * 64
LONG = "a" * 255

NAMES = {  # text: the whole name, the familiar one
    "node": ("docker.io/library/node:latest", "node:latest"),
    "node:18": ("docker.io/library/node:18", "node:18"),
    "docker.io/node": ("docker.io/library/node:latest", "node:latest"),
    "index.docker.io/node": ("docker.io/library/node:latest", "node:latest"),
    "index.docker.io/me/node": ("docker.io/me/node:latest", "me/node:latest"),
    "library/node": ("docker.io/library/node:latest", "node:latest"),
    "library/a/b": ("docker.io/library/a/b:latest", "library/a/b:latest"),
    "kim0lil/80700:v-1.0.0": ("docker.io/kim0lil/80700:v-1.0.0", "kim0lil/80700:v-1.0.0"),
    "a_b/c__d/e---f/g.h": ("docker.io/a_b/c__d/e---f/g.h:latest", "a_b/c__d/e---f/g.h:latest"),
    "localhost": ("docker.io/library/localhost:latest", "localhost:latest"),
    "localhost/app": ("localhost/app:latest", "localhost/app:latest"),
    "localhost:5000/app:1": ("localhost:5000/app:1", "localhost:5000/app:1"),
    "host:5000": ("docker.io/library/host:5000", "host:5000"),
    "quay.io/a/b/c:x": ("quay.io/a/b/c:x", "quay.io/a/b/c:x"),
    "127.0.0.1/x": ("127.0.0.1/x:latest", "127.0.0.1/x:latest"),
    "[::1]/x": ("[::1]/x:latest", "[::1]/x:latest"),
    "[::1]:5000/x": ("[::1]:5000/x:latest", "[::1]:5000/x:latest"),
    "[fd00:1:2::3]:75050/x/y:z": ("[fd00:1:2::3]:75050/x/y:z", "[fd00:1:2::3]:75050/x/y:z"),
    "Uppercase/app": ("Uppercase/app:latest", "Uppercase/app:latest"),  # a host: no namespace is in upper case
    "EXAMPLE.com/app:V1": ("EXAMPLE.com/app:V1", "EXAMPLE.com/app:V1"),
    f"node@{DIGEST}": (f"docker.io/library/node@{DIGEST}", f"node@{DIGEST}"),
    f"node:1@{DIGEST}": (f"docker.io/library/node:1@{DIGEST}", f"node:1@{DIGEST}"),
    f"me/node@{SHA512}": (f"docker.io/me/node@{SHA512}", f"me/node@{SHA512}"),
    f"x.io/{LONG}": (f"x.io/{LONG}:latest", f"x.io/{LONG}:latest"),
    "a:_" + "x" * 127: ("docker.io/library/a:_" + "x" * 127, "a:_" + "x" * 127),
}


@pytest.mark.parametrize("text", NAMES, ids=lambda text: text[:40])
def test_names(text: str) -> None:
    reference = parse(text)
    assert (str(reference), reference.familiar) == NAMES[text]
    assert parse(str(reference)) == parse(reference.familiar) == reference


def test_a_digest_decides_where_there_is_a_tag_too() -> None:
    assert parse(f"node:1@{DIGEST}").decisive == f"docker.io/library/node@{DIGEST}"
    assert parse("node:1").decisive == "docker.io/library/node:1"


FORMAT = "invalid reference format"
REFUSED = {
    "": FORMAT,
    " ": FORMAT,
    "a b": FORMAT,
    "node:": FORMAT,
    "node\n": FORMAT,
    "node:1\n": FORMAT,
    "../x": FORMAT,
    "/x": FORMAT,
    "a//b": FORMAT,
    "a/": FORMAT,
    "a..b": FORMAT,
    "a___b": FORMAT,
    "-a": FORMAT,
    "a-": FORMAT,
    "a:b:c": FORMAT,
    "a:-b": FORMAT,
    "a:\u0661": FORMAT,  # an Arabic one
    "a:é": FORMAT,
    "é": FORMAT,
    "a:" + "x" * 129: FORMAT,
    "node:a/b:c": FORMAT,
    "[::1]": FORMAT,
    "[fe80::1%eth0]:5000/x": FORMAT,
    "[::ffff:1.2.3.4]/x": FORMAT,
    "-host.io/x": FORMAT,
    "host.io:port/x": FORMAT,
    "http://host.io/x": FORMAT,
    "node@sha256:12": FORMAT,
    "node@": FORMAT,
    "Node": f"{FORMAT}: repository name (library/Node) must be lowercase",
    "me/Node:1": f"{FORMAT}: repository name (me/Node) must be lowercase",
    "docker.io/É": f"{FORMAT}: repository name (library/É) must be lowercase",
    "x.io/a" + LONG: "repository name must not be more than 255 characters",
    "f" * 64: f"invalid repository name ({'f' * 64}), cannot specify 64-byte hexadecimal strings",
    "node@sha256:" + "a" * 63: "invalid checksum digest length",
    "node@sha256:" + "A" * 64: "invalid checksum digest format",
    "node@md5:" + "a" * 32: "unsupported digest algorithm",
    "node@SHA256:" + "a" * 64: f"{FORMAT}: repository name (library/node@SHA256) must be lowercase",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:40]))
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(BadReference) as caught:
        parse(text)
    assert str(caught.value) == REFUSED[text]


@pytest.mark.parametrize("text", ["sha256:../x", "sha256:", ":a", "sha256", "sha256:" + "a" * 64 + "\n", "md5:/etc"])
def test_what_is_no_digest(text: str) -> None:
    with pytest.raises(BadReference, match="digest"):
        check_digest(text)


@given(st.text(alphabet=string.ascii_letters[:30] + string.digits + "._-:/@[]", max_size=40))
@example("a" * 100_000 + "!")
@example("a-" * 50_000 + "!")
@example("a/" * 50_000 + "!")
@example("0.0_0/0")
def test_a_text_is_refused_or_means_one_name(text: str) -> None:
    try:
        reference = parse(text)
    except BadReference:
        return
    assert parse(str(reference)) == parse(reference.familiar) == reference
    assert is_reference(text)
    assert is_reference(str(reference))
    assert set(reference.path) <= {*string.ascii_lowercase, *string.digits, *"._-/"}
    assert ".." not in reference.path
