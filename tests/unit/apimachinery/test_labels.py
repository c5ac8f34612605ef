"""Label selectors: what is read is what was written, and what cannot be read is told in upstream's words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.apimachinery import labels, names

KEYS = st.sampled_from(["app", "tier", "example.com/role", "in", "notin", "exists"])
VALUES = st.sampled_from(["", "node", "web", "a-1", "1", "12", "in"])
CARRIED = st.dictionaries(KEYS, VALUES)
REQUIREMENTS = st.one_of(
    st.builds(labels.Requirement, KEYS, st.sampled_from(["=", "==", "!="]), st.tuples(VALUES)),
    st.builds(labels.Requirement, KEYS, st.sampled_from(["exists", "!"])),
    st.builds(labels.Requirement, KEYS, st.sampled_from([">", "<"]), st.tuples(st.integers(0, 99).map(str))),
    st.builds(
        labels.Requirement,
        KEYS,
        st.sampled_from(["in", "notin"]),
        st.lists(VALUES, min_size=1, unique=True).map(tuple),
    ),
)
SELECTORS = st.lists(REQUIREMENTS, max_size=4).map(lambda found: labels.Selector(tuple(found)))


@given(SELECTORS, CARRIED)
def test_what_is_written_reads_back(selector: labels.Selector, carried: dict[str, str]) -> None:
    read = labels.parse(str(selector))
    assert read.matches(carried) is selector.matches(carried)
    assert labels.parse(str(read)) == read


@given(KEYS, st.lists(VALUES, min_size=1), CARRIED)
def test_opposites(key: str, values: list[str], carried: dict[str, str]) -> None:
    def matches(operator: str, *chosen: str) -> bool:
        return labels.Requirement(key, operator, chosen).matches(carried)

    assert matches("in", *values) is not matches("notin", *values)
    assert matches("=", values[0]) is not matches("!=", values[0])
    assert matches("exists") is not matches("!")


@given(st.text(alphabet="ab1=!,()<> in/-", max_size=12))
def test_every_text_is_read_or_refused(text: str) -> None:
    try:
        selector = labels.parse(text)
    except labels.SelectorError:
        return
    assert labels.parse(str(selector)) == selector


@pytest.mark.parametrize(
    ("text", "carried", "matches"),
    [
        ("", {}, True),
        ("app=node", {"app": "node"}, True),
        ("app==node", {"app": "web"}, False),
        ("app!=node", {}, True),
        ("app in (node, web)", {"app": "web"}, True),
        ("app in (node,)", {"app": ""}, True),
        ("app in ()", {"app": ""}, True),
        ("app notin (node)", {"app": "node"}, False),
        ("app notin (node)", {}, True),
        ("app", {}, False),
        ("!app", {}, True),
        ("app=", {"app": ""}, True),
        ("app=node,tier", {"app": "node"}, False),
        ("n>5", {"n": "6"}, True),
        ("n>5", {"n": "x"}, False),
        ("n<5", {}, False),
    ],
)
def test_selectors(text: str, carried: dict[str, str], matches: bool) -> None:
    assert labels.parse(text).matches(carried) is matches


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("=x", "found '=', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("a=b,", "found '', expected: identifier after ','"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a==!", "unable to parse requirement: found '!', expected: identifier"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        (
            "a>b",
            "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the "
            "value must be an "
            "integer",
        ),
        (
            f"{'a' * 64}=b",
            f'unable to parse requirement: <nil>: Invalid value: "{"a" * 64}": name part {names.too_long(63)}',
        ),
        (
            f"a={'b' * 64}",
            f'unable to parse requirement: values[0][a]: Invalid value: "{"b" * 64}": {names.too_long(63)}',
        ),
    ],
)
def test_no_selectors(text: str, told: str) -> None:
    with pytest.raises(labels.SelectorError) as caught:
        labels.parse(text)
    assert str(caught.value) == told
