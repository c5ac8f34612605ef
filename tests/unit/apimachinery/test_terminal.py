"""What a terminal would act on is written out."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubelab.apimachinery import terminal
from kubelab.apimachinery.manifest import encode
from kubelab.component.logs import text_line
from kubelab.kctl.describe.writer import Writer
from kubelab.kctl.tables import render

CLEAR, TITLE = "\x1b[2J", "\x1b]0;owned\x07"
SIGNS = st.sampled_from(
    [*map(chr, terminal.ESCAPES), "a", "é", "\n", "\t", " ", "\U0001f4a5", '"', "\\", "'", "#", ":"]
)
TEXTS = st.text(SIGNS, max_size=12)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("plain, with é and 日本", "plain, with é and 日本"),
        (CLEAR, "^[[2J"),
        (TITLE, "^[]0;owned^G"),
        ("a\rb", "a\\rb"),
        ("\x9b31m", "\\u009b31m"),
        ("\x7f\x08\0", "^?^H^@"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\u2028b", "a\\u2028b"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
    ],
)
def test_escapes(text: str, told: str) -> None:
    assert terminal.escaped(text) == told


@given(TEXTS, TEXTS)
def test_nothing_that_is_printed_acts_on_a_terminal(one: str, other: str) -> None:
    w = Writer()
    w.field(one, other)
    w.labels(one, {other: one})
    table = render([["NAME", "STATUS"], [one, other]])
    assert len(table.splitlines()) == 2
    log = text_line({"time": "now", "level": "info", "event": "told", "name": one, "exception": other})
    for text in (w.render(), table, log):
        assert not terminal.acts(text), ascii(text)


@given(TEXTS, TEXTS)
def test_json_and_yaml_read_back(one: str, other: str) -> None:
    told = {"data": {one: other}, "list": [one, other]}
    as_json, as_yaml = encode.to_json(told), encode.to_yaml(told)
    assert not terminal.acts(as_json)
    assert not terminal.acts(as_yaml)
    assert json.loads(as_json) == told
    assert yaml.load(as_yaml, yaml.CSafeLoader) == told
