"""The probes of experiments: ``module: kubelab.chaos.probes``. Chaos Toolkit compares each result with ``tolerance``.

``during`` names a window: ``run`` (everything so far), ``before`` the first fault, the ``fault`` itself, ``after`` it,
or a number of seconds, the last ones. ``within`` waits so many seconds at most for the good answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kubelab.apimachinery.scheme import CONFIG_MAPS
from kubelab.chaos import configured, load, measure, session, workload
from kubelab.chaos.health import ClusterHealth, NotRecovered
from kubelab.chaos.recording import ServiceRequest

CALL_SECONDS = 60.0
LIST_SECONDS = 90.0


# --- the cluster


def pods_ready(within: float = 0.0) -> bool:
    """Say whether as many hello pods are Ready as were asked for, and no other one is there."""
    return _wait(lambda health: health.pods(), within)


def processes_running(within: float = 0.0) -> bool:
    """Say whether every process of the cluster is running and healthy."""
    return _wait(lambda health: health.processes(), within)


def one_leader_each(within: float = 0.0) -> bool:
    """Say whether etcd, scheduler and controller-manager have exactly one leader each, a process that runs."""
    return _wait(lambda health: health.leaders(), within)


def rules_match(within: float = 0.0) -> bool:
    """Say whether the forwarding rules on every node lead to exactly the ready endpoints."""
    return _wait(lambda health: health.rules(), within)


def node_ready(node: str, within: float = 0.0) -> bool:
    """Say whether the cluster believes that a node is there."""
    return _wait(lambda health: health.node(node), within)


def recovered(within: float = 60.0) -> float:
    """Wait until the cluster has recovered; returns the seconds since the last fault was over (or began, if it is not).

    It has recovered when every process runs, each role has its leader, every node and pod is Ready, the rules lead to
    the ready pods, and requests are answered again. TimeoutError names what is not.
    """
    now = session.current()
    return now.call(ClusterHealth(now).recovered(within), within + CALL_SECONDS)


def leader(role: str) -> str:
    """Name the process that leads ``etcd``, ``scheduler`` or ``controller-manager``; "" when none does."""
    return session.current().recorder.leaders.get(role, "")


def leader_moved(role: str, within: float = 0.0) -> bool:
    """Say whether another process leads than before the first fault."""
    return _wait(lambda health: health.leader_moved(role), within)


def seconds_until_unknown(node: str, within: float = 120.0) -> float:
    """Wait until the cluster reports a node as unreachable; return the seconds since the first fault."""
    return _seconds_until(lambda health: health.unknown(node), within)


def grace_period_seconds() -> float:
    """Return the nodeMonitorGracePeriod that this cluster was started with; 50 s where it is not set."""
    now = session.current()
    return now.call(configured.grace_period(now.driver), CALL_SECONDS)


# --- pods


def pod_state(name: str = "newcomer") -> str:
    """Say in one word how a pod is: Pending, NotReady, Ready, Terminating, Gone."""
    pods = session.current().writer.latest("pods")
    return pods[name][1] if name in pods else "Gone"


def pod_becomes(state: str, name: str = "newcomer", within: float = 30.0) -> bool:
    """Say whether a pod comes to be so."""
    return _wait(lambda health: health.pod(name, state), within)


def ready_pods() -> int:
    """Count the hello pods that are Ready."""
    return len(session.current().ready_pods())


def pods_left(node: str, within: float = 0.0) -> bool:
    """Say whether every hello pod of a node is on its way out and the others are as many as they should be."""
    return _wait(lambda health: health.drained(node), within)


def seconds_until_left(node: str, within: float = 420.0) -> float:
    """Wait until ``pods_left``; gives the seconds since the first fault."""
    return _seconds_until(lambda health: health.drained(node), within)


def restarts() -> int:
    """Count how often containers of the hello pods were started again."""
    now = session.current()
    return sum(status.restartCount for pod in now.recorder.pods.list() for status in pod.status.containerStatuses)


def pods_created() -> int:
    """Count the hello pods that there ever were."""
    return len({name for _, name, _, _ in session.current().recording.pods if name.startswith(f"{workload.NAME}-")})


def toleration_seconds() -> str:
    """Return how long a hello pod stays on a lost node, by its own tolerations."""
    now = session.current()
    name, _ = now.some_pod()
    pod = now.recorder.pods.get(f"{now.namespace}/{name}")
    granted = configured.tolerations(pod) if pod is not None else None
    return "none: it leaves at once" if granted is None else f"{granted} s"


# --- requests through the service, writes to the api-server


def answered(during: str = "3") -> float:
    """Give how many percent of the requests through the service were answered."""
    return _percent(measure.success_share(_requests(during)))


def latency(percentile: float = 99, during: str = "run") -> float:
    """Give a percentile of the answers' latency in milliseconds."""
    taken = [row.ms for row in _requests(during) if not row.error]
    return measure.percentile(taken, percentile / 100)


