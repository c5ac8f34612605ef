"""Affinity, spread constraints and scheduling gates: what is refused, in upstream's words, and what is completed."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kubelab.apimachinery.manifest.decode import decode
from tests.unit.apiserver.strategies.answers import LABEL, QUALIFIED, RULES

SPEC = "  containers: [{name: c, image: a}]\n"
REQUIRED, PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
SELECTOR = "labelSelector: {matchLabels: {app: web}}"


def pod(spec: str) -> Any:
    (document,) = decode(
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: d, labels: {{app: web, rev: '2'}}}}\n"
        f"spec:\n{SPEC}  {spec}",
        "pod.yml",
    )
    RULES["pods"].default(document.obj)
    RULES["pods"].prepare_for_create(document.obj)
    return document.obj


def nodes(term: str) -> str:
    return f"affinity: {{nodeAffinity: {{{REQUIRED}: {{nodeSelectorTerms: [{term}]}}}}}}"


def others(term: str, kind: str = "podAffinity") -> str:
    return f"affinity: {{{kind}: {{{REQUIRED}: [{{{term}}}]}}}}"


def spreading(*constraints: str) -> str:
    return f"topologySpreadConstraints: [{', '.join(f'{{{one}}}' for one in constraints)}]"


TERM = f"spec.affinity.podAffinity.{REQUIRED}[0]"
FIELDS = f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchFields[0]"
CONSTRAINT = "spec.topologySpreadConstraints[0]"
EVEN = f"maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, {SELECTOR}"
CASES: list[tuple[str, list[str]]] = [
    (nodes("{matchFields: [{key: metadata.name, operator: In, values: [node-1]}]}"), []),
    (
        nodes("{matchFields: [{key: spec.x, operator: Exists}]}"),
        [
            f'{FIELDS}.operator: Invalid value: "Exists": not a valid selector operator',
            f'{FIELDS}.key: Invalid value: "spec.x": not a valid field selector key',
        ],
    ),
    (
        nodes("{matchFields: [{key: metadata.name, operator: In, values: [a, b]}]}"),
        [
            f"{FIELDS}.values: Required value: must be only one value when `operator` is 'In' or 'NotIn' for node "
            "field selector"
        ],
    ),
    (others(f"topologyKey: zone, {SELECTOR}"), []),
    (others(f"topologyKey: zone, {SELECTOR}", "podAntiAffinity"), []),
    (
        others(SELECTOR),
        [
            f"{TERM}.topologyKey: Required value: can not be empty",
            f'{TERM}.topologyKey: Invalid value: "": name part must be non-empty',
            f'{TERM}.topologyKey: Invalid value: "": {QUALIFIED}',
        ],
    ),
    (
        others(f"topologyKey: zone, namespaces: [A], {SELECTOR}"),
        [f'{TERM}.namespace: Invalid value: "A": {LABEL}'],
    ),
    (
        others("topologyKey: zone, labelSelector: {matchExpressions: [{key: app, operator: In}]}"),
        [
            f"{TERM}.labelSelector.matchExpressions[0].values: Required value: must be specified when `operator` is "
            "'In' or 'NotIn'"
        ],
    ),
    (
        others("topologyKey: zone, matchLabelKeys: [rev]"),
        [f"{TERM}.matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"],
    ),
    (
        others(f"topologyKey: zone, matchLabelKeys: [app], {SELECTOR}"),
        [f'{TERM}[0]: Invalid value: "app": exists in both matchLabelKeys and labelSelector'],
    ),
    (
        others(f"topologyKey: zone, matchLabelKeys: [rev], mismatchLabelKeys: [rev], {SELECTOR}"),
        [
            f'{TERM}[0]: Invalid value: "rev": exists in both matchLabelKeys and labelSelector',
            f'{TERM}.matchLabelKeys[0]: Invalid value: "rev": exists in both matchLabelKeys and mismatchLabelKeys',
        ],
    ),
    (
        f"affinity: {{podAntiAffinity: {{{PREFERRED}: [{{weight: 101, podAffinityTerm: {{topologyKey: z}}}}]}}}}",
        [
            f"spec.affinity.podAntiAffinity.{PREFERRED}[0].weight: Invalid value: 101: must be in the range 1-100",
        ],
    ),
    (spreading(EVEN, "maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway"), []),
    (
        spreading("maxSkew: 0, whenUnsatisfiable: Never"),
        [
            f"{CONSTRAINT}.maxSkew: Invalid value: 0: must be greater than zero",
            f"{CONSTRAINT}.topologyKey: Required value: can not be empty",
            f'{CONSTRAINT}.whenUnsatisfiable: Unsupported value: "Never": supported values: "DoNotSchedule", '
            '"ScheduleAnyway"',
        ],
    ),
    (
        spreading(EVEN, EVEN),
        [f'{CONSTRAINT}.{{topologyKey, whenUnsatisfiable}}: Duplicate value: "{{zone, DoNotSchedule}}"'],
    ),
    (
        spreading("maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, minDomains: 0"),
        [
            f"{CONSTRAINT}.minDomains: Invalid value: 0: must be greater than zero",
            f"{CONSTRAINT}.minDomains: Invalid value: 0: can only use minDomains if whenUnsatisfiable=DoNotSchedule, "
            "not ScheduleAnyway",
        ],
    ),
    (
        spreading(f"{EVEN}, nodeAffinityPolicy: Maybe, nodeTaintsPolicy: Honor, matchLabelKeys: [app]"),
        [
            f'{CONSTRAINT}.nodeAffinityPolicy: Unsupported value: "Maybe": supported values: "Honor", "Ignore"',
            f'{CONSTRAINT}.matchLabelKeys[0]: Invalid value: "app": exists in both matchLabelKeys and labelSelector',
        ],
    ),
    ("schedulingGates: [{name: example.com/a}]", []),
    (
        "schedulingGates: [{name: a}, {name: a}]",
        ['spec.schedulingGates[1]: Duplicate value: "a"'],
    ),
    (
        "schedulingGates: [{name: a}]\n  nodeName: node-1",
        ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
    ),
]


@pytest.mark.parametrize(("spec", "complaints"), CASES)
def test_a_pod_is_refused_in_upstreams_words(spec: str, complaints: list[str]) -> None:
    assert [f"{cause.field}: {cause.message}" for cause in RULES["pods"].validate(pod(spec))] == complaints


def test_label_keys_become_requirements() -> None:
    made = pod(others(f"topologyKey: zone, matchLabelKeys: [rev, none], mismatchLabelKeys: [app], {SELECTOR}"))
    (term,) = made.spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution
    expressions = [(e.key, e.operator, list(e.values)) for e in term.labelSelector.matchExpressions]
    assert expressions == [("rev", "In", ["2"]), ("app", "NotIn", ["web"])]


GATED = "schedulingGates: [{name: a}, {name: b}]\n  nodeSelector: {disk: ssd}\n  " + nodes(
    "{matchExpressions: [{key: disk, operator: Exists}]}"
)


def test_a_gated_pod_says_so() -> None:
    (condition,) = pod(GATED).status.conditions
    assert (condition.type, condition.status, condition.reason) == ("PodScheduled", "False", "SchedulingGated")
    assert condition.message == "Scheduling is blocked due to non-empty scheduling gates"


def changed(what: str) -> tuple[Any, Any]:
    old = pod(GATED)
    old.metadata.resourceVersion = "1"
    new = copy.deepcopy(old)
    required = new.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
    match what:
        case "a gate less":
            del new.spec.schedulingGates[0]
        case "another gate":
            new.spec.schedulingGates.add(name="c")
        case "narrower":
            new.spec.nodeSelector["zone"] = "a"
            required.nodeSelectorTerms[0].matchExpressions.add(key="zone", operator="Exists")
        case "another selector":
            new.spec.nodeSelector["disk"] = "hdd"
        case "a term more":
            required.nodeSelectorTerms.add().matchExpressions.add(key="zone", operator="Exists")
        case "another term":
            required.nodeSelectorTerms[0].matchExpressions[0].key = "zone"
        case _:
            new.spec.nodeSelector["zone"] = "a"
            del old.spec.schedulingGates[:]
            del new.spec.schedulingGates[:]
    return new, old


TERMS = f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms"


@pytest.mark.parametrize(
    ("what", "complaints"),
    [
        ("a gate less", []),
        ("narrower", []),
        (
            "another gate",
            ["spec.schedulingGates[2].name: Forbidden: only deletion is allowed, but found new scheduling gate 'c'"],
        ),
        (
            "another selector",
            [
                'spec.nodeSelector: Invalid value: map[string]string{"disk":"hdd"}: only additions to '
                "spec.nodeSelector are allowed (no mutations or deletions)"
            ],
        ),
        (
            "a term more",
            [
                f"{TERMS}: Invalid value: []core.NodeSelectorTerm{{…}}: no additions/deletions to non-empty "
                "NodeSelectorTerms list are allowed"
            ],
        ),
        (
            "another term",
            [
                f"{TERMS}[0]: Invalid value: core.NodeSelectorTerm{{…}}: only additions are allowed (no mutations or "
                "deletions)"
            ],
        ),
    ],
)
def test_how_a_gated_pod_may_change(what: str, complaints: list[str]) -> None:
    new, old = changed(what)
    assert [f"{cause.field}: {cause.message}" for cause in RULES["pods"].validate_update(new, old)] == complaints


def test_a_pod_without_gates_keeps_its_placement() -> None:
    new, old = changed("no gates")
    ((field, message),) = [(cause.field, cause.message) for cause in RULES["pods"].validate_update(new, old)]
    assert field == "spec"
    assert message.startswith("Forbidden: pod updates may not change fields other than")
