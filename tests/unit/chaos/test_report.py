"""The page of a journal: all that matters is on it, nothing comes from elsewhere, nothing is taken for markup."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from kubelab.chaos import report
from kubelab.chaos.journal import outcome_of, reason, summary, verdict_of
from kubelab.chaos.recording import Fault, Recording, ServiceRequest, Write
from kubelab.chaos.report import BadJournal

VOID = {"meta", "link", "br", "img", "input", "hr", "rect", "path", "polyline"}


class Page(HTMLParser):
    """What a browser would make of it: its text, its links, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.outside: list[str] = []
        self.labels: list[str] = []
        self.headings: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self.open.append(tag)
        self.labels += [given["aria-label"]] if "aria-label" in given else []
        if tag in ("script", "link", "img", "iframe") or "src" in given:
            self.outside.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings.append(data)
        if not self.open or self.open[-1] != "style":
            self.text += f" {data}"

    def has(self, *words: str) -> bool:
        told = " ".join(self.text.split())
        return all(word in told for word in words)


def recording() -> Recording:
    return Recording(
        cluster="test",
        namespace="experiment-1",
        began=1_700_000_000.0,
        seconds=10.0,
        processes=[(0, "etcd@cp-1", "Running"), (3, "etcd@cp-1", "Stopped"), (6, "etcd@cp-1", "Running")],
        leaders=[(0, "etcd", "etcd@cp-1"), (3, "etcd", ""), (6, "etcd", "etcd@cp-1")],
        nodes=[(0, "cp-1", "Ready")],
        pods=[(0, "hello-1", "cp-1", "Ready")],
        requests=[
            ServiceRequest(n / 10, 2.5, f"hello-{n % 3}", "" if n % 10 else "connection refused") for n in range(100)
        ],
        writes=[Write(n / 5, 4.0, f"write-{n}", "ServiceUnavailable" if 15 <= n < 30 else "") for n in range(50)],
        events=[(4.0, "Warning", "Unhealthy", "pod/hello-1", "<b>not markup</b>")],
        faults=[Fault("stop", "etcd@cp-1", 3, 6)],
        recovery=1.25,
    )


def probe(name: str, output: object, *, tolerance: object, met: bool | None = None) -> dict[str, Any]:
    activity = {"name": name, "type": "probe", "tolerance": tolerance, "provider": {"func": "lost_writes"}}
    run: dict[str, Any] = {"activity": activity, "output": output, "status": "succeeded"}
    return run if met is None else {**run, "tolerance_met": met}


def journal(**changes: Any) -> dict[str, Any]:
    asked = probe("writes that are lost", 0, tolerance=0, met=True)
    step = probe("percent answered", 90.0, tolerance=[80, 100], met=True)
    return {
        "chaoslib-version": "1.44.0",
        "experiment": {
            "title": "What still works when <etcd> is dead?",
            "description": "It is stopped.",
            "extensions": [
                {"name": "kubelab", "prediction": "Nothing & all.", "explanation": "Because.", "url": "https://kubernetes.io/docs/x"}
            ],
            "steady-state-hypothesis": {"title": "All is well", "probes": [asked["activity"]]},
        },
        "status": "completed",
        "deviated": False,
        "steady_states": {
            "before": {"steady_state_met": True, "probes": [asked]},
            "after": {"steady_state_met": True, "probes": [asked]},
            "during": [],
        },
        "run": [step],
        "rollbacks": [],
        "extensions": [{"name": "kubelab", "recording": recording().as_dict()}],
        **changes,
    }  # fmt: skip


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(report.render(json.loads(json.dumps(journal()))))


def test_the_page_is_whole(page: Page) -> None:
    assert page.open == []


def test_nothing_comes_from_elsewhere(page: Page) -> None:
    assert page.outside == []
    assert not re.search(r"url\(|@import", report.render(journal()))


def test_question_prediction_and_verdict_come_first(page: Page) -> None:
    told = " ".join(page.text.split())
    order = ["What still works when <etcd> is dead?", "As predicted", "Nothing & all.", "What happened", "Because."]
    places = [told.index(part) for part in order]
    assert places == sorted(places)


def test_what_happened_is_there_in_words_and_figures(page: Page) -> None:
    assert page.has("90 of 100 requests answered", "35 of 50 writes acknowledged", "All was well again 1.2 s after")
    assert page.has("stop etcd@cp-1", "https://kubernetes.io/docs/x", "connection refused (10", "<b>not markup</b>")
    assert page.has("writes that are lost 0 ✓ 0 ✓ 0", "percent answered 80 to 100 ✓ 90")


