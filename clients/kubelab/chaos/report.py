"""Render a journal as one self-contained HTML page: question, prediction, course of events, explanation."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from kubelab.chaos import check, measure, timeline
from kubelab.chaos.journal import reason, recording_of, summary, verdict_of
from kubelab.chaos.measure import NothingMeasured
from kubelab.chaos.recording import Recording, ServiceRequest, Write
from kubelab.chaos.timeline import Axis

TEMPLATE = "report.html.j2"


class BadJournal(Exception):
    """A file that no page can be made of; the message says why."""


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """The result of a probe, and whether it was within its tolerance (None: it was not checked)."""

    text: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One probe of the hypothesis, asked before and after, or of the method, asked in between."""

    name: str
    expected: str
    before: ProbeAnswer | None = None
    after: ProbeAnswer | None = None
    found: ProbeAnswer | None = None


@dataclass(frozen=True, slots=True)
class ReportEvent:
    """One line of what happened. ``kind`` decides how it looks."""

    at: float
    kind: str
    who: str
    what: str


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    value: str
    note: str = ""


def read(path: Path) -> dict[str, Any]:
    """Read a journal. Raises BadJournal."""
    try:
        journal: object = json.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise BadJournal(f"{path}: {err.strerror}") from err
    except ValueError as err:
        raise BadJournal(f"{path}: not JSON: {err}") from err
    if not isinstance(journal, dict) or not {"experiment", "status", "steady_states", "run"} <= journal.keys():
        raise BadJournal(f"{path}: not a journal of Chaos Toolkit")
    body = cast(dict[str, Any], journal)
    try:
        recorded = recording_of(body)
    except (KeyError, TypeError, ValueError) as err:
        raise BadJournal(f"{path}: its recording cannot be read: {err}") from err
    if recorded is None:
        raise BadJournal(f"{path}: nothing of kubelab in it; was it written by `kubelab chaos run`?")
    return body


