"""What an unquoted word means: sigs.k8s.io/yaml's reading of YAML 1.1, not PyYAML's."""

from __future__ import annotations

import pytest

from kubelab.apimachinery.manifest.yamlnodes import parse, plain, resolve


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", None), ("~", None), ("null", None), ("Null", None), ("nUll", "nUll"),
        ("true", True), ("yes", True), ("On", True), ("y", True), ("N", False), ("off", False), ("FALSE", False),
        ("tRue", "tRue"), ("no one", "no one"),
        ("0", 0), ("-5", -5), ("+5", 5), ("1_000", 1000), ("0x1F", 31), ("0b101", 5), ("0o17", 15), ("017", 15),
        ("089", 89), ("1:30", "1:30"), ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("1.", 1.0), ("1e", "1e"),
        ("-.inf", float("-inf")), ("-", "-"), (".", "."), ("+", "+"), ("--", "--"),
        ("2024-01-01", "2024-01-01"), ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"), ("10.96.0.1", "10.96.0.1"),
        ("=", "="), ("<<", "<<"), ("0x", "0x"), ("1_", 1), ("64Mi", "64Mi"), ("a", "a"),
    ],
)  # fmt: skip
def test_plain_words(written: str, meant: object) -> None:
    assert resolve(written) == meant
    assert type(resolve(written)) is type(meant)


def test_quotes_and_tags_decide() -> None:
    (node,) = parse("- 5\n- '5'\n- \"5\"\n- !!str 5\n- !!int 5\n- !!int '5'\n- |-\n  5\n- >-\n  5\n", "f")
    assert plain(node) == [5, "5", "5", "5", 5, 5, "5", "5"]


def test_keys_are_text() -> None:
    (node,) = parse("{1: a, true: b, null: c, 1.5: d}", "f")
    assert plain(node) == {"1": "a", "true": "b", "null": "c", "1.5": "d"}
