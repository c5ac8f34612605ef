"""Creates that were sent to Kubernetes' own api-server (1.20), and whether the rules here answer alike.

``recorded.jsonl`` has one request a line: its manifest, and the message and causes (reason, field, message) of a
refusal; none where it was accepted. What differs is listed with its reason, and fails as soon as it no longer does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from kubelab.apimachinery import errors
from kubelab.apimachinery.manifest.decode import decode
from kubelab.apimachinery.manifest.diagnostics import ManifestError
from tests.unit.apiserver.strategies.answers import RULES, admit

RECORDED: dict[str, dict[str, Any]] = {
    record["case"]: record
    for record in map(json.loads, Path(__file__).with_name("recorded.jsonl").read_text().splitlines())
}
NEWER = "Kubernetes 1.32 has other words, or another rule"
ADDRESS = "upstream prints a pointer's address or the inside of a Go struct"
ELSEWHERE = "the registry decides it, not the strategy"
STRICT = "kctl refuses what is unknown or given twice, as fieldValidation Strict does"
DIFFERENT: dict[str, str] = {
    "pods--generateName": ELSEWHERE,
    "services--nodeport-out-of-range": ELSEWHERE,
    "services--clusterip-out-of-range": ELSEWHERE,
    "services--clusterip-taken": ELSEWHERE,
    "namespaces--namespaced-meta": ELSEWHERE,
    "pods--ownerref-two-controllers": ADDRESS,
    "pods--resources-extended-fraction": ADDRESS,
    "pods--securityContext-privileged-noescalation": ADDRESS,
    "pods--port-name-digits": NEWER,
    "pods--env-name-bad": NEWER,
    "pods--env-name-digit": NEWER,
    "pods--envFrom-prefix-bad": NEWER,
    "pods--hostAliases-bad": NEWER,
    "services--externalIPs-loopback": NEWER,
    "services--externalTrafficPolicy-on-clusterip": NEWER,
    "namespaces--name-64": NEWER,
    "secrets--basic-auth-empty": NEWER,
    "secrets--ssh-auth-missing": NEWER,
    "others--node-podcidr-bad": NEWER,
    "pods--unknown-field-spec": STRICT,
    "pods--unknown-field-container": STRICT,
    "pods--field-case-wrong": STRICT,
    "pods--duplicate-field": STRICT,
    "pods--initContainer-with-lifecycle": ADDRESS,
    "pods--initContainer-with-readiness": ADDRESS,
    "pods--ephemeralContainers-on-create": NEWER,
    "pods--shareProcess-with-hostPID": "kubelab refuses hostPID altogether",
}


def answer(manifest: str) -> tuple[str, list[list[str]]]:
    """Give the message and the causes with which a new object is refused; neither when it is accepted."""
    try:
        (document,) = decode(manifest, "manifest")
    except ManifestError as err:
        return str(err), []
    obj, resource = cast(Any, document.obj), document.resource
    if resource.namespaced:
        obj.metadata.namespace = "corpus"
    rules = RULES[resource.plural]
    rules.default(obj)
    admit(obj, resource)
    rules.prepare_for_create(obj)
    found = rules.validate(obj)
    if not found:
        return "", []
    refused = errors.invalid(resource.kind, obj.metadata.name, found, resource.group)
    return refused.message, [[cause.reason, cause.field, cause.message] for cause in refused.causes]


@pytest.mark.parametrize("case", RECORDED)
def test_the_answer_is_the_recorded_one(case: str) -> None:
    record = RECORDED[case]
    recorded = record["message"], record["causes"]
    if case in DIFFERENT:
        assert answer(record["manifest"]) != recorded, f"{case} agrees now: take it out of DIFFERENT"
    else:
        assert answer(record["manifest"]) == recorded


def test_every_difference_is_of_a_recorded_request() -> None:
    assert set(DIFFERENT) <= set(RECORDED)