def test_drawings_can_be_read_aloud(page: Page) -> None:
    assert any("etcd@cp-1: Running, 0.0 s to 3.0 s; Stopped, 3.0 s to 6.0 s" in label for label in page.labels)
    assert any("no leader" in label for label in page.labels)


def test_a_deviation_is_told(page: Page) -> None:
    bad = journal(deviated=True, run=[probe("percent answered", 12.0, tolerance=[80, 100], met=False)])
    told = Page(report.render(bad))
    assert told.has("Not as predicted: percent answered", "✗ 12")


@pytest.mark.parametrize(
    ("changes", "verdict", "code"),
    [
        pytest.param({}, "as predicted", 0, id="good"),
        pytest.param({"status": "interrupted"}, "interrupted; everything is undone", 1, id="interrupted"),
        pytest.param({"status": "failed"}, "failed; see the lines above", 1, id="failed"),
        pytest.param({"deviated": True}, "not as predicted: ", 1, id="deviated"),
        pytest.param(
            {"steady_states": {"before": {"steady_state_met": False, "probes": []}, "after": None}},
            "not begun: the cluster was not in its steady state beforehand",
            1,
            id="not steady before",
        ),
    ],
)
def test_verdicts(changes: dict[str, Any], verdict: str, code: int) -> None:
    assert verdict_of(journal(**changes)) == (verdict, code == 0)
    assert outcome_of({}, journal(**changes)).code == code


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("kubelab.apimachinery.errors.NotFound: no hello pod is Ready\n", "no hello pod is Ready"),
        ("chaoslib.exceptions.ActivityFailed: kubelab.chaos.health.NotRecovered: not in time: 3\n", "not in time: 3"),
        ("plain words: kept\n", "plain words: kept"),
    ],
)
def test_reasons_are_without_the_names_of_exceptions(last: str, expected: str) -> None:
    assert reason({"exception": ["Traceback\n", last]}) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a journal of Chaos Toolkit"),
        (json.dumps(journal(extensions=[])), "nothing of kubelab in it"),
        (json.dumps(journal(extensions=[{"name": "kubelab", "recording": {"version": 99}}])), "cannot be read"),
    ],
)
def test_what_is_no_journal(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "journal.json"
    path.write_text(text)
    with pytest.raises(BadJournal, match=message):
        report.read(path)


def test_a_recording_survives_its_journal() -> None:
    assert Recording.from_dict(json.loads(json.dumps(recording().as_dict()))) == recording()


def test_a_recording_without_requests_or_faults_has_a_page() -> None:
    bare = Recording(cluster="test", seconds=1.0)
    told = Page(report.render(journal(extensions=[{"name": "kubelab", "recording": bare.as_dict()}])))
    assert told.has("nothing was measured") or told.has("Nothing was measured")


def moments(*faults: Fault, failed: float = -1.0) -> Recording:
    """Ten seconds in which everything is answered, but for one request."""
    requests = [ServiceRequest(n / 10, 2.5, "hello-1", "refused" if n / 10 == failed else "") for n in range(100)]
    return Recording(seconds=10.0, requests=requests, faults=[*faults])


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        pytest.param([Fault("restart", "etcd@cp-1", 3, 3)], "99 of 100", id="one moment"),
        pytest.param(
            [Fault("kill", "etcd@cp-1", 3, 3), Fault("kill", "etcd@cp-1", 8, 8)], "99 of 100", id="well in between"
        ),
        pytest.param(
            [Fault("pause", "etcd@cp-1", 4.95, 6.95), Fault("kill", "etcd@cp-1", 8, 8)],
            "99 of 100; during the fault 19 of 20",
            id="one that lasts, and a moment",
        ),
        pytest.param(
            [Fault("stop", "etcd@cp-1", 0.95, 1.95), Fault("stop", "etcd@cp-1", 4.95, None)],
            "99 of 100; during the fault 59 of 60",
            id="two that last, one to the end",
        ),
    ],
)
def test_only_what_lasts_has_figures_of_its_own(faults: list[Fault], expected: str) -> None:
    figures = {f.name: f for f in report.figures(moments(*faults, failed=5.0), journal())}
    assert figures["Requests answered"].note == expected
    assert ("Latency during the fault" in figures) == ("during" in expected)


def test_what_failed_after_a_moment_did_not_fail_during_it() -> None:
    kill = Fault("kill", "etcd@cp-1", 3, 3)
    assert summary(moments(kill, failed=3.0)) == "99 of 100 requests answered"
    pause = Fault("pause", "etcd@cp-1", 2.95, 3.95)
    assert summary(moments(pause, failed=3.0)) == "99 of 100 requests answered (1 of 10 failed during the fault)"
