"""Requests with what upstream's api-server 1.20.2 answered, sent to ours: codes, reasons, messages and details.

They are sent in their order, for some build on those before them. What ours answers otherwise is named here, with why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.https import Answer, HTTPClient

ANSWERS = Path(__file__).parent / "answers.jsonl"
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
FIXTURES: list[tuple[str, dict[str, Any]]] = [
    ("/api/v1/namespaces", {"metadata": {"name": "corpus"}}),
    ("/api/v1/namespaces", {"metadata": {"name": "raw"}}),
    *(
        (
            "/api/v1/namespaces/raw/pods",
            {"metadata": {"name": f"sel{n}", "labels": {"app": "x", "tier": str(n)}}, "spec": TEMPLATE["spec"]},
        )
        for n in range(3)
    ),
    ("/api/v1/namespaces/raw/configmaps", {"metadata": {"name": "pc"}, "data": {"a": "1", "b": "2"}}),
    (
        "/apis/apps/v1/namespaces/raw/deployments",
        {"metadata": {"name": "pd"}, "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE}},
    ),
    (
        "/api/v1/namespaces/raw/replicationcontrollers",
        {"metadata": {"name": "prc"}, "spec": {"selector": {"app": "a"}, "template": TEMPLATE}},
    ),
]

# 1.20's decoder shows where in the text it stopped; 1.32's names the field, as Go's own decoder does.
DECODER = {
    "post-pods--label-value-int": (
        'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field '
        "ObjectMeta.metadata.labels of type string"
    ),
    "post-pods--port-string": (
        'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field '
        "ContainerPort.spec.containers.ports.containerPort of type int32"
    ),
    "post-pods--resources-bad-quantity": (
        'Pod in version "v1" cannot be handled as a Pod: quantities must match the regular expression '
        "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    ),
    "post-pods--bool-as-string": (
        'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field '
        "PodSpec.spec.hostNetwork of type bool"
    ),
    "post-pods--int-as-string": (
        'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field '
        "PodSpec.spec.terminationGracePeriodSeconds of type int64"
    ),
    "post-pods--int-overflow": (
        'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number 99999999999 into Go struct '
        "field PodSpec.spec.priority of type int32"
    ),
    "post-pods--yaml-Y-is-a-bool": None,
    "post-rcs--replicas-string": (
        'ReplicationController in version "v1" cannot be handled as a ReplicationController: json: cannot unmarshal '
        "string into Go struct field ReplicationControllerSpec.spec.replicas of type int32"
    ),
    "post-rcs--selector-matchlabels": (
        'ReplicationController in version "v1" cannot be handled as a ReplicationController: json: cannot unmarshal '
        "object into Go struct field ReplicationControllerSpec.spec.selector of type string"
    ),
    "post-configmaps--value-int": (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct '
        "field ConfigMap.data of type string"
    ),
    "post-configmaps--binary-bad-base64": (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: illegal base64 data at input byte 0'
    ),
    "post-configmaps--data-list": (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal array into Go struct '
        "field ConfigMap.data of type map[string]string"
    ),
    "post-secrets--bad-base64": (
        'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 0'
    ),
    "post-others--event-no-object": (
        'Event in version "v1" cannot be handled as a Event: json: cannot unmarshal bool into Go struct field '
        "Event.message of type string"
    ),
    "post-others--lease-time-bad": (
        'Lease in version "v1" cannot be handled as a Lease: parsing time "yesterday" as '
        '"2006-01-02T15:04:05.000000Z07:00": cannot parse "yesterday" as "2006"'
    ),
}
# What 1.32 answers is something else than what 1.20 did; the strategies' own tests have its words.
CHANGED_SINCE = {
    "post-pods--resourceVersion-set",  # 500 then
    "post-pods--port-name-digits",
    "post-pods--env-name-bad",  # names of variables are any printable ASCII now
    "post-pods--env-name-digit",
    "post-pods--envFrom-prefix-bad",
    "post-pods--terminationMessagePolicy-bad",
    "post-pods--hostAliases-bad",
    "post-pods--ephemeralContainers-on-create",
    "post-services--clusterip-out-of-range",
    "post-services--externalIPs-loopback",
    "post-services--externalTrafficPolicy-on-clusterip",
    "post-namespaces--name-64",  # the label with the name is too long as well
    "post-secrets--basic-auth-empty",  # "data[%s][username]" then
    "post-secrets--ssh-auth-missing",
    "post-deployments--apiVersion-extensions",  # is not registered any more
    "post-others--node-podcidr-bad",
    "select--lt-nonint",
    "select--bad-key",
    "select--rv-bad",  # 500 then
    "select--svc-field",
    "patch--merge-broken-json",  # 500 then
    "patch--merge-uid-conflict",
    "patch--content-type-missing",
    "patch--field-manager-too-long",
}
# Go's own notation of a struct, with addresses of memory in it.
STRUCTS = {
    "post-pods--ownerref-two-controllers",
    "post-pods--resources-extended-fraction",
    "post-pods--securityContext-privileged-noescalation",
    "post-pods--initContainer-with-lifecycle",
    "post-pods--initContainer-with-readiness",
}
# What is true here and was not there: names, addresses, what the node can do.
ELSEWHERE = {
    "post-services--clusterip-taken",  # another range of addresses
    "post-rcs--replicas-zero",  # the one before is about to go, since no garbage collector runs in this test
    "post-pods--shareProcess-with-hostPID",  # refused for hostPID, which kubelab does not have
    "select--rv-future",  # names the revision
    "patch--json-copy-move",  # asks for what an earlier request made there
    "post-pods--duplicate-field",  # YAML with a key twice is refused; kubectl and the client libraries send JSON
    "post-bodies--not-yaml",  # the YAML library counts lines otherwise
    "post-deployments--selector-empty",  # a selector without anything counts as none
}
OTHERWISE = {*DECODER, *CHANGED_SINCE, *STRUCTS, *ELSEWHERE}


def told(answer: Answer) -> dict[str, Any]:
    """What of a failure is compared."""
    return {key: answer.json[key] for key in ("reason", "message", "details") if key in answer.json}


async def test_upstreams_answers(http: HTTPClient) -> None:
    for path, body in FIXTURES:
        made = await http.send("POST", path, body)
        assert made.code == 201, made.text
    different: list[str] = []
    for line in ANSWERS.read_text().splitlines():
        case = json.loads(line)
        headers = dict(case.get("headers", {}))
        accept, content = headers.pop("Accept", ""), headers.pop("Content-Type", "")
        answer = await http.send(case["method"], case["path"], case.get("body"), accept=accept, content=content)
        assert answer.code < 500 or answer.code == case["code"] or case["case"] == "select--rv-future", case
        if answer.code == 201 and case["case"].startswith("post-"):
            name = answer.json["metadata"]["name"]
            await http.send("DELETE", f"{case['path']}/{name}?gracePeriodSeconds=0")
        if case["case"] in DECODER:
            words = DECODER[case["case"]]
            assert answer.code == 400
            assert words is None or answer.json["message"] == words, case
            continue
        same = answer.code == case["code"]
        if same and "status" in case:
            same = told(answer) == case["status"]
        elif same and "kind" in case:
            same = answer.json["kind"] == case["kind"]
        if not same and case["case"] not in OTHERWISE:
            different.append(f"{case['case']}: {answer.code} {answer.text[:400]}\n   upstream: {case}")
    assert not different, "\n".join(different)
