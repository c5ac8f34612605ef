"""Reserve, Permit, PreBind, Bind and PostBind, with plugins that are not kubelab's own, in a whole scheduler."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import EVENTS, PODS
from kubelab.client import runtimeerrors
from kubelab.component.config import ConfigError, load
from kubelab.component.environment import Environment
from kubelab.component.leading import LeaderElectionConfig
from kubelab.scheduler import __main__ as component
from kubelab.scheduler.clusterevents import NODE_LABELED, POD_GONE
from kubelab.scheduler.config import SchedulerConfig
from kubelab.scheduler.framework import SKIP, CycleState, Rejection, Skip, Wait
from kubelab.scheduler.handle import Handle
from kubelab.scheduler.model import PodInfo
from kubelab.scheduler.plugins.registry import IN_TREE, Registry
from kubelab.scheduler.profile import Framework, frameworks
from tests.support import objects as make
from tests.support import tasks
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock
from tests.unit.scheduler.handles import handle

RETRY = frozenset({NODE_LABELED})


@dataclass
class Everywhere:
    """Extends all five points and writes down what it was asked. ``answers`` are by point; an exception is raised."""

    name: str
    calls: list[str]
    handle: Handle
    answers: dict[str, object] = field(default_factory=dict[str, object])

    def _called(self, point: str, state: CycleState, pod: PodInfo, node: str) -> object:
        path = state.setdefault(self.name, [])
        self.calls.append(f"{self.name} {point} {pod.name} {node}" + ("" if path else " first"))
        path.append(point)
        answer = self.answers.get(point)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def reserve(self, state: CycleState, pod: PodInfo, node: str) -> Rejection | None:
        answer = self._called("reserve", state, pod, node)
        return answer if isinstance(answer, Rejection) else None

    def unreserve(self, state: CycleState, pod: PodInfo, node: str) -> None:
        self._called("unreserve", state, pod, node)

    def permit(self, state: CycleState, pod: PodInfo, node: str) -> Rejection | Wait | None:
        answer = self._called("permit", state, pod, node)
        return answer if isinstance(answer, Rejection | Wait) else None

    async def pre_bind(self, state: CycleState, pod: PodInfo, node: str) -> Rejection | None:
        answer = self._called("pre_bind", state, pod, node)
        return answer if isinstance(answer, Rejection) else None

    async def bind(self, state: CycleState, pod: PodInfo, node: str) -> Skip | None:
        self._called("bind", state, pod, node)
        return SKIP

    def post_bind(self, state: CycleState, pod: PodInfo, node: str) -> None:
        self._called("post_bind", state, pod, node)


@dataclass
class Lab:
    """A scheduler with the plugins A and B, in this order, over an api-server in memory; node-1 holds one pod ``x``."""

    server: ApiServerInMemory
    clock: FakeClock
    calls: list[str]
    plugins: dict[str, Everywhere]

    def points(self, pod: str = "x") -> list[str]:
        """The calls about a pod, as ``A reserve``, in their order; then forget them."""
        about = [call.split() for call in self.calls if call.split()[2] == pod]
        self.calls.clear()
        return [f"{plugin} {point}" for plugin, point, *_ in about]

    def node_of(self, name: str = "x") -> str:
        pod = self.server.get(PODS, f"default/{name}")
        assert pod is not None
        return pod.spec.nodeName

    def condition(self) -> tuple[str, str]:
        pod = self.server.get(PODS, "default/x")
        assert pod is not None
        return next(((c.reason, c.message) for c in pod.status.conditions if c.type == "PodScheduled"), ("", ""))

    def messages(self, reason: str = "FailedScheduling") -> list[str]:
        return [event.message for event in self.server.objects(EVENTS) if event.reason == reason]

    def waiting(self, name: str = "x") -> list[str] | None:
        """The plugins that a pod waits for; None when it does not wait."""
        pod = self.plugins["A"].handle.waiting.get(f"uid-of-{name}")
        return pod.pending if pod is not None else None


Run = Callable[..., AbstractAsyncContextManager[Lab]]

CONFIG = """
profiles:
- plugins:
    multiPoint: {enabled: [{name: A}, {name: B}]}
    bind: {disabled: [{name: '*'}], enabled: [{name: A}, {name: DefaultBinder}]}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Run:
    @contextlib.asynccontextmanager
    async def run(
        *pods: core_pb2.Pod, a: dict[str, object] | None = None, b: dict[str, object] | None = None, slots: int = 64
    ) -> AsyncGenerator[Lab]:
        file = tmp_path / "config.yaml"
        file.write_text(f"parallelBindings: {slots}\n{CONFIG}")
        config = load(SchedulerConfig, [f"--config={file}"], prog="kube-scheduler")
        config.leader_election = LeaderElectionConfig(leader_elect=False)
        config.bind_address, config.metrics_address = "unix:", ""
        clock = FakeClock()
        server = ApiServerInMemory(clock=clock)
        server.add(make.node("node-1", cpu="1"), *(pods or [make.pod("x", requests={"cpu": "1"})]))
        calls: list[str] = []
        plugins: dict[str, Everywhere] = {}

        def factory(name: str, answers: dict[str, object] | None) -> Callable[[Handle], Everywhere]:
            def build(handle: Handle) -> Everywhere:
                plugins[name] = Everywhere(name, calls, handle, answers or {})
                return plugins[name]

            return build

        env = Environment(config, "scheduler", clock=clock, make_client=server.client)
        registry = {**IN_TREE, "A": factory("A", a), "B": factory("B", b)}
        async with env.client() as client, tasks.running(component.work(config, env, client, registry)):
            await clock.settle()
            yield Lab(server, clock, calls, plugins)

    return run


