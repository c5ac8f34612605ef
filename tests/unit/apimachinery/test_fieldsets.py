"""Sets of fields: their JSON form, and what applying objects does to them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.fieldsets import checking, comparing, merging, paths, types
from kubelab.apimachinery.fieldsets.managers import APPLY, UPDATE, ManagedFields, Manager
from kubelab.apimachinery.patch.values import equal
from tests.unit.apimachinery.patch.test_creating import OBJECTS as WITH_EMPTY
from tests.unit.apimachinery.patch.test_creating import bare

OBJECTS = WITH_EMPTY.map(bare)  # an empty map or list is a value of its own
POD = types.of_object(core_pb2.Pod.DESCRIPTOR)


@settings(max_examples=60, deadline=None)
@given(WITH_EMPTY)
def test_fields_are_read_as_they_were_written(obj: Any) -> None:
    found = comparing.field_set(obj, POD)
    assert paths.decode(paths.encode(found)) == found
    assert checking.complaints(obj, POD) == []


@pytest.mark.parametrize("wrong", [b"[]", b'{"x:a":{}}', b'{"f:a":[1]}', b"{", b'{"f:a":' * 5000])
def test_what_is_no_set_is_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        paths.decode(wrong)


@settings(max_examples=60, deadline=None)
@given(OBJECTS, OBJECTS)
def test_a_comparison_names_what_differs(old: Any, new: Any) -> None:
    difference = comparing.compare(old, new, POD)
    assert not difference.added & difference.removed
    assert difference == comparing.compare(new, old, POD)._replace(
        added=difference.added, removed=difference.removed
    ), "what is modified is the same in both directions"
    assert equal(old, new) <= (not any(difference))


@settings(max_examples=60, deadline=None)
@given(OBJECTS, OBJECTS)
def test_what_is_merged_has_all_that_was_applied(live: Any, applied: Any) -> None:
    kept = deepcopy((live, applied))
    merged = merging.merge(live, applied, POD)
    assert comparing.field_set(applied, POD) <= comparing.field_set(merged, POD)
    assert equal(merging.merge(merged, applied, POD), merged), "applying again changes nothing"
    assert (live, applied) == kept


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["ci", "ops"]), OBJECTS), min_size=1, max_size=5))
def test_appliers_own_what_they_applied_last_and_nothing_of_it_stays_behind(applies: list[tuple[str, Any]]) -> None:
    live: Any = {}
    managed = ManagedFields()
    for now, (name, obj) in enumerate(applies):
        live = managed.apply(live, obj, POD, Manager(name, APPLY), "v1", now, force=True)
        entry = managed.entries.get(Manager(name, APPLY))
        assert (entry.fields if entry is not None else paths.EMPTY) <= comparing.field_set(obj, POD)
        assert comparing.field_set(obj, POD) <= comparing.field_set(live, POD)
    owned = frozenset().union(*(one.fields for one in managed.entries.values()))
    values = {path for path in comparing.field_set(bare(live), POD) if path[0] == "f:spec"}
    assert values <= paths.closure(owned), "what nobody applies any more is gone"
    assert [one.manager for one in managed.encode()] == [m.name for m in ManagedFields.decode(managed.encode()).entries]


@settings(max_examples=60, deadline=None)
@given(OBJECTS, OBJECTS)
def test_an_update_that_takes_back_everything_leaves_one_manager(first: Any, second: Any) -> None:
    managed = ManagedFields()
    managed.update({}, first, POD, Manager("a", UPDATE, "v1"), 1)
    managed.update(first, {}, POD, Manager("b", UPDATE, "v1"), 2)
    assert not managed
    managed.update({}, second, POD, Manager("c", UPDATE, "v1"), 3)
    assert [manager.name for manager in managed.entries] in (["c"], [])


def test_paths_are_written_for_people() -> None:
    path = ("f:spec", 'k:{"containerPort":80,"protocol":"TCP"}', "f:name", 'v:"a.io/b"', "i:3")
    assert paths.text(path) == '.spec[containerPort=80,protocol="TCP"].name[="a.io/b"][3]'
