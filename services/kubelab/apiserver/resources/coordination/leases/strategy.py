"""Leases: how long they last, and how often they changed hands."""

from __future__ import annotations

from typing import ClassVar

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes
from kubelab.apiserver.strategies.base import Strategy


class LeaseStrategy(Strategy[coordination_pb2.Lease]):
    unconditional_update: ClassVar[bool] = False  # a client that has not read it cannot know that it is free

    def validate_content(self, obj: coordination_pb2.Lease) -> list[Cause]:
        spec = obj.spec
        complaints: list[Cause] = []
        if spec.HasField("leaseDurationSeconds") and spec.leaseDurationSeconds <= 0:
            message = "must be greater than 0"
            complaints.append(causes.invalid("spec.leaseDurationSeconds", spec.leaseDurationSeconds, message))
        return [*complaints, *causes.non_negative("spec.leaseTransitions", spec.leaseTransitions)]