async def test_the_points_come_in_upstreams_order_and_share_the_cycles_state(lab: Run) -> None:
    async with lab() as it:
        assert it.calls == [
            "A reserve x node-1 first",
            "B reserve x node-1 first",
            "A permit x node-1",
            "B permit x node-1",
            "A pre_bind x node-1",
            "B pre_bind x node-1",
            "A bind x node-1",  # and skips, so that DefaultBinder binds
            "A post_bind x node-1",
            "B post_bind x node-1",
        ]
        assert it.node_of() == "node-1"


NO_LICENCE = Rejection("B", ("no licence for this node",), RETRY)
UNRESERVED = ["B unreserve", "A unreserve"]
RESERVED, PERMITTED = ["A reserve", "B reserve"], ["A permit", "B permit"]


@pytest.mark.parametrize(
    ("point", "before"),
    [
        ("reserve", RESERVED),
        ("permit", [*RESERVED, *PERMITTED]),
        ("pre_bind", [*RESERVED, *PERMITTED, "A pre_bind", "B pre_bind"]),
    ],
)
async def test_a_rejected_pod_is_unreserved_in_reverse_order_and_waits_for_the_plugins_event(
    lab: Run, point: str, before: list[str]
) -> None:
    async with lab(b={point: NO_LICENCE}) as it:
        assert it.points() == [*before, *UNRESERVED]
        told = "0/1 nodes are available: 1 no licence for this node."
        assert it.condition() == ("Unschedulable", told)
        assert it.messages() == [told]
        await it.clock.advance(20)
        assert it.points() == []  # time alone is no reason to try again
        del it.plugins["B"].answers[point]
        it.server.add(make.node("node-1", cpu="1", labels={"licence": "yes"}))
        await it.clock.advance(20)
        assert it.node_of() == "node-1"


