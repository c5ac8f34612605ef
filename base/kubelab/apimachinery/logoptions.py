"""Validate the options of a log request, in the api-server and the kubelet alike (upstream: ValidatePodLogOptions)."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.manifest import jsonmapping

_POSITIVE = "must be greater than 0"
_NOT_NEGATIVE = "must be greater than or equal to 0"
_ONE_OF_TWO = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"


def validate(options: core_pb2.PodLogOptions) -> list[Cause]:
    """All complaints, in upstream's words and order."""
    causes: list[Cause] = []
    if options.HasField("tailLines") and options.tailLines < 0:
        causes.append(_invalid("tailLines", options.tailLines, _NOT_NEGATIVE))
    if options.HasField("limitBytes") and options.limitBytes < 1:
        causes.append(_invalid("limitBytes", options.limitBytes, _POSITIVE))
    if options.HasField("sinceSeconds"):
        if options.HasField("sinceTime"):
            causes.append(Cause("", _ONE_OF_TWO, "FieldValueForbidden"))
        elif options.sinceSeconds < 1:
            causes.append(_invalid("sinceSeconds", options.sinceSeconds, _POSITIVE))
    time = options.sinceTime
    if not jsonmapping.is_time(time.seconds, time.nanos):
        causes.append(Cause("sinceTime", f"Invalid value: {time.seconds}s {time.nanos}ns: {jsonmapping.OUT_OF_RANGE}"))
    return causes


def _invalid(field: str, value: int, message: str) -> Cause:
    return Cause(field, f"Invalid value: {value}: {message}")
