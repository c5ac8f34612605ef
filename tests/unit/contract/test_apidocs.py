"""The page of kinds and their fields."""

from __future__ import annotations

from pathlib import Path

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import apidocs
from kubelab.apimachinery.scheme import PODS

PAGE = Path(__file__).parents[3] / "docs/api.md"


def test_the_page_is_what_the_contract_says() -> None:
    assert PAGE.read_text() == apidocs.page(), "run make api"


def test_a_field_is_honoured_stored_or_refused() -> None:
    pod = next(r for r in apidocs.of_resource(PODS) if r.path == "spec.containers[*]")
    assert "image" in pod.honoured
    assert "livenessProbe" in pod.stored
    assert next(r for r in apidocs.of_resource(PODS) if r.path == "spec").refused[0][0] == "hostPID"


def test_a_kind_of_pods_refers_to_the_pod() -> None:
    page = apidocs.page()
    controllers = page[page.index("## ReplicationController (v1)") :].partition("\n## ")[0]
    assert "In `spec.template`, what a Pod has." in controllers
    assert "spec.template.spec" not in controllers
    assert "short `rc`; in a namespace; verbs create," in controllers


def test_an_inlined_message_stands_in_its_place() -> None:
    parts = {row.path: row for row in apidocs.fields(core_pb2.Pod.DESCRIPTOR)}
    assert not any("probeHandler" in path or "volumeSource" in path for path in parts)
