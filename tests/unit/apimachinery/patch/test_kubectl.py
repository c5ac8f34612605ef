"""Patches do what kubectl makes of them: cases recorded with ``kubectl patch --local`` 1.32 (record.py)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.patch import jsonpatch, merge, strategic
from kubelab.apimachinery.patch.errors import PatchError
from tests.unit.apimachinery.patch.record import OBJECTS

CASES: list[dict[str, Any]] = [
    json.loads(line) for line in Path(__file__).with_name("kubectl.jsonl").read_text().splitlines()
]
MESSAGES = {"pod": core_pb2.Pod.DESCRIPTOR, "service": core_pb2.Service.DESCRIPTOR}


def patched(case: dict[str, Any]) -> dict[str, Any]:
    document, patch = OBJECTS[case["object"]], case["patch"]
    match case["type"]:
        case "strategic":
            return strategic.apply(document, patch, MESSAGES[case["object"]])
        case "merge":
            return merge.apply(document, patch)
        case _:
            return jsonpatch.apply(document, jsonpatch.decode(patch))


def of_kubectl(message: str) -> str:
    """A library's message as kubectl prints it."""
    missing = message.removeprefix("replace operation does not apply: doc is missing key: ")
    return (
        f"error: {message}".strip()
        if missing == message
        else f"error: Object to be patched is missing field ({missing})"
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['type']}-{json.dumps(case['patch'])[:60]}")
def test_as_kubectl(case: dict[str, Any]) -> None:
    before = json.dumps(OBJECTS[case["object"]])
    if "error" in case:
        with pytest.raises(PatchError) as caught:
            patched(case)
        assert of_kubectl(str(caught.value)) == case["error"]
    else:
        assert patched(case) == case["result"]
    assert json.dumps(OBJECTS[case["object"]]) == before, "the original was changed"


def test_the_cases_are_of_every_type_and_some_do_not_apply() -> None:
    assert Counter(case["type"] for case in CASES).keys() == {"strategic", "merge", "json"}
    assert 10 < sum("error" in case for case in CASES) < len(CASES) / 2
