"""Priority levels: how many requests at once, and what happens to more
(upstream: pkg/apis/flowcontrol/validation, ValidatePriorityLevelConfiguration)."""

from __future__ import annotations

import math
from typing import ClassVar

from kubelab.api.flowcontrol.v1 import flowcontrol_pb2 as pb
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.messages import deep_copy
from kubelab.apiserver.flowcontrol import defaultobjects
from kubelab.apiserver.resources.flowcontrol import conditions
from kubelab.apiserver.strategies import causes
from kubelab.apiserver.strategies.base import Strategy

MAX_QUEUES = 10_000_000
MAX_HASH_BITS = 60  # of the number that a hand of queues is dealt by
_POSITIVE, _NOT_NEGATIVE = "must be positive", "must be a non-negative integer"
_PERCENT = "must be between 0 and 100, inclusive"


class PriorityLevelStrategy(Strategy[pb.PriorityLevelConfiguration]):
    has_generation: ClassVar[bool] = True

    def default(self, obj: pb.PriorityLevelConfiguration) -> None:
        if obj.spec.HasField("limited"):
            _default_limited(obj.spec.limited)
        if obj.spec.HasField("exempt"):
            exempt = obj.spec.exempt
            exempt.nominalConcurrencyShares = exempt.nominalConcurrencyShares
            exempt.lendablePercent = exempt.lendablePercent

    def validate_content(self, obj: pb.PriorityLevelConfiguration) -> list[Cause]:
        name, spec = obj.metadata.name, obj.spec
        complaints: list[Cause] = []
        if (name == defaultobjects.EXEMPT) != (spec.type == "Exempt"):
            why = "type must be 'Exempt' if and only if name is 'exempt'"
            complaints.append(causes.invalid("spec.type", spec.type, why))
        match spec.type:
            case "Exempt":
                if spec.HasField("exempt"):
                    complaints += _shares("spec.exempt", spec.exempt)
                if spec.HasField("limited"):
                    complaints.append(causes.forbidden("spec.limited", "must be nil if the type is not Limited"))
            case "Limited":
                if spec.HasField("exempt"):
                    complaints.append(causes.forbidden("spec.exempt", "must be nil if the type is Limited"))
                if spec.HasField("limited"):
                    complaints += _limited(spec.limited)
                else:
                    complaints.append(causes.required("spec.limited", "must not be empty when type is Limited"))
            case kind:
                complaints.append(causes.unsupported("spec.type", kind, ("Exempt", "Limited")))
        return complaints + _mandatory(name, spec)

    def validate_status_update(
        self, obj: pb.PriorityLevelConfiguration, old: pb.PriorityLevelConfiguration
    ) -> list[Cause]:
        return super().validate_status_update(obj, old) + conditions.validate(obj.status.conditions)


def _default_limited(limited: pb.LimitedPriorityLevelConfiguration) -> None:
    if not limited.HasField("nominalConcurrencyShares"):
        limited.nominalConcurrencyShares = 30
    limited.lendablePercent = limited.lendablePercent
    if limited.limitResponse.HasField("queuing"):
        queuing = limited.limitResponse.queuing
        queuing.handSize = queuing.handSize or 8
        queuing.queues = queuing.queues or 64
        queuing.queueLengthLimit = queuing.queueLengthLimit or 50


def _shares(
    field: str, part: pb.LimitedPriorityLevelConfiguration | pb.ExemptPriorityLevelConfiguration
) -> list[Cause]:
    complaints: list[Cause] = []
    if part.nominalConcurrencyShares < 0:
        complaints.append(
            causes.invalid(f"{field}.nominalConcurrencyShares", part.nominalConcurrencyShares, _NOT_NEGATIVE)
        )
    if not 0 <= part.lendablePercent <= 100:
        complaints.append(causes.invalid(f"{field}.lendablePercent", part.lendablePercent, _PERCENT))
    return complaints


def _limited(limited: pb.LimitedPriorityLevelConfiguration) -> list[Cause]:
    complaints = _shares("spec.limited", limited)
    if limited.borrowingLimitPercent < 0:
        why = f"if specified, {_NOT_NEGATIVE}"
        complaints.append(causes.invalid("spec.limited.borrowingLimitPercent", limited.borrowingLimitPercent, why))
    response, field = limited.limitResponse, "spec.limited.limitResponse"
    match response.type:
        case "Reject":
            if response.HasField("queuing"):
                why = "must be nil if limited.limitResponse.type is not Limited"
                complaints.append(causes.forbidden(f"{field}.queuing", why))
        case "Queue":
            if response.HasField("queuing"):
                complaints += _queuing(response.queuing, f"{field}.queuing")
            else:
                why = "must not be empty if limited.limitResponse.type is Limited"
                complaints.append(causes.required(f"{field}.queuing", why))
        case kind:
            complaints.append(causes.unsupported(f"{field}.type", kind, ("Queue", "Reject")))
    return complaints


def _queuing(queuing: pb.QueuingConfiguration, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    queues, hand = queuing.queues, queuing.handSize
    if queuing.queueLengthLimit <= 0:
        complaints.append(causes.invalid(f"{field}.queueLengthLimit", queuing.queueLengthLimit, _POSITIVE))
    if queues <= 0:
        complaints.append(causes.invalid(f"{field}.queues", queues, _POSITIVE))
    elif queues > MAX_QUEUES:
        complaints.append(causes.invalid(f"{field}.queues", queues, f"must not be greater than {MAX_QUEUES}"))
    if hand <= 0:
        complaints.append(causes.invalid(f"{field}.handSize", hand, _POSITIVE))
    elif hand > queues:
        complaints.append(causes.invalid(f"{field}.handSize", hand, f"should not be greater than queues ({queues})"))
    elif math.ceil(math.log2(queues) * hand) > MAX_HASH_BITS:
        why = (
            f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {MAX_HASH_BITS}"
        )
        complaints.append(causes.invalid(f"{field}.handSize", hand, why))
    return complaints


def _mandatory(name: str, spec: pb.PriorityLevelConfigurationSpec) -> list[Cause]:
    """Complain of a level that the server cannot do without and that is not as it has to be."""
    fixed = defaultobjects.MANDATORY_LEVELS.get(name)
    if fixed is None:
        return []
    compared, part = deep_copy(spec), ""
    if name == defaultobjects.EXEMPT:
        compared.exempt.CopyFrom(fixed.spec.exempt)
        part = " except the 'spec.exempt' field"
    if compared == fixed.spec:
        return []
    why = f"spec of '{name}'{part} must equal the fixed value"
    return [causes.invalid("spec", causes.Raw("flowcontrol.PriorityLevelConfigurationSpec{…}"), why)]
