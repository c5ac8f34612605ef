"""Answers in every form that clients accept: Table, PartialObjectMetadata, protobuf, YAML, for people, compressed."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
import yaml

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.wireformat import delimited
from kubelab.storage.v1 import storage_pb2
from tests.integration.httpfront.test_verbs import MAPS, PODS, config_map, pod
from tests.support.https import HTTPClient

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
KUBECTL = f"{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
PROTOBUF = "application/vnd.kubernetes.protobuf"


def opened(body: bytes) -> storage_pb2.Unknown:
    """Read upstream's envelope."""
    assert body.startswith(b"k8s\0")
    return storage_pb2.Unknown.FromString(body[4:])


async def test_a_table_as_kubectl_wants_it(http: HTTPClient) -> None:
    await http.send("POST", PODS, pod("a", app="x"))
    listed = await http.send("GET", f"{PODS}?limit=500", accept=KUBECTL)
    table = listed.json
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert table["metadata"]["resourceVersion"]
    assert [column["name"] for column in table["columnDefinitions"][:3]] == ["Name", "Ready", "Status"]
    assert table["columnDefinitions"][0]["format"] == "name"
    (row,) = table["rows"]
    assert row["cells"][:3] == ["a", "0/1", "Pending"]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert row["object"]["metadata"]["labels"] == {"app": "x"}
    one = (await http.send("GET", f"{PODS}/a", accept=KUBECTL)).json
    assert [r["cells"][0] for r in one["rows"]] == ["a"]
    assert one["metadata"]["resourceVersion"] == row["object"]["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("include", "kind"), [("None", None), ("Metadata", "PartialObjectMetadata"), ("Object", "Pod"), ("", "Partial")]
)
async def test_what_the_rows_of_a_table_carry(http: HTTPClient, include: str, kind: str | None) -> None:
    await http.send("POST", PODS, pod("a"))
    table = (await http.send("GET", f"{PODS}?includeObject={include}", accept=TABLE)).json
    obj = table["rows"][0].get("object")
    assert (obj is None) if kind is None else obj["kind"].startswith(kind)


async def test_an_older_table(http: HTTPClient) -> None:
    old = "application/json;as=Table;v=v1beta1;g=meta.k8s.io"
    assert (await http.send("GET", PODS, accept=old)).json["apiVersion"] == "meta.k8s.io/v1beta1"


async def test_the_table_of_a_scale(http: HTTPClient) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]}
    controller = {"metadata": {"name": "r"}, "spec": {"replicas": 2, "selector": {"a": "b"}, "template": template}}
    path = "/api/v1/namespaces/default/replicationcontrollers"
    await http.send("POST", path, controller)
    table = (await http.send("GET", f"{path}/r/scale", accept=TABLE)).json
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert table["rows"][0]["cells"][:3] == ["r", "2", "0"]


async def test_only_the_metadata(http: HTTPClient) -> None:
    made = (await http.send("POST", MAPS, config_map("a", x="1"))).json
    one = (await http.send("GET", f"{MAPS}/a", accept=PARTIAL)).json
    assert one == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": made["metadata"],
    }
    listed = (await http.send("GET", MAPS, accept=PARTIAL_LIST)).json
    assert listed["kind"] == "PartialObjectMetadataList"
    assert listed["items"] == [one]
    refused = await http.send("GET", f"{MAPS}/a", accept=PARTIAL_LIST)
    assert refused.code == 406
    encoded = opened(
        (await http.send("GET", MAPS, accept=PARTIAL_LIST.replace("json", "vnd.kubernetes.protobuf"))).body
    )
    assert encoded.typeMeta.kind == "PartialObjectMetadataList"
    assert encoded.raw.endswith(
        delimited(2, delimited(1, core_pb2.ConfigMap.FromString(await _raw(http)).metadata.SerializeToString()))
    )


async def _raw(http: HTTPClient) -> bytes:
    return opened((await http.send("GET", f"{MAPS}/a", accept=PROTOBUF)).body).raw


