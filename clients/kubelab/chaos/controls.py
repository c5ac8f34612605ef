"""The control that ties an experiment to a cluster: ``module: kubelab.chaos.controls``.

Before the experiment it creates the workload and starts to record; after it, also when it failed, it undoes
everything, removes the workload, and puts the recording into the journal (``extensions``, name ``kubelab``).

In the method, a probe may have a ``tolerance`` too: it is the prediction for that moment, and the experiment has
deviated when it is not met. An action that fails ends the experiment.

Arguments, all optional, are those of :class:`kubelab.chaos.spec.ExperimentSpec`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoslib.exceptions import InterruptExecution
from chaoslib.hypothesis import within_tolerance
from chaoslib.run import RunEventHandler

from kubelab.apimachinery.errors import ApiError
from kubelab.chaos import decoding, session, signals, spec
from kubelab.chaos.bundled import NotBundled
from kubelab.chaos.check import EXTENSION
from kubelab.chaos.faults import NotUndone
from kubelab.chaos.journal import reason
from kubelab.chaos.session import ExperimentSession, UnsuitableCluster
from kubelab.chaos.spec import ExperimentSpec
from kubelab.chaos.undolog import UndoLogBusy
from kubelab.client.kubeconfig import KubeconfigError
from kubelab.cluster.find import default_name
from kubelab.topology.record import RecordError

logger = logging.getLogger("chaostoolkit")
KNOWN = (ApiError, KubeconfigError, RecordError, UndoLogBusy, UnsuitableCluster, NotUndone, NotBundled, OSError)


@dataclass(slots=True)
class ControlOptions:
    """The options of the command line; without any, ``chaos run`` uses the defaults."""

    cluster: str = ""
    beside: Path | None = None


class _State:
    """Of the one run in this process."""

    def __init__(self) -> None:
        self.options = ControlOptions()
        self.journal: dict[str, Any] | None = None
        self.in_method = False


_state = _State()


class _Journal(RunEventHandler):
    """Keeps the journal while a run goes on: Chaos Toolkit hands it to a control only at the end."""

    def running(
        self, experiment: Any, journal: dict[str, Any], configuration: Any, secrets: Any, schedule: Any, settings: Any
    ) -> None:
        _state.journal = journal


def use(options: ControlOptions) -> None:
    """Say which cluster the next experiment means."""
    _state.options = options


def configure_control(event_registry: Any = None, **_: Any) -> None:
    """Chaos Toolkit calls this first."""
    _state.journal, _state.in_method = None, False
    decoding.use()
    if event_registry is not None:
        event_registry.register(_Journal())


def before_experiment_control(context: dict[str, Any], **arguments: Any) -> None:
    """Connect, make, record. An InterruptExecution tells why the experiment cannot take place."""
    options = _state.options
    cluster = options.cluster or os.environ.get("KUBELAB_CLUSTER") or default_name()
    if bad := [why for _, why in spec.validate(arguments)]:
        raise InterruptExecution("; ".join(bad))
    signals.install_handlers()
    try:
        started = ExperimentSession(
            ExperimentSpec(cluster=cluster, title=str(context["title"]), beside=options.beside, **arguments),
            print_line=logger.info,
        )
        session.begin(started)
        started.start()
    except InterruptExecution:
        raise
    except TimeoutError as err:
        raise InterruptExecution("the workload was not ready in time; see: kubelab status, kctl get pods -A") from err
    except KNOWN as err:
        raise InterruptExecution(str(err)) from err


def after_experiment_control(context: dict[str, Any], state: dict[str, Any] | None = None, **_: Any) -> None:
    """Undo, remove, and put the recording into the journal."""
    running = session.running()
    if running is None:
        return
    try:
        with signals.deferred(logger.warning):
            running.close()
    except KNOWN as err:  # TimeoutError is one of them
        logger.error(str(err) or "it took too long to undo everything; try: kubelab fault heal")
        if state is not None:
            state["status"] = "failed"
    if state is not None:
        state.setdefault("extensions", []).append({"name": EXTENSION, "recording": running.recording.as_dict()})
    session.end()


def before_method_control(context: dict[str, Any], **_: Any) -> None:
    """Predictions are held against tolerances from here on."""
    _state.in_method = True


def after_method_control(context: dict[str, Any], **_: Any) -> None:
    """The hypothesis has its tolerances checked by Chaos Toolkit."""
    _state.in_method = False


def after_activity_control(
    context: dict[str, Any],
    state: dict[str, Any] | None = None,
    configuration: dict[str, Any] | None = None,
    secrets: dict[str, Any] | None = None,
    **_: Any,
) -> None:
    """Log the result, compare it with the prediction, and end the run after a failed action."""
    if state is None or "status" not in state:  # a signal came in between
        return
    failed = state["status"] == "failed"
    if failed and context.get("type") == "action" and _state.in_method:
        raise InterruptExecution(f"{context['name']}: {reason(state)}")
    if "tolerance" not in context or not _state.in_method:
        _tell_answer(context, state)
        return
    met = not failed and bool(within_tolerance(context["tolerance"], state["output"], configuration, secrets))
    state["tolerance_met"] = met
    _tell_answer(context, state)
    if not met:
        logger.warning(f"  => not as predicted, which was {context['tolerance']}")
        if _state.journal is not None:
            _state.journal["deviated"] = True


def _tell_answer(context: dict[str, Any], state: dict[str, Any]) -> None:
    if state["status"] == "succeeded" and state["output"] is not None:
        log: Callable[[str], None] = logger.info
        log(f"  => {_short(state['output'])}")


def _short(output: Any) -> str:
    if isinstance(output, bool):
        return "yes" if output else "no"
    if isinstance(output, list):
        return ", ".join(str(item) for item in output) or "nothing"
    return str(output)
