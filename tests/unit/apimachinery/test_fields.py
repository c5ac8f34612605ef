"""Field selectors: what is read is what was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.apimachinery import fields

FIELDS = st.sampled_from(["metadata.name", "spec.nodeName", "status.phase"])
TERMS = st.builds(fields.Term, FIELDS, st.text(max_size=6), st.booleans())
SELECTORS = st.lists(TERMS, max_size=3).map(lambda terms: fields.FieldSelector(tuple(terms)))


@given(SELECTORS, st.dictionaries(FIELDS, st.text(max_size=3)))
def test_what_is_written_reads_back(selector: fields.FieldSelector, there: dict[str, str]) -> None:
    read = fields.parse(str(selector))
    assert set(read.terms) == set(selector.terms)
    assert read.matches(there) is selector.matches(there)


@given(st.text(max_size=8))
def test_escaping(text: str) -> None:
    assert fields.unescape(fields.escape(text)) == text


@pytest.mark.parametrize(
    ("text", "there", "matches"),
    [
        ("", {}, True),
        (",", {}, True),
        ("spec.nodeName=node-1,status.phase!=Running", {"spec.nodeName": "node-1", "status.phase": "Pending"}, True),
        ("spec.nodeName=node-1,status.phase!=Running", {"spec.nodeName": "node-1", "status.phase": "Running"}, False),
        ("spec.nodeName==node-1", {"spec.nodeName": "node-1"}, True),
        ("spec.nodeName=", {}, True),
        ("spec.nodeName!=", {}, False),
        ("a=b\\,c\\=d", {"a": "b,c=d"}, True),
    ],
)
def test_selectors(text: str, there: dict[str, str], matches: bool) -> None:
    assert fields.parse(text).matches(there) is matches


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("spec", "invalid selector: 'spec'; can't understand 'spec'"),
        ("a=b,spec", "invalid selector: 'a=b,spec'; can't understand 'spec'"),
        ("a=\\b", "invalid field selector: invalid escape sequence: \\b"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
    ],
)
def test_no_selectors(text: str, told: str) -> None:
    with pytest.raises(fields.FieldSelectorError) as caught:
        fields.parse(text)
    assert str(caught.value) == told


def test_fields_that_nobody_can_ask_for() -> None:
    only = 'only "metadata.name", "metadata.namespace"'
    everywhere = ("metadata.name", "metadata.namespace")
    assert fields.unsupported("a", everywhere) == f'"a" is not a known field selector: {only}'
    assert fields.unsupported("a", (*everywhere, "type")) == "field label not supported: a"
