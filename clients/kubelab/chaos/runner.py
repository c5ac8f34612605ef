"""Run an experiment by Chaos Toolkit's own runner, keep its journal, and say in a few lines how it ended."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

from chaoslib import substitute
from chaoslib.configuration import load_configuration
from chaoslib.exceptions import ChaosException
from chaoslib.experiment import ensure_experiment_is_valid, run_experiment
from chaoslib.log import encoder
from chaoslib.types import Strategy

from kubelab.apimachinery.terminal import escaped
from kubelab.chaos import check, controls, leftovers, session, signals, targets, undolog
from kubelab.chaos.check import BadExperiment, Experiment
from kubelab.chaos.journal import RunOutcome, outcome_of
from kubelab.chaos.spec import ExperimentSpec
from kubelab.cluster.find import find_cluster

CALLER = "kubelab-chaos"
UNREADABLE = (ChaosException, AttributeError, KeyError, TypeError, ValueError)  # not every check of chaoslib's is total
logger = logging.getLogger("chaostoolkit")


class JournalNotWritable(Exception):
    """The journal cannot be written; the message says where and why."""


def prepare(path: Path, cluster: str, variables: dict[str, Any]) -> Experiment:
    """Read and check an experiment, and whether this cluster has what it names. Raises BadExperiment, ApiError."""
    experiment = check.load(path)
    with_control(experiment.document)
    _speak_plainly()
    try:
        ensure_experiment_is_valid(experiment.document)
        configuration = load_configuration(experiment.document.get("configuration", {}), dict(variables))
    except UNREADABLE as err:
        raise BadExperiment(f"{path}: {_words(err)}") from err
    if problems := check.validate_control(experiment, configuration):
        raise BadExperiment("\n".join(problems))
    _, control = check.own_control(experiment.document)
    asyncio.run(_find(experiment, cluster, ExperimentSpec(cluster, **substitute(control, configuration, {}))))
    return experiment


def _words(err: Exception) -> str:
    return str(err) if isinstance(err, ChaosException) else f"Chaos Toolkit cannot read it: {type(err).__name__}: {err}"


class _Plain(logging.Filter):
    """Leaves out what tells a reader nothing: how Chaos Toolkit is set up, that a syntax is fine."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.funcName not in ("ensure_experiment_is_valid", "run_rollbacks", "apply_rollbacks") and not (
            record.getMessage().endswith(
                ("strategy: default", "Let's rollback...", f"exit signal: {signals.GRACEFULLY}")
            )
        )


class Escaped(logging.Formatter):
    """Escapes texts of probes and objects for the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))


def _speak_plainly() -> None:
    """Send Chaos Toolkit's log to stderr, with the time of day."""
    if logger.handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(Escaped("%(asctime)s  %(message)s", "%H:%M:%S"))
    handler.addFilter(_Plain())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def with_control(document: dict[str, Any]) -> None:
    """Add the control that ties an experiment to a cluster, where the file does not have it."""
    configured = document.setdefault("controls", [])
    if not any(control.get("provider", {}).get("module") == check.CONTROL for control in configured):
        configured.append({"name": check.EXTENSION, "provider": {"type": "python", "module": check.CONTROL}})


async def _find(experiment: Experiment, cluster: str, spec: ExperimentSpec) -> None:
    """See that the cluster is large enough, and look for every process and node that the experiment names."""
    driver = find_cluster(cluster, caller=CALLER)
    try:
        status = await driver.status()
    finally:
        await driver.close()
    session.check_suitable(status, control_planes=spec.control_planes, nodes=spec.nodes)
    problems: list[str] = []
    leaders = {role: next((p.name for p in status.processes if p.component == role), "") for role in targets.LED}
    for named in experiment.named():
        try:
            if named.kind == "node":
                targets.node(status, named.word)
            else:
                _process_or_node(status, named.word, leaders)
        except targets.NotFound as err:
            problems.append(f"{named.place}: {err}")
    if problems:
        raise BadExperiment("\n".join(problems))


def _process_or_node(status: Any, word: str, leaders: dict[str, str]) -> None:
    if word in ("worker", "control-plane"):
        targets.node(status, word)
    elif not word.startswith("follower of "):  # there may be none now and one later
        targets.processes(status, word, leaders)


def run(experiment: Experiment, cluster: str, journal_path: Path, variables: dict[str, Any]) -> RunOutcome:
    """Run it. A signal ends it early; everything is undone and the journal is written in any case.

    Raises JournalNotWritable before anything is done, and NotUndone, ApiError for what could not be undone at last.
    """
    both: Any = (variables, {})  # configuration and secrets; Chaos Toolkit's own type for it is wrong
    beside = journal_path.with_name(f"{journal_path.stem}.recording.jsonl")
    for path in (journal_path, beside):
        _check_writable(path)
    controls.use(controls.ControlOptions(cluster, beside))
    try:
        journal: dict[str, Any] = run_experiment(
            experiment.document,
            settings={},
            experiment_vars=both,
            strategy=Strategy.DEFAULT,
        )
        _write(journal_path, journal)
    finally:
        _leave_nothing(cluster)
    return outcome_of(experiment.words, journal)


def _check_writable(path: Path) -> None:
    try:
        with path.open("a", encoding="utf-8"):
            pass
    except OSError as err:
        raise JournalNotWritable(f"cannot write {path}: {err.strerror}") from err


def _write(path: Path, journal: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(journal, indent=2, ensure_ascii=False, default=encoder), encoding="utf-8")
    except OSError as err:  # the disk is full, say
        raise JournalNotWritable(f"cannot write {path}: {err.strerror}") from err


def _leave_nothing(cluster: str) -> None:
    """If the control did not come to it: end the session, and undo what the undo log still says."""
    with signals.deferred(logger.warning):
        running = session.running()
        if running is not None:
            session.end()
            running.close()
        if undolog.read(undolog.path_of(cluster))[0].entries:
            asyncio.run(leftovers.undo_leftovers(cluster))
