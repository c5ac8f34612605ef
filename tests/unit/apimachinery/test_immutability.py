"""What the contract marks as immutable, and how a change of it is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import immutability


def secret() -> core_pb2.Secret:
    made = core_pb2.Secret(type="Opaque", data={"a": b"b"})
    made.metadata.name, made.metadata.uid = "s", "1"
    made.metadata.creationTimestamp.seconds = 5
    return made


def change(what: str) -> Callable[[Any], None]:
    def deleted(obj: Any) -> None:
        obj.metadata.deletionGracePeriodSeconds = 0

    changes: dict[str, Callable[[Any], None]] = {
        "the data": lambda obj: obj.data.update({"a": b"c"}),
        "the labels": lambda obj: obj.metadata.labels.update({"a": "c"}),
        "the type": lambda obj: setattr(obj, "type", "other"),
        "the uid": lambda obj: setattr(obj.metadata, "uid", ""),
        "the time": lambda obj: obj.metadata.ClearField("creationTimestamp"),
        "a grace of zero": deleted,
    }
    return changes[what]


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("the data", []),
        ("the labels", []),
        ("the type", [("type", "other")]),
        ("the uid", [("metadata.uid", "")]),
        ("the time", [("metadata.creationTimestamp", None)]),
        ("a grace of zero", [("metadata.deletionGracePeriodSeconds", 0)]),
    ],
)
def test_a_change_of_an_immutable_field_is_found(what: str, expected: list[immutability.Change]) -> None:
    new = secret()
    change(what)(new)
    assert immutability.changed(new, secret()) == expected


def test_all_changes_are_found_in_the_order_of_the_contract() -> None:
    found = immutability.changed(core_pb2.Secret(), secret())
    assert [path for path, _ in found] == ["metadata.name", "metadata.uid", "metadata.creationTimestamp", "type"]