async def test_protobuf_both_ways(http: HTTPClient) -> None:
    wanted = core_pb2.ConfigMap(metadata=meta_pb2.ObjectMeta(name="a"), data={"x": "1"})
    meta = storage_pb2.TypeMeta(apiVersion="v1", kind="ConfigMap")
    body = b"k8s\0" + storage_pb2.Unknown(typeMeta=meta, raw=wanted.SerializeToString()).SerializeToString()
    made = await http.send("POST", MAPS, body, accept=f"{PROTOBUF},application/json", content=PROTOBUF)
    assert (made.code, made.headers["Content-Type"]) == (201, PROTOBUF)
    answer = opened(made.body)
    assert (answer.typeMeta.apiVersion, answer.typeMeta.kind) == ("v1", "ConfigMap")
    obj = core_pb2.ConfigMap.FromString(answer.raw)
    assert (obj.metadata.name, obj.metadata.namespace, obj.data["x"]) == ("a", "default", "1")
    assert obj.metadata.resourceVersion == (await http.send("GET", f"{MAPS}/a")).json["metadata"]["resourceVersion"]
    listed = opened((await http.send("GET", MAPS, accept=PROTOBUF)).body)
    assert listed.typeMeta.kind == "ConfigMapList"
    assert [item.metadata.name for item in core_pb2.ConfigMapList.FromString(listed.raw).items] == ["a"]
    options = meta_pb2.DeleteOptions(propagationPolicy="Background")
    meta = storage_pb2.TypeMeta(apiVersion="v1", kind="DeleteOptions")
    body = b"k8s\0" + storage_pb2.Unknown(typeMeta=meta, raw=options.SerializeToString()).SerializeToString()
    gone = await http.send("DELETE", f"{MAPS}/a", body, content=PROTOBUF, accept=PROTOBUF)
    assert opened(gone.body).typeMeta.kind == "Status"
    missing = await http.send("GET", f"{MAPS}/a", accept=PROTOBUF)
    assert missing.code == 404
    status = meta_pb2.Status.FromString(opened(missing.body).raw)
    assert status.message == 'configmaps "a" not found'


async def test_yaml_both_ways(http: HTTPClient) -> None:
    body = "metadata: {name: a}\ndata:\n  x: 'on'\n"
    made = await http.send("POST", MAPS, body, accept="application/yaml", content="application/yaml")
    assert (made.code, made.headers["Content-Type"]) == (201, "application/yaml")
    assert yaml.safe_load(made.text)["data"] == {"x": "on"}
    listed: Any = yaml.safe_load((await http.send("GET", MAPS, accept="application/yaml")).text)
    assert listed["kind"] == "ConfigMapList"


async def test_for_people(http: HTTPClient) -> None:
    await http.send("POST", MAPS, config_map("a"))
    assert b'\n  "kind": "ConfigMap"' in (await http.send("GET", f"{MAPS}/a?pretty=true")).body
    assert b"\n  " in (await http.send("GET", f"{MAPS}/a", User_Agent="curl/8")).body
    assert b"\n  " not in (await http.send("GET", f"{MAPS}/a?pretty=0", User_Agent="curl/8")).body
    assert b"\n  " not in (await http.send("GET", f"{MAPS}/a")).body


async def test_a_long_answer_is_compressed_for_those_who_can_read_it(http: HTTPClient) -> None:
    for name in ("a", "b"):
        await http.send("POST", MAPS, config_map(name, x="y" * 100_000))
    plain = await http.send("GET", MAPS, Accept_Encoding="identity")
    assert "Content-Encoding" not in plain.headers
    packed = await http.send("GET", MAPS, Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.body == plain.body
    assert len(gzip.compress(plain.body)) < len(plain.body)
    short = await http.send("GET", f"{MAPS}?limit=1", Accept_Encoding="gzip")
    assert "Content-Encoding" not in short.headers


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json, */*", "application/json"),
        ("text/html, application/yaml;q=0.5", "application/yaml"),
        ("application/json;q=0.1, application/yaml", "application/yaml"),
        (f"{PROTOBUF},application/json", PROTOBUF),
        ("text/html", ""),
        ("application/cbor", ""),
        ("application/json;as=Foo;v=v1;g=meta.k8s.io", ""),
        ("application/json;as=Table;v=v1;g=example.com,application/json", "application/json"),
    ],
)
async def test_what_is_acceptable(http: HTTPClient, accept: str, answered: str) -> None:
    answer = await http.send("GET", MAPS, accept=accept)
    if answered:
        assert (answer.code, answer.headers["Content-Type"]) == (200, answered)
    else:
        assert answer.code == 406
        assert answer.json["message"] == (
            "only the following media types are accepted: application/json, application/yaml, "
            "application/vnd.kubernetes.protobuf"
        )
