"""What may be asked of a log, in upstream's words where it may not."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1.meta_pb2 import Time
from kubelab.apimachinery import logoptions

POSITIVE = "must be greater than 0"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, []),
        ({"tailLines": 0, "limitBytes": 1, "sinceSeconds": 1}, []),
        ({"sinceTime": Time(seconds=5)}, []),
        ({"tailLines": -1}, ["tailLines: Invalid value: -1: must be greater than or equal to 0"]),
        ({"limitBytes": 0}, [f"limitBytes: Invalid value: 0: {POSITIVE}"]),
        ({"sinceSeconds": 0}, [f"sinceSeconds: Invalid value: 0: {POSITIVE}"]),
        ({"sinceSeconds": -(2**63)}, [f"sinceSeconds: Invalid value: {-(2**63)}: {POSITIVE}"]),
        (
            {"sinceSeconds": 1, "sinceTime": Time(seconds=5)},
            [": Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"],
        ),
        (
            {"sinceTime": Time(seconds=2**62)},
            [
                f"sinceTime: Invalid value: {2**62}s 0ns: "
                "must be a time from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z"
            ],
        ),
    ],
)
def test_what_may_be_asked_of_a_log(asked: dict[str, Any], told: list[str]) -> None:
    causes = logoptions.validate(core_pb2.PodLogOptions(**asked))
    assert [f"{cause.field}: {cause.message}" for cause in causes] == told
