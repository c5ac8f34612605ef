"""Selectors, quantities and ages: what is read is what was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.apimachinery import fields, labels, quantity
from kubelab.apimachinery.timestamps import human_duration

KEYS = st.sampled_from(["app", "tier", "example.com/role"])
VALUES = st.sampled_from(["", "node", "web", "a-1"])


@given(st.dictionaries(KEYS, VALUES), st.dictionaries(KEYS, VALUES))
def test_a_mapping_selects_what_carries_all_of_it(wanted: dict[str, str], carried: dict[str, str]) -> None:
    selector = labels.from_mapping(wanted)
    assert selector.matches(carried) is (wanted.items() <= carried.items())
    assert labels.parse(str(selector)).matches(carried) is selector.matches(carried)


@pytest.mark.parametrize(
    ("text", "carried", "matches"),
    [
        ("app=node", {"app": "node"}, True),
        ("app==node", {"app": "web"}, False),
        ("app!=node", {}, True),
        ("app in (node, web)", {"app": "web"}, True),
        ("app notin (node)", {"app": "node"}, False),
        ("app", {}, False),
        ("!app", {}, True),
        ("app=node,tier", {"app": "node"}, False),
    ],
)
def test_selectors(text: str, carried: dict[str, str], matches: bool) -> None:
    assert labels.parse(text).matches(carried) is matches


@pytest.mark.parametrize("text", ["a in (b", "=x", "a b", ",", "a=b,"])
def test_no_selectors(text: str) -> None:
    with pytest.raises(labels.SelectorError):
        labels.parse(text)


def test_field_selectors() -> None:
    selector = fields.parse("spec.nodeName=node-1,status.phase!=Running")
    assert selector.matches({"spec.nodeName": "node-1", "status.phase": "Pending"})
    assert not selector.matches({"spec.nodeName": "node-1", "status.phase": "Running"})


@given(st.integers(0, 10**6), st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi"]))
def test_the_canonical_form_keeps_the_amount(number: int, suffix: str) -> None:
    text = f"{number}{suffix}"
    form = quantity.canonical(text)
    assert quantity.parse(form) == quantity.parse(text)
    assert quantity.canonical(form) == form


@pytest.mark.parametrize(
    ("text", "form"), [("0.5", "500m"), ("1024Mi", "1Gi"), ("1500m", "1500m"), ("1000m", "1"), ("+1", "1")]
)
def test_canonical_forms(text: str, form: str) -> None:
    assert quantity.canonical(text) == form


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(25, "25s"), (272, "4m32s"), (600, "10m"), (3 * 3600, "3h"), (27 * 3600, "27h"), (8 * 86400, "8d")],
)
def test_ages(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text
