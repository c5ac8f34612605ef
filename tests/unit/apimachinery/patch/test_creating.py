"""Patches that are made, applied again."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.patch import jsonpatch, merge, strategic, strategicdiff
from kubelab.apimachinery.patch.errors import PatchConflict, PreconditionFailed, UnprocessablePatch

POD = core_pb2.Pod.DESCRIPTOR
NAMES = st.sampled_from(["a", "b", "c", "d"])
TEXT = st.sampled_from(["one", "two", "three"])


def by_key(key: str, element: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Lists whose elements differ in their merge key."""
    return st.lists(element, max_size=4, unique_by=lambda one: one[key])


ENV = by_key("name", st.fixed_dictionaries({"name": NAMES}, optional={"value": TEXT}))
CONTAINER = st.fixed_dictionaries(
    {"name": NAMES},
    optional={
        "image": TEXT,
        "env": ENV,
        "command": st.lists(TEXT, max_size=3),
        "resources": st.fixed_dictionaries({}, optional={"limits": st.dictionaries(NAMES, TEXT, max_size=2)}),
    },
)
VOLUME = st.one_of(
    st.fixed_dictionaries({"name": NAMES, "emptyDir": st.just({"medium": "Memory"})}),
    st.fixed_dictionaries({"name": NAMES, "hostPath": st.fixed_dictionaries({"path": TEXT})}),
)
OBJECTS = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {"name": st.just("web")},
            optional={
                "labels": st.dictionaries(NAMES, TEXT, max_size=3),
                "finalizers": st.lists(TEXT, max_size=3, unique=True),
            },
        ),
        "spec": st.fixed_dictionaries(
            {"containers": by_key("name", CONTAINER)},
            optional={
                "volumes": by_key("name", VOLUME),
                "nodeSelector": st.dictionaries(NAMES, TEXT, max_size=2),
                "priority": st.integers(0, 3),
                "tolerations": st.lists(st.fixed_dictionaries({"key": TEXT}), max_size=3),
            },
        ),
    }
)


def bare(value: Any) -> Any:
    """As a message has it: without empty maps and lists, without null, without the directives that upstream leaves in
    an element of a list that was not there."""
    if isinstance(value, dict):
        parts = {key: bare(part) for key, part in value.items() if not key.startswith("$")}
        return {key: part for key, part in parts.items() if part not in ({}, [], None)}
    return [bare(part) for part in value] if isinstance(value, list) else value


@settings(max_examples=60, deadline=None)
@given(OBJECTS, OBJECTS)
def test_a_two_way_patch_leads_from_one_object_to_the_other(original: Any, modified: Any) -> None:
    kept = deepcopy((original, modified))
    patch = strategicdiff.create_two_way(original, modified, POD)
    assert bare(strategic.apply(original, patch, POD)) == bare(modified)
    assert (original, modified) == kept
    assert bool(patch) is (original != modified)
    assert merge.apply(original, merge.create_two_way(original, modified)) == modified


@settings(max_examples=60, deadline=None)
@given(OBJECTS, OBJECTS, OBJECTS)
def test_a_three_way_patch_applied_once_leaves_nothing_to_do(original: Any, modified: Any, current: Any) -> None:
    """What ``kubectl apply`` does twice: the second time nothing is sent."""
    patch = strategicdiff.create_three_way(original, modified, current, POD)
    applied = strategic.apply(current, patch, POD)
    assert includes(applied, modified), "what was wanted is there"
    again = strategicdiff.create_three_way(modified, modified, applied, POD)
    assert bare(strategic.apply(applied, again, POD)) == bare(applied)


@settings(max_examples=60, deadline=None)
@given(OBJECTS, OBJECTS)
def test_a_three_way_patch_of_an_object_that_nobody_else_changed_is_the_two_way_patch(
    original: Any, modified: Any
) -> None:
    patch = strategicdiff.create_three_way(original, modified, original, POD)
    assert bare(strategic.apply(original, patch, POD)) == bare(modified)
    merged = merge.create_three_way(original, modified, original)
    assert bare(merge.apply(original, merged)) == bare(modified)