def render(journal: dict[str, Any]) -> str:
    """Make the page."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(TEMPLATE).render(page=view(journal))


def view(journal: dict[str, Any]) -> dict[str, Any]:
    """Everything that the page shows, by name."""
    recording = recording_of(journal)
    assert recording is not None
    experiment: dict[str, Any] = journal["experiment"]
    words = check.words_of(experiment)
    verdict, good = verdict_of(journal)
    axis = Axis(recording.seconds or 1.0)
    processes = timeline.states(axis, recording.processes)
    nodes = timeline.states(axis, recording.nodes)
    return {
        "title": experiment["title"],
        "description": experiment["description"],
        "prediction": words.get("prediction", ""),
        "explanation": words.get("explanation", ""),
        "url": words.get("url", ""),
        "verdict": verdict,
        "good": good,
        "summary": summary(recording),
        "recovery": recording.recovery,
        "figures": figures(recording, journal),
        "hypothesis": hypothesis(journal),
        "hypothesis_title": (experiment.get("steady-state-hypothesis") or {}).get("title", ""),
        "during": during(journal),
        "ticks": timeline.ticks(axis),
        "faults": timeline.faults(axis, recording.faults),
        "leaders": timeline.leaders(axis, recording),
        "processes": [row for row in processes if row.eventful],
        "quiet": [row for row in processes if not row.eventful],
        "nodes": nodes,
        "pods": timeline.pods(axis, recording),
        "requests": timeline.rate(axis, recording.requests, "answered") if recording.requests else None,
        "latency": timeline.latency(axis, recording.requests) if recording.requests else None,
        "lanes": timeline.lanes(axis, recording.requests) if recording.requests else None,
        "errors": measure.worst_errors(recording.requests),
        "writes": timeline.rate(axis, recording.writes, "acknowledged") if recording.writes else None,
        "write_errors": measure.worst_errors(recording.writes),
        "events": report_events(recording),
        "cluster": recording.cluster,
        "when": datetime.fromtimestamp(recording.began).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z"),
        "seconds": recording.seconds,
        "chaoslib": journal.get("chaoslib-version", ""),
    }


def figures(recording: Recording, journal: dict[str, Any]) -> list[Figure]:
    """The numbers that one looks for first."""
    result: list[Figure] = []
    requests, writes = recording.requests, recording.writes
    asked_in_fault = measure.during_faults(recording, requests)
    for what, done, rows, inside in (
        ("Requests", "answered", requests, asked_in_fault),
        ("Writes", "acknowledged", writes, measure.during_faults(recording, writes)),
    ):
        if rows:
            result.append(_share(f"{what} {done}", rows, inside))
            result.append(Figure(f"Longest failure of {what.lower()}", f"{measure.outage(rows):.1f} s"))
    before = measure.within(requests, measure.window(recording, "before", recording.seconds))
    result += [_latency("Latency before", before)] if before else []
    result += [_latency("Latency during the fault", asked_in_fault)] if asked_in_fault else []
    for name, run in _outputs(journal):
        if name == "lost_writes":
            result.append(Figure("Acknowledged writes lost", str(run)))
    if recording.recovery is not None:
        result.append(Figure("Time to recovery", f"{recording.recovery:.1f} s", "after the last fault was over"))
    return result


def _share(name: str, rows: list[ServiceRequest] | list[Write], inside: list[ServiceRequest] | list[Write]) -> Figure:
    note = f"{sum(not row.error for row in rows)} of {len(rows)}"
    if inside:
        note += f"; during the fault {sum(not row.error for row in inside)} of {len(inside)}"
    return Figure(name, _percent(measure.success_share(rows)), note)


def _latency(title: str, rows: list[ServiceRequest]) -> Figure:
    taken = [row.ms for row in rows if not row.error]
    try:
        p50, p99 = measure.percentile(taken, 0.5), measure.percentile(taken, 0.99)
    except NothingMeasured:
        return Figure(title, "-", "nothing was answered")
    return Figure(title, f"{p50:.1f} ms", f"half of the answers; 99 of 100 within {p99:.1f} ms")


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _outputs(journal: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """Function and answer of every probe of the hypothesis afterwards."""
    after: dict[str, Any] = journal["steady_states"].get("after") or {}
    for run in after.get("probes", []):
        yield run["activity"]["provider"].get("func", ""), run["output"]


def hypothesis(journal: dict[str, Any]) -> list[ReportLine]:
    """The hypothesis, probe by probe, before and after. A probe that was not reached has no answer."""
    states = journal["steady_states"]
    probes: list[dict[str, Any]] = (journal["experiment"].get("steady-state-hypothesis") or {}).get("probes") or []
    before, after = _answers(states.get("before")), _answers(states.get("after"))
    return [
        ReportLine(p["name"], expected(p["tolerance"]), before=before.get(p["name"]), after=after.get(p["name"]))
        for p in probes
    ]


def _answers(state: dict[str, Any] | None) -> dict[str, ProbeAnswer]:
    return {run["activity"]["name"]: _answer(run) for run in (state or {}).get("probes", [])}


def during(journal: dict[str, Any]) -> list[ReportLine]:
    """The actions and probes of the method, in order."""
    return [
        ReportLine(
            run["activity"]["name"],
            expected(run["activity"]["tolerance"]) if "tolerance" in run["activity"] else "",
            found=_answer(run),
        )
        for run in journal["run"]
    ]


def _answer(run: dict[str, Any]) -> ProbeAnswer:
    if run.get("status") == "succeeded":
        return ProbeAnswer(shown(run["output"]), run.get("tolerance_met"))
    return ProbeAnswer(reason(run) if run.get("exception") else "not finished", False)


def expected(tolerance: object) -> str:
    """A tolerance in words: ``yes``, ``100``, ``0 to 30``."""
    if isinstance(tolerance, list) and len(cast(list[Any], tolerance)) == 2:
        low, high = cast(list[Any], tolerance)
        return f"{shown(low)} to {shown(high)}"
    if isinstance(tolerance, dict):
        fields = cast(dict[str, Any], tolerance)
        return str(fields.get("pattern") or fields.get("range") or fields.get("path") or fields.get("type"))
    return shown(tolerance)


def shown(output: object) -> str:
    """An answer in words."""
    if isinstance(output, bool):
        return "yes" if output else "no"
    if isinstance(output, float):
        return f"{output:.4g}"
    if isinstance(output, list):
        return ", ".join(str(item) for item in cast(list[Any], output)) or "nothing"
    return "-" if output is None else str(output)


def report_events(recording: Recording) -> list[ReportEvent]:
    """Everything in its order: what the experiment did, what became of processes, leaders, nodes and pods, Events."""
    events: list[ReportEvent] = []
    for fault in recording.faults:
        events.append(ReportEvent(fault.begin, "fault", "experiment", f"{fault.what} {fault.target}"))
        if fault.end is not None and fault.end > fault.begin:
            events.append(ReportEvent(fault.end, "undone", "experiment", f"{fault.what} {fault.target}: over"))
    events += _changes("process", recording.processes)
    events += _changes("node", recording.nodes)
    events += [
        ReportEvent(at, "leader", role, f"led by {holder}" if holder else "has no leader")
        for at, role, holder in recording.leaders
    ]
    events += [
        ReportEvent(at, "pod", name, f"{state}{f' on {node}' if node else ''}")
        for at, name, node, state in recording.pods
    ]
    events += [
        ReportEvent(at, "warning" if type_ == "Warning" else "event", about, f"{reason}: {message}")
        for at, type_, reason, about, message in recording.events
    ]
    return sorted(events, key=lambda h: h.at)


def _changes(kind: str, rows: Iterable[tuple[float, str, str]]) -> list[ReportEvent]:
    """State changes, without the first state of each object."""
    seen_names: set[str] = set()
    events: list[ReportEvent] = []
    for at, name, state in rows:
        if name in seen_names:
            events.append(ReportEvent(at, kind, name, state))
        seen_names.add(name)
    return events
