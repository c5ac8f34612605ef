"""Label selectors as messages: what they take, and how they read."""

from __future__ import annotations

import pytest

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apimachinery.labels import SelectorError


def selector(*expressions: tuple[str, str, list[str]], **labels: str) -> meta_pb2.LabelSelector:
    made = meta_pb2.LabelSelector(matchLabels=labels)
    for key, operator, values in expressions:
        made.matchExpressions.add(key=key, operator=operator, values=values)
    return made


@pytest.mark.parametrize(
    ("one", "text", "taken", "left"),
    [
        (selector(), "<none>", [{}, {"a": "b"}], []),
        (selector(app="web"), "app=web", [{"app": "web", "x": "y"}], [{}, {"app": "db"}]),
        (selector(("tier", "In", ["b", "a"])), "tier in (a,b)", [{"tier": "a"}], [{}, {"tier": "c"}]),
        (selector(("tier", "NotIn", ["a"])), "tier notin (a)", [{}, {"tier": "b"}], [{"tier": "a"}]),
        (selector(("tier", "Exists", [])), "tier", [{"tier": ""}], [{}]),
        (
            selector(("tier", "DoesNotExist", []), app="web"),
            "app=web,!tier",
            [{"app": "web"}],
            [{"app": "web", "tier": ""}],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_selector_takes(
    one: meta_pb2.LabelSelector, text: str, taken: list[dict[str, str]], left: list[dict[str, str]]
) -> None:
    matches = labelselectors.as_selector(one).matches
    assert labelselectors.text(one) == text
    assert all(matches(labels) for labels in taken)
    assert not any(matches(labels) for labels in left)


def test_an_operator_that_there_is_not() -> None:
    one = selector(("tier", "Is", ["a"]))
    assert labelselectors.text(one) == "<error>"
    with pytest.raises(SelectorError, match='"Is" is not a valid label selector operator'):
        labelselectors.as_selector(one)