@pytest.mark.parametrize(
    ("point", "answer", "message"),
    [
        ("pre_bind", errors.Unavailable("no disk"), 'running PreBind plugin "A": no disk'),
        ("pre_bind", errors.NotFound("no claim"), 'running PreBind plugin "A": no claim'),
        ("bind", errors.Forbidden("not today"), 'binding rejected: running Bind plugin "A": not today'),
    ],
)
async def test_a_failed_plugin_is_told_and_the_pod_tried_again_after_its_back_off(
    lab: Run, point: str, answer: Exception, message: str
) -> None:
    async with lab(a={point: answer}) as it:
        assert it.points()[-2:] == UNRESERVED
        assert it.condition() == ("SchedulerError", message)
        assert it.messages() == [message]
        del it.plugins["A"].answers[point]
        await it.clock.advance(2)
        assert it.node_of() == "node-1"
        assert "A unreserve" not in it.points()


@pytest.fixture
def production() -> Iterator[None]:
    """Count bugs and go on, as outside of tests."""
    runtimeerrors.set_strict(False)
    yield
    runtimeerrors.set_strict(True)


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize("point", ["reserve", "unreserve", "permit", "pre_bind", "bind"])
async def test_a_plugins_bug_stops_neither_the_loop_nor_the_other_plugins(lab: Run, point: str) -> None:
    bug = ZeroDivisionError("a bug")
    answers: dict[str, object] = {point: bug, "pre_bind": bug} if point == "unreserve" else {point: bug}
    async with lab(a=answers) as it:
        assert it.points()[-2:] == UNRESERVED
        assert it.node_of() == ""
        it.plugins["A"].answers.clear()
        await it.clock.advance(2)
        assert it.node_of() == "node-1"


@pytest.mark.usefixtures("production")
async def test_a_bug_after_the_binding_changes_nothing(lab: Run) -> None:
    async with lab(a={"post_bind": ZeroDivisionError("a bug")}) as it:
        assert it.node_of() == "node-1"
        assert it.points()[-2:] == ["A post_bind", "B post_bind"]


# --- Permit's wait


async def test_a_pod_waits_until_every_plugin_allows_it(lab: Run) -> None:
    async with lab(a={"permit": Wait(60)}, b={"permit": Wait(30)}) as it:
        assert it.points() == [*RESERVED, *PERMITTED]
        waiting = it.plugins["A"].handle.waiting.get("uid-of-x")
        assert waiting is not None
        assert (waiting.pod.name, waiting.node, waiting.pending) == ("x", "node-1", ["A", "B"])
        waiting.allow("B")
        await it.clock.advance(45)  # B's time is over, but B has allowed
        assert it.waiting() == ["A"]
        waiting.allow("A")
        await it.clock.settle()
        assert (it.node_of(), it.waiting()) == ("node-1", None)


async def test_a_pod_that_waits_too_long_is_unreserved_and_its_room_is_free_for_others(lab: Run) -> None:
    async with lab(a={"permit": Wait(60)}, b={"permit": Wait(30, frozenset({POD_GONE}))}) as it:
        it.server.add(make.pod("other", requests={"cpu": "1"}))
        await it.clock.advance(29)
        assert it.condition() == ("", "")
        it.plugins["A"].answers.clear()
        it.plugins["B"].answers.clear()
        await it.clock.advance(1)
        assert it.condition() == (
            "Unschedulable",
            "0/1 nodes are available: 1 rejected due to timeout after waiting 30s at plugin B.",
        )
        assert (it.node_of("other"), it.node_of()) == ("node-1", "")
        it.server.remove(PODS, "default/other")
        await it.clock.advance(10)
        assert it.node_of() == "node-1"  # the event that B named


async def test_no_plugin_makes_a_pod_wait_longer_than_a_quarter_of_an_hour(lab: Run) -> None:
    async with lab(a={"permit": Wait(1e9)}) as it:
        await it.clock.advance(15 * 60 - 1)
        assert it.waiting() == ["A"]
        await it.clock.advance(1)
        assert it.messages() == ["0/1 nodes are available: 1 rejected due to timeout after waiting 15m0s at plugin A."]


