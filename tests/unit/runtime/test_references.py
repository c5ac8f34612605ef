"""Image names, normalised as Docker does."""

from __future__ import annotations

import pytest

from kubelab.runtime.references import BadReference, parse

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("node", "docker.io/library/node:latest", "node:latest"),
        ("node:18", "docker.io/library/node:18", "node:18"),
        ("docker.io/node", "docker.io/library/node:latest", "node:latest"),
        ("kim0lil/80700:v-1.0.0", "docker.io/kim0lil/80700:v-1.0.0", "kim0lil/80700:v-1.0.0"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"),
        ("quay.io/a/b/c:x", "quay.io/a/b/c:x", "quay.io/a/b/c:x"),
        (f"node@{DIGEST}", f"docker.io/library/node@{DIGEST}", f"node@{DIGEST}"),
    ],
)
def test_names(text: str, full: str, familiar: str) -> None:
    reference = parse(text)
    assert (str(reference), reference.familiar) == (full, familiar)
    assert parse(str(reference)) == reference


@pytest.mark.parametrize("text", ["", "Node", "a b", "node:", "node@sha256:12", "../x", "node:a/b:c"])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(BadReference, match="invalid reference format"):
        parse(text)
