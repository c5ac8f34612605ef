"""The flow: records become arrows, arrows become the diagram. Golden: ``golden/flow.txt``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kubelab.cli.flowsteps import steps_of
from kubelab.cli.flowtext import draw
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb

GOLDEN = Path(__file__).parent / "golden"
API, KUBELET = "api-server@cp-1", "kubelet@node-2"
START = 1_767_225_600_000_000_000


def record(at: float, took: float, process: str, caller: str, verb: str, **more: str | float) -> pb.AuditRecord:
    """One record; times in milliseconds."""
    store = float(more.pop("store", 0))
    texts: dict[str, Any] = {"code": "OK", **{key: str(value) for key, value in more.items()}}
    return pb.AuditRecord(
        started_unix_nano=START + int(at * 1e6),
        duration_nano=int(took * 1e6),
        store_nano=int(store * 1e6),
        process=process,
        caller=caller,
        verb=verb,
        resource="pods",
        namespace="default",
        name="web",
        uid="u1",
        **texts,
    )


def cri(at: float, took: float, verb: str, detail: str = "", cause: str = "813", code: str = "OK") -> pb.AuditRecord:
    return record(at, took, KUBELET, KUBELET, verb, detail=detail, cause=cause, code=code)


RECORDS = [
    record(0, 4.2, API, "", "create", user="kubernetes-admin", claimed="kctl", resource_version="812", store=2.1),
    record(
        9.5,
        3.1,
        API,
        "scheduler@cp-1",
        "create",
        subresource="binding",
        detail="node-2",
        resource_version="813",
        cause="812",
        store=1.9,
    ),
    record(11, 0.4, API, "", "get", user="kubernetes-admin", claimed="kctl"),
    cri(15.2, 21.0, "RunPodSandbox"),
    cri(36.4, 0.3, "ImageStatus", "python"),
    cri(37.0, 4.4, "CreateContainer", "web"),
    cri(41.5, 9.0, "StartContainer", "web"),
    record(55.0, 2.7, API, KUBELET, "update", subresource="status", resource_version="814", cause="813", store=1.5),
    cri(70.0, 1.0, "StartContainer", "side", code="UNKNOWN"),
]


def test_the_diagram_of_a_pod() -> None:
    assert draw("default/web", steps_of(RECORDS)) + "\n" == (GOLDEN / "flow.txt").read_text()


def test_the_order_of_the_records_does_not_matter() -> None:
    assert steps_of(reversed(RECORDS)) == steps_of(RECORDS)


def test_reads_are_shown_on_request() -> None:
    def whats(everything: bool) -> list[str]:
        return [step.what for step in steps_of(RECORDS, everything=everything)]

    assert "get pod web" not in whats(False)
    assert {"get pod web", "ImageStatus python"} <= set(whats(True))


def test_a_watch_event_is_shown_once_and_only_when_a_record_proves_it() -> None:
    told = [(step.source, step.target, step.revision) for step in steps_of(RECORDS) if step.what == "watch event"]
    assert told == [(API, "scheduler@cp-1", "812"), (API, KUBELET, "813")]
    unknown = [cri(1, 1, "RunPodSandbox", cause="7")]
    assert [step.what for step in steps_of(unknown)] == ["RunPodSandbox"]


def test_steps_for_programs_leave_empty_fields_out() -> None:
    first = steps_of(RECORDS)[0].as_dict()
    assert first == {
        "at": 0.0,
        "took": 4.2,
        "source": "kubernetes-admin",
        "target": API,
        "what": "create pod web",
        "code": "OK",
        "depth": 0,
        "claimed": "kctl",
    }


def test_an_update_that_changes_nothing_only_reads() -> None:
    """It answers with the revision that is there; the api-server has looked into etcd for it."""
    update = {"subresource": "status", "resource_version": "814", "cause": "813"}
    twice = [
        record(0, 2.7, API, KUBELET, "update", **update, store=1.5),
        record(5, 1.2, API, KUBELET, "update", **update, store=0.4),
        record(9, 0.3, API, KUBELET, "update", **update),
    ]
    steps = [(step.what, step.revision) for step in steps_of(twice) if step.depth]
    assert steps == [("write", "814"), ("read", "814")]


def test_a_caller_is_shown_by_its_certificate_and_what_it_says_beside_it() -> None:
    liar = record(0, 1, API, "kubelet@node-1", "update", claimed="scheduler@cp-1", cause="812")
    honest = record(1, 1, API, "scheduler@cp-1", "update", cause="812")
    stranger = record(2, 1, API, "", "create", claimed="kubelet@node-1")
    agent = "kubectl/v1.35.0 (linux/amd64) kubernetes/1234567"
    person = record(3, 1, API, "", "create", user="kubernetes-admin", claimed=agent)
    steps = steps_of([liar, honest, stranger, person])
    assert [step.sender for step in steps] == [
        "kubelet@node-1 (says scheduler@cp-1)",
        "scheduler@cp-1",
        "(unknown) (says kubelet@node-1)",
        "kubernetes-admin (says kubectl/v1.35.0)",
    ]
    assert steps[-1].as_dict()["claimed"] == agent


def test_no_records_no_steps() -> None:
    assert steps_of([]) == []