async def test_a_plugin_rejects_a_pod_that_waits(lab: Run) -> None:
    async with lab(a={"permit": Wait(60, RETRY)}) as it:
        waiting = it.plugins["A"].handle.waiting.get("uid-of-x")
        assert waiting is not None
        waiting.reject("A", "the group is broken")
        await it.clock.settle()
        assert it.condition() == ("Unschedulable", "0/1 nodes are available: 1 the group is broken.")
        assert it.points()[-2:] == UNRESERVED


async def test_pods_that_wait_hold_up_no_others_whatever_the_slots(lab: Run) -> None:
    group = [make.pod(f"member-{n}") for n in range(3)]
    async with lab(*group, a={"permit": Wait(600)}, slots=1) as it:
        waiting = it.plugins["A"].handle.waiting.list()
        assert [pod.pod.name for pod in waiting] == ["member-0", "member-1", "member-2"]
        for pod in waiting:  # the last member of the group is there: all may go
            pod.allow("A")
        await it.clock.settle()
        assert {it.node_of(f"member-{n}") for n in range(3)} == {"node-1"}


@pytest.mark.parametrize("bound_by_another", [False, True])
async def test_a_pod_that_is_deleted_or_bound_while_it_waits_is_unreserved(lab: Run, bound_by_another: bool) -> None:
    async with lab(a={"permit": Wait(600)}) as it:
        if bound_by_another:
            it.server.add(make.pod("x", node="node-1", requests={"cpu": "1"}))
        else:
            it.server.remove(PODS, "default/x")
        await it.clock.settle()
        assert it.points()[-2:] == UNRESERVED
        assert it.waiting() is None
        assert it.messages() == []
        it.plugins["A"].answers.clear()
        it.server.add(make.pod("y", requests={"cpu": "1"}))
        await it.clock.advance(2)
        assert it.node_of("y") == ("" if bound_by_another else "node-1")


async def test_a_scheduler_that_stops_unreserves_what_waits(lab: Run) -> None:
    async with lab(a={"permit": Wait(600)}) as it:
        assert it.points() == [*RESERVED, *PERMITTED]
    assert it.points() == UNRESERVED
    assert it.waiting() is None
    assert it.node_of() == ""


# --- the profile


def configured(tmp_path: Path, plugins: str) -> Framework:
    file = tmp_path / "config.yaml"
    file.write_text(f"profiles: [{{plugins: {plugins}}}]\n")
    config = load(SchedulerConfig, [f"--config={file}"], prog="kube-scheduler")
    registry: Registry = {**IN_TREE, "A": lambda handle: Everywhere("A", [], handle)}
    return frameworks(config, handle(), registry)["default-scheduler"]


def test_a_profile_names_the_plugins_of_every_point(tmp_path: Path) -> None:
    default = configured(tmp_path, "{}")
    assert [plugin.name for plugin in default.binds] == ["DefaultBinder"]
    assert default.reserves == default.permits == default.pre_binds == default.post_binds == ()
    for point in ("reserve", "permit", "preBind", "bind", "postBind"):
        framework = configured(tmp_path, f"{{{point}: {{enabled: [{{name: A}}]}}}}")
        chosen = {
            "reserve": framework.reserves,
            "permit": framework.permits,
            "preBind": framework.pre_binds,
            "bind": framework.binds,
            "postBind": framework.post_binds,
        }
        names = {point: [plugin.name for plugin in plugins] for point, plugins in chosen.items() if plugins}
        assert names == {"bind": ["DefaultBinder"]} | {point: ["A", "DefaultBinder"] if point == "bind" else ["A"]}
        with pytest.raises(ConfigError, match=f"plugins.{point}: plugin 'NodeName' does not extend {point}"):
            configured(tmp_path, f"{{{point}: {{enabled: [{{name: NodeName}}]}}}}")


def test_a_profile_needs_a_plugin_that_binds(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"profiles: default-scheduler: plugins\.bind: got none, expected at least"):
        configured(tmp_path, "{bind: {disabled: [{name: DefaultBinder}]}}")