def includes(whole: Any, part: Any) -> bool:
    """Whether every field of ``part`` is in ``whole``; of lists that are merged, every element."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(not bare(v) or includes(whole.get(k), v) for k, v in part.items())
    if isinstance(part, list) and part and isinstance(part[0], dict) and "name" in part[0]:
        by_name = {one["name"]: one for one in whole}
        return all(one["name"] in by_name and includes(by_name[one["name"]], one) for one in part)
    if isinstance(part, list) and part and isinstance(part[0], str):
        return set(part) <= set(whole)
    return bool(whole == part)


def test_what_others_added_stays_and_what_was_taken_away_goes() -> None:
    original = {"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"containers": [{"name": "x"}, {"name": "y"}]}}
    modified = {"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "x"}]}}
    current = {
        "metadata": {"labels": {"a": "1", "b": "2", "theirs": "3"}},
        "spec": {"containers": [{"name": "x"}, {"name": "y"}, {"name": "sidecar"}]},
    }
    patch = strategicdiff.create_three_way(original, modified, current, POD)
    assert patch == {
        "metadata": {"labels": {"b": None}},
        "spec": {
            "$setElementOrder/containers": [{"name": "x"}],
            "containers": [{"name": "y", "$patch": "delete"}],
        },
    }
    assert strategic.apply(current, patch, POD) == {
        "metadata": {"labels": {"a": "1", "theirs": "3"}},
        "spec": {"containers": [{"name": "x"}, {"name": "sidecar"}]},
    }


def test_a_field_that_both_changed_is_a_conflict_where_that_is_asked() -> None:
    original, modified, current = ({"spec": {"nodeName": name}} for name in ("a", "b", "c"))
    with pytest.raises(PatchConflict, match="conflicts with changes made from original to current"):
        strategicdiff.create_three_way(original, modified, current, POD, overwrite=False)
    assert strategicdiff.create_three_way(original, modified, current, POD) == {"spec": {"nodeName": "b"}}


def test_what_must_not_change_is_refused() -> None:
    with pytest.raises(PreconditionFailed, match=r"precondition failed for: map\[metadata:map\[name:b\]\]"):
        strategicdiff.create_two_way(
            {"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}, POD, keep=["metadata.name"]
        )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("add", {"a": [9, 1, 2]}), ("replace", {"a": [9, 2]}), ("remove", {"a": [2]})],
)
def test_json_patch_of_an_element(kind: str, expected: Any) -> None:
    steps = jsonpatch.decode([{"op": kind, "path": "/a/0", "value": 9}])
    assert jsonpatch.apply({"a": [1, 2]}, steps) == expected


def test_json_patch_does_all_or_nothing() -> None:
    document = {"a": {"b": 1}}
    steps = jsonpatch.decode([{"op": "remove", "path": "/a/b"}, {"op": "test", "path": "/a", "value": 1}])
    with pytest.raises(UnprocessablePatch, match="testing value /a failed: test failed"):
        jsonpatch.apply(document, steps)
    assert document == {"a": {"b": 1}}


@pytest.mark.parametrize("wrong", [True, 1.0, "1"])
def test_values_of_another_type_are_others(wrong: Any) -> None:
    with pytest.raises(UnprocessablePatch):
        jsonpatch.apply({"a": 1}, jsonpatch.decode([{"op": "test", "path": "/a", "value": wrong}]))


def test_a_copy_does_not_grow_without_bound() -> None:
    steps = jsonpatch.decode([{"op": "copy", "from": "/a", "path": f"/a/x{n}"} for n in range(40)])
    with pytest.raises(UnprocessablePatch, match="accumulated size increase of copy"):
        jsonpatch.apply({"a": {"b": "x" * 1000}}, steps)
