"""Read a journal: the outcome of a run, its deviations, its recording. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kubelab.chaos import check, measure
from kubelab.chaos.recording import Recording


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """The outcome of a run. ``code`` is 0 only when everything was as predicted."""

    code: int
    journal: dict[str, Any]
    lines: tuple[str, ...]


def outcome_of(words: dict[str, Any], journal: dict[str, Any]) -> RunOutcome:
    """Say how a run ended, for a person."""
    verdict, good = verdict_of(journal)
    recording = recording_of(journal)
    lines: list[str] = []
    if words.get("prediction"):
        lines.append(f"Prediction:  {' '.join(str(words['prediction']).split())}")
    if recording is not None:
        lines.append(f"Happened:    {summary(recording)}")
    lines.append(f"Verdict:     {verdict}")
    if recording is not None and recording.recovery is not None:
        lines.append(f"Recovery:    {recording.recovery:.1f} s after the last fault was over")
    return RunOutcome(0 if good else 1, journal, tuple(lines))


def verdict_of(journal: dict[str, Any]) -> tuple[str, bool]:
    """The verdict in a few words, and whether it is a good one."""
    status = journal["status"]
    states: dict[str, Any] = journal["steady_states"]
    before: dict[str, Any] | None = states.get("before")
    if status == "interrupted":
        return "interrupted; everything is undone", False
    if before and not before["steady_state_met"]:
        return "not begun: the cluster was not in its steady state beforehand", False
    if status != "completed":
        return f"{status}; see the lines above", False
    if journal["deviated"]:
        return "not as predicted: " + "; ".join(deviations(journal)), False
    return "as predicted", True


def deviations(journal: dict[str, Any]) -> list[str]:
    """Names of the probes whose answers were not within their tolerances."""
    after: dict[str, Any] = journal["steady_states"].get("after") or {}
    runs: list[dict[str, Any]] = [*journal["run"], *after.get("probes", [])]
    return [run["activity"]["name"] for run in runs if run.get("tolerance_met") is False]


def recording_of(journal: dict[str, Any]) -> Recording | None:
    """The recording in a journal, if it has one. KeyError, TypeError, ValueError when it is broken."""
    extensions: list[dict[str, Any]] = journal.get("extensions") or []
    extension = next((e for e in extensions if e.get("name") == check.EXTENSION), None)
    return Recording.from_dict(extension["recording"]) if extension else None


def summary(recording: Recording) -> str:
    """One sentence of figures."""
    parts: list[str] = []
    requests, writes = recording.requests, recording.writes
    for what, done, rows, inside in (
        ("requests", "answered", requests, measure.during_faults(recording, requests)),
        ("writes", "acknowledged", writes, measure.during_faults(recording, writes)),
    ):
        if rows:
            failed, failed_inside = sum(bool(row.error) for row in rows), sum(bool(row.error) for row in inside)
            during = f" ({failed_inside} of {len(inside)} failed during the fault)" if failed_inside else ""
            parts.append(f"{len(rows) - failed} of {len(rows)} {what} {done}{during}")
    return ", ".join(parts) or "nothing was measured"


def reason(run: dict[str, Any]) -> str:
    """The last line of what Chaos Toolkit kept of an exception, without the exceptions' names."""
    last = "".join(run.get("exception") or ["failed"]).strip().splitlines()[-1]
    for _ in range(2):
        head, separator, rest = last.partition(": ")
        if separator and head.replace(".", "").replace("_", "").isalnum() and head.rpartition(".")[2][:1].isupper():
            last = rest
    return last
