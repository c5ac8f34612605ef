"""Volumes: what a pod gets that does not say, and what is refused, in upstream's words."""

from __future__ import annotations

import pytest

from kubelab.apimachinery.marks import stored
from tests.unit.apiserver.strategies.answers import RULES
from tests.unit.apiserver.strategies.test_storedfields import CONTAINER, pod

V = "spec.volumes[0]"
MODE = "must be a number between 0 and 0777 (octal), both inclusive"
CASES = {
    "configMap: {name: c, defaultMode: 01000}": [f"{V}.configMap.defaultMode: Invalid value: 512: {MODE}"],
    "configMap: {name: c, items: [{path: a}]}": [f"{V}.configMap.items[0].key: Required value"],
    "configMap: {name: c, items: [{key: a, path: /a}]}": [
        f'{V}.configMap.items[0].path: Invalid value: "/a": must be a relative path'
    ],
    "secret: {secretName: c, items: [{key: a, path: b/../../c, mode: 512}]}": [
        f"{V}.secret.items[0].path: Invalid value: \"b/../../c\": must not contain '..'",
        f"{V}.secret.items[0].mode: Invalid value: 512: {MODE}",
    ],
    "configMap: {name: c, items: [{key: a, path: ..data}]}": [
        f"{V}.configMap.items[0].path: Invalid value: \"..data\": must not start with '..'"
    ],
    "hostPath: {path: /x, type: Fifo}": [
        f'{V}.hostPath.type: Unsupported value: "Fifo": supported values: "", "BlockDevice", "CharDevice", '
        '"Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"'
    ],
    "emptyDir: {sizeLimit: -1}": [
        f"{V}.emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity"
    ],
    "downwardAPI: {items: [{path: a}]}": [
        f"{V}.downwardAPI.items[0]: Required value: one of fieldRef and resourceFieldRef is required"
    ],
    "downwardAPI: {items: [{path: a, fieldRef: {fieldPath: status.podIP}}]}": [
        f'{V}.downwardAPI.items[0].fieldRef.fieldPath: Unsupported value: "status.podIP": supported values: '
        '"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"'
    ],
    "downwardAPI: {items: [{path: a, resourceFieldRef: {resource: limits.cpu}}]}": [
        f"{V}.downwardAPI.items[0].resourceFieldRef.containerName: Required value"
    ],
    "projected: {sources: [{}]}": [f"{V}.projected.sources[0]: Required value: must specify a source"],
    "projected: {sources: [{secret: {name: s}, configMap: {name: c}}]}": [
        f"{V}.projected.sources[0].configMap: Forbidden: may not specify more than 1 volume type per source"
    ],
    "projected: {sources: [{serviceAccountToken: {expirationSeconds: 5}}]}": [
        f"{V}.projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: "
        "may not specify a duration less than 10 minutes",
        f"{V}.projected.sources[0].serviceAccountToken.path: Required value",
    ],
    "projected: {sources: [{serviceAccountToken: {path: a}}, {configMap: {name: c, items: [{key: k, path: a}]}}]}": [
        f'{V}.projected.sources[1]: Invalid value: "a": conflicting duplicate paths'
    ],
}


@pytest.mark.parametrize("source", CASES)
def test_a_source_is_refused_in_upstreams_words(source: str) -> None:
    made = pod(f"{CONTAINER}  volumes: [{{name: v, {source}}}]")
    assert [f"{cause.field}: {cause.message}" for cause in RULES["pods"].validate(made)] == CASES[source]


MOUNTS = {
    "subPath: /a": 'subPath: Invalid value: "/a": must be a relative path',
    "subPath: a/../../b": "subPath: Invalid value: \"a/../../b\": must not contain '..'",
    "subPath: a, subPathExpr: b": 'subPathExpr: Invalid value: "b": subPathExpr and subPath are mutually exclusive',
}


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_part_of_a_volume_lies_in_it(mount: str) -> None:
    made = pod(f"{CONTAINER}    volumeMounts: [{{name: v, mountPath: /a, {mount}}}]\n  volumes: [{{name: v}}]")
    [cause] = RULES["pods"].validate(made)
    assert f"{cause.field}: {cause.message}" == f"spec.containers[0].volumeMounts[0].{MOUNTS[mount]}"


def test_what_is_not_said_gets_upstreams_defaults() -> None:
    sources = (
        "configMap: {name: c}", "secret: {secretName: s}", "downwardAPI: {}", "hostPath: {path: /x}",
        "projected: {sources: [{serviceAccountToken: {path: t}}]}",
    )  # fmt: skip
    volumes = ", ".join(f"{{name: v{n}, {source}}}" for n, source in enumerate(sources))
    config, secret, downward, host, projected = (
        v.volumeSource for v in pod(f"{CONTAINER}  volumes: [{volumes}]").spec.volumes
    )
    modes = [config.configMap.defaultMode, secret.secret.defaultMode, downward.downwardAPI.defaultMode]
    assert [*modes, projected.projected.defaultMode] == [0o644] * 4
    assert host.hostPath.HasField("type")
    assert projected.projected.sources[0].serviceAccountToken.expirationSeconds == 3600


def test_only_what_is_not_mounted_is_warned_of() -> None:
    made = pod(
        f"{CONTAINER}    volumeMounts: [{{name: a, mountPath: /a, mountPropagation: None}}]\n"
        "  volumes: [{name: a}, {name: b, persistentVolumeClaim: {claimName: c}}, {name: c, configMap: {name: c}}]"
    )
    told = {text.partition(":")[0] for text in stored(made)}
    assert told == {"spec.containers[0].volumeMounts[0].mountPropagation", "spec.volumes[1].persistentVolumeClaim"}
