"""What is an image's name, by https://github.com/distribution/reference."""

from __future__ import annotations

import pytest

from kubelab.kctl import generators
from kubelab.kctl.flags import UsageProblem

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "image",
    [
        "nginx",
        "kubelab/hello:v-1.0.0",
        "a__b",
        "a--b",
        "a.b_c-d/e",
        "A/b",
        "A.com/b",
        "localhost:5000/a:B",
        "[::1]:5000/a",
        HEX,
        f"a@sha256:{HEX}",
        f"a:b@foo:{HEX}",
        "a:" + "x" * 128,
    ],
)
def test_images(image: str) -> None:
    assert generators.pod("p", image=image).spec.containers[0].image == image


@pytest.mark.parametrize(
    "image",
    [
        "Nginx",
        "A.com",
        "nginx:1:2",
        "A:b:c",
        "a/",
        "a//b",
        "a/B",
        "a:b/c",
        "x:.y",
        "a:-x",
        "a.-b",
        "a-.b",
        "a___b",
        "a..b/c",
        "a.b-/c",
        "host:x/a",
        "-a",
        "a-",
        "a@sha256:abc",
        f"a@sha256:{HEX}:x",
        "a:" + "x" * 129,
        "a\n",
        "\u00e9",
    ],
)
def test_no_images(image: str) -> None:
    with pytest.raises(UsageProblem, match="invalid reference format"):
        generators.pod("p", image=image)
