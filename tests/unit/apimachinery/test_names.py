"""Names: what passes is what the published patterns pass, and what is generated passes."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kubelab.apimachinery import names

TEXTS = st.text(alphabet="aZ09-._/ =é\n", max_size=12) | st.text(max_size=8)
LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

# The patterns as upstream publishes them in its messages.
PATTERNS: dict[str, tuple[Callable[[str], list[str]], str, int]] = {
    "label": (names.dns_label, LABEL, 63),
    "subdomain": (names.dns_subdomain, rf"{LABEL}(\.{LABEL})*", 253),
    "RFC 1035 label": (names.dns1035_label, r"[a-z]([-a-z0-9]*[a-z0-9])?", 63),
    "label value": (names.label_value, rf"({NAME})?", 63),
    "config key": (names.config_key, r"(?!\.\.)(?!\.\Z)[-._a-zA-Z0-9]+", 253),
    "variable": (names.env_var_name, r"[ -<>-~]+", 10**6),
}


@pytest.mark.parametrize(("check", "pattern", "limit"), PATTERNS.values(), ids=PATTERNS.keys())
@given(text=TEXTS)
@example(text="")
@example(text="a\n")
@example(text="a" * 63)
@example(text="a" * 64)
@example(text="a" * 253)
@example(text="a" * 254)
@example(text="a..b")
@example(text="a.-b")
@example(text="a-.b")
@example(text=".")
@example(text="..a")
def test_as_the_pattern(check: Callable[[str], list[str]], pattern: str, limit: int, text: str) -> None:
    passes = re.fullmatch(pattern, text) is not None and len(text) <= limit
    assert (check(text) == []) is passes


@given(text=TEXTS)
@example(text="example.com/app")
@example(text="/app")
@example(text="a/b/c")
@example(text="a/" + "b" * 64)
def test_qualified_names(text: str) -> None:
    prefix, slash, name = text.rpartition("/")
    sound = re.fullmatch(NAME, name) is not None and len(name) <= 63
    assert (names.qualified_name(text) == []) is (sound and (not slash or names.dns_subdomain(prefix) == []))


@given(text=TEXTS)
@example(text="http")
@example(text="8080")
@example(text="a--b")
@example(text="a" * 16)
def test_port_names(text: str) -> None:
    passes = bool(re.fullmatch(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?", text))
    assert (names.port_name(text) == []) is passes


@given(base=st.from_regex(r"[a-z][-a-z0-9]{0,99}", fullmatch=True), seed=st.integers())
def test_generated_names(base: str, seed: int) -> None:
    name = names.generate(base, random.Random(seed))
    assert name.startswith(base[:58])
    assert len(name) == min(len(base), 58) + 5
    assert names.dns_label(name) == []
    assert not set(name[-5:]) & set("aeiou013")


@pytest.mark.parametrize(
    ("prefix", "told"), [("web-", []), ("web", []), ("-", [names.LABEL_MESSAGE]), ("We-", [names.LABEL_MESSAGE])]
)
def test_a_generate_name_may_end_in_a_dash(prefix: str, told: list[str]) -> None:
    assert names.dns_label(names.generate_prefix(prefix)) == told


def test_a_long_name_that_is_none_is_refused_at_once() -> None:
    """A pattern with a repetition in a repetition would take hours for this."""
    assert names.dns_subdomain("a" * 100_000 + "!") != []
    assert names.dns_subdomain("a." * 50_000 + "!") != []


@pytest.mark.parametrize(
    ("name", "told"), [("", []), ("a b", []), ("..", ["may not be '..'"]), ("%", ["may not contain '%'"])]
)
def test_path_segments(name: str, told: list[str]) -> None:
    assert names.path_segment(name) == told