def in_turn(during: str = "3") -> float:
    """Give how many percent of the answers came in turn: 100 is a perfect round robin."""
    return _percent(measure.turns(str(during), _requests).in_turn)


def answerers(during: str = "3") -> int:
    """Count the pods that answered."""
    return len({row.answerer for row in _requests(during) if not row.error})


def outage(during: str = "run") -> float:
    """For how many seconds requests through the service failed in a row, at most."""
    return measure.outage(_requests(during))


def requests_answered(within: float = 0.0) -> bool:
    """Say whether the latest ten requests were all answered."""
    return _wait(lambda health: health.requests(), within)


def writes_acknowledged(within: float = 0.0) -> bool:
    """Say whether the latest write was acknowledged."""
    return _wait(lambda health: health.writes(), within)


def written(during: str = "3") -> float:
    """Give how many percent of the writes the api-server acknowledged."""
    now = session.current()
    begin, end = _window(now, during)
    return _percent(measure.success_share([row for row in now.recording.writes if begin <= row.at <= end]))


def lost_writes() -> int:
    """Count the acknowledged writes that are not there any more."""
    now = session.current()
    return now.call(_lost(now), LIST_SECONDS)


async def _lost(now: session.ExperimentSession) -> int:
    expected = set(now.acknowledged)  # before the list: what is acknowledged later may not be in it
    listed = await now.client.list(CONFIG_MAPS, now.namespace, label_selector=load.LABEL)
    return len(expected - {note.metadata.name for note in listed.items})


def _percent(share: float) -> float:
    return round(100 * share, 2)


def _requests(during: str) -> list[ServiceRequest]:
    """The requests that began in a window."""
    now = session.current()
    return measure.within(now.recording.requests, _window(now, during))


def _window(now: session.ExperimentSession, during: str) -> measure.Window:
    """Find a window. Of the last seconds none may lie before the latest fault's beginning or end: they are waited for.

    ValueError for a word that names no window.
    """
    during = str(during)
    window = measure.window(now.recording, during, now.writer.now())
    if during not in measure.WINDOWS:
        seconds = float(during)
        now.call(now.gather(seconds), seconds + CALL_SECONDS)
        window = measure.window(now.recording, during, now.writer.now())
    now.call(now.ended(window[1]), CALL_SECONDS)
    return window


def _seconds_until(look: Callable[[ClusterHealth], Awaitable[str]], within: float) -> float:
    """Look until nothing is wrong; gives the seconds since the first fault. Raises NotRecovered."""
    now = session.current()
    wrong = now.call(ClusterHealth(now).wait(look, within), within + CALL_SECONDS)
    if wrong:
        raise NotRecovered(f"not within {within:g} s: {wrong}")
    return round(now.writer.now() - min((fault.begin for fault in now.recording.faults), default=0.0), 2)


def _wait(look: Callable[[ClusterHealth], Awaitable[str]], within: float) -> bool:
    """Look until nothing is wrong; say what is when time is over."""
    now = session.current()
    wrong = now.call(ClusterHealth(now).wait(look, within), within + CALL_SECONDS)
    if wrong:
        now.report(wrong)
    return not wrong
