"""The actions of experiments: ``module: kubelab.chaos.actions``. Each is undone at the end, also after a failure.

``process`` is a name (``scheduler@cp-1``), a component (every one of that kind), a node (everything on it), or
``leader of etcd|scheduler|controller-manager``, found when the action begins. An action that cannot be done raises; the
control ends the experiment then.
"""

from __future__ import annotations

from kubelab.apimachinery.scheme import PODS
from kubelab.chaos import faults, session, workload
from kubelab.cluster.driver import Action

ACT_SECONDS = 120.0
CALL_SECONDS = 30.0


def kill(process: str) -> list[str]:
    """End it by SIGKILL; its keeper (or docker) starts it again, as after a crash."""
    return _act(Action.KILL, process)


def stop(process: str) -> list[str]:
    """Stop it and keep it stopped, until ``start`` or the end."""
    return _act(Action.STOP, process)


def start(process: str) -> list[str]:
    """Start what was stopped."""
    return _act(Action.START, process)


def pause(process: str) -> list[str]:
    """Freeze it (SIGSTOP): it is there, keeps its connections, and does nothing, until ``resume`` or the end."""
    return _act(Action.PAUSE, process)


def resume(process: str) -> list[str]:
    """Let what was frozen go on."""
    return _act(Action.RESUME, process)


def restart(process: str) -> list[str]:
    """Stop and start it."""
    return _act(Action.RESTART, process)


def partition(a: str, b: str, one_way: bool = False) -> list[str]:
    """Lose every packet between two sides, nodes or processes, until ``heal`` or the end. ``b: "*"`` is all nodes."""
    now = session.current()
    return faults.names(now.call(now.faults.partition(a, b, one_way=one_way), ACT_SECONDS))


def heal() -> list[str]:
    """Take away every partition of this experiment."""
    now = session.current()
    return faults.names(now.call(now.faults.heal(), ACT_SECONDS))


def undo() -> list[str]:
    """Undo everything that was done to processes and networks so far."""
    now = session.current()
    return now.call(now.faults.undo(), ACT_SECONDS)


def scale(replicas: int) -> int:
    """Ask for so many hello pods."""
    now = session.current()
    now.call(workload.scale(now.client, now.namespace, replicas), CALL_SECONDS)
    now.replicas = replicas
    return replicas


def create_pod(name: str = "newcomer") -> str:
    """Create one more hello pod, of its own."""
    now = session.current()
    now.call(workload.create_pod(now.client, now.namespace, name), CALL_SECONDS)
    return name


def delete_pod(node: str = "", grace_seconds: int | None = None) -> str:
    """Delete one of the hello pods, the first by name; with ``node`` the first on that node. Gives its name."""
    now = session.current()
    name, _ = now.some_pod(node)
    now.writer.fault("delete pod", name, moment=True)
    deletion = now.client.delete(PODS, name, now.namespace, grace_period_seconds=grace_seconds)
    now.call(deletion, CALL_SECONDS)
    return name


def kill_container(node: str = "") -> str:
    """End the container of one of the hello pods by SIGKILL, as a crash does. Gives the pod's name."""
    now = session.current()
    name, place = now.some_pod(node)
    now.writer.fault("kill container", name, moment=True)
    now.call(workload.kill_container(now.driver, place, now.namespace, name), CALL_SECONDS)
    return name


def _act(action: Action, process: str) -> list[str]:
    now = session.current()
    return now.call(now.faults.act(action, process), ACT_SECONDS)
