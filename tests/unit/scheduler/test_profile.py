"""Profiles of the configuration, and a plugin that is not one of kubelab's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from kubelab.component.config import ConfigError, load
from kubelab.scheduler.algorithm import Algorithm, FitError, ScheduleResult
from kubelab.scheduler.cache import Cache
from kubelab.scheduler.clusterevents import NODE_LABELED, ActionType, ClusterEvent
from kubelab.scheduler.config import SchedulerConfig
from kubelab.scheduler.framework import SKIP, Cluster, CycleState, Plugin, Rejection, Skip, Unschedulable
from kubelab.scheduler.model import NodeInfo, PodInfo
from kubelab.scheduler.plugins.registry import IN_TREE, Registry, stateless
from kubelab.scheduler.profile import Framework, frameworks
from tests.support import objects as make
from tests.unit.scheduler.handles import handle

RACK_ADDED = ClusterEvent("racks.example.com", ActionType.ADD)


class Rack:
    """Keep to the rack that a label of the pod names, prefer its first node, and tell people about racks."""

    name = "Rack"
    weight = 1

    def pre_filter(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | Rejection | None:
        rack = pod.labels.get("rack")
        if rack == "none":
            return Rejection(self.name, ("rack(s) are closed",), frozenset({RACK_ADDED}))
        state[self.name] = rack
        return None if rack else SKIP

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        if node.labels.get("rack") == state[self.name]:
            return None
        return Rejection(self.name, ("node(s) were in another rack",), frozenset({RACK_ADDED, NODE_LABELED}))

    def post_filter(self, state: CycleState, pod: PodInfo, failure: Unschedulable) -> str:
        return f"racks: {len(failure.rejected)} looked at."

    def pre_score(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | None:
        return None if state[self.name] else SKIP

    def score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> list[int]:
        return [100 if node.name.endswith("-first") else 0 for node in nodes]


REGISTRY: Registry = {**IN_TREE, "Rack": stateless(Rack)}
RACK = """
profiles:
- schedulerName: default-scheduler
- schedulerName: racks
  plugins:
    multiPoint:
      enabled: [{name: Rack, weight: 10}]
"""


def config(tmp_path: Path, text: str) -> SchedulerConfig:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return load(SchedulerConfig, [f"--config={file}"], prog="kube-scheduler")


def names(plugins: Sequence[Plugin]) -> list[str]:
    return [plugin.name for plugin in plugins]


def racks() -> Cache:
    cache = Cache()
    for name, rack in (("a1", "a"), ("a2-first", "a"), ("a3", "a"), ("b1", "b")):
        cache.set_node(make.node(name, labels={"rack": rack}))
    return cache


def test_a_plugin_from_outside_decides_for_the_pods_of_its_profile(tmp_path: Path) -> None:
    made = frameworks(config(tmp_path, RACK), handle(), REGISTRY)
    cache, algorithm = racks(), Algorithm()
    placed = algorithm.decide(made["racks"], PodInfo.of(make.pod(labels={"rack": "a"})), cache)
    assert isinstance(placed, ScheduleResult)
    assert (placed.node, placed.feasible) == ("a2-first", 3)
    anywhere = algorithm.decide(made["default-scheduler"], PodInfo.of(make.pod(labels={"rack": "none"})), cache)
    assert isinstance(anywhere, ScheduleResult)
    assert anywhere.feasible == 4


@pytest.mark.parametrize(
    ("rack", "reason", "events"),
    [
        ("c", "4 node(s) were in another rack", {RACK_ADDED, NODE_LABELED}),
        ("none", "rack(s) are closed", {RACK_ADDED}),  # PreFilter answers for all nodes
    ],
)
def test_what_people_read_of_a_plugin_from_outside(
    tmp_path: Path, rack: str, reason: str, events: set[ClusterEvent]
) -> None:
    made = frameworks(config(tmp_path, RACK), handle(), REGISTRY)
    answer = Algorithm().decide(made["racks"], PodInfo.of(make.pod(labels={"rack": rack})), racks())
    assert isinstance(answer, FitError)
    assert answer.message == (
        f"0/4 nodes are available: {reason}. preemption: 0/4 nodes are available: "
        "4 Preemption is not helpful for scheduling. racks: 4 looked at."
    )
    assert answer.retry_on == events


FILTERS = [
    "NodeUnschedulable",
    "NodeName",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "PodTopologySpread",
    "InterPodAffinity",
]
SCORES = [
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("NodeResourcesFit", 1),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
]


def test_without_a_word_the_profile_is_upstreams() -> None:
    framework = Framework(handle())
    assert names(framework.pre_enqueues) == ["SchedulingGates"]
    assert names(framework.filters) == FILTERS
    assert names(framework.post_filters) == ["DefaultPreemption"]
    assert [(plugin.name, weight) for plugin, weight in framework.scores] == SCORES


def test_every_row_of_the_table_is_the_plugin_of_that_name() -> None:
    for name, make_plugin in IN_TREE.items():
        assert make_plugin(handle()).name == name


@pytest.mark.parametrize(
    ("plugins", "filters", "scores"),
    [
        (
            "score: {disabled: [{name: '*'}]}",
            FILTERS,
            [],
        ),
        (
            "multiPoint: {disabled: [{name: '*'}], enabled: [{name: NodeResourcesFit}, {name: DefaultBinder}]}",
            ["NodeResourcesFit"],
            [("NodeResourcesFit", 1)],
        ),
        (
            "filter: {disabled: [{name: '*'}], enabled: [{name: NodeName}]}\n      score: {enabled: "
            "[{name: PodTopologySpread, weight: 9}], disabled: [{name: TaintToleration}]}",
            ["NodeName"],
            [
                ("PodTopologySpread", 9),
                *(row for row in SCORES if row[0] not in ("PodTopologySpread", "TaintToleration")),
            ],
        ),
        (
            "multiPoint: {enabled: [{name: TaintToleration, weight: 7}], disabled: [{name: NodePorts}, "
            "{name: PodTopologySpread}, {name: NodeResourcesBalancedAllocation}]}",
            [name for name in FILTERS if name not in ("NodePorts", "PodTopologySpread")],
            [
                ("TaintToleration", 7),
                ("NodeAffinity", 2),
                ("NodeResourcesFit", 1),
                ("InterPodAffinity", 2),
                ("ImageLocality", 1),
            ],
        ),
    ],
    ids=["no scores", "one alone", "by point", "another weight keeps the place"],
)
def test_a_profile_enables_and_disables(
    tmp_path: Path, plugins: str, filters: list[str], scores: list[tuple[str, int]]
) -> None:
    made = frameworks(config(tmp_path, f"profiles:\n  - plugins:\n      {plugins}\n"), handle())["default-scheduler"]
    assert names(made.filters) == filters
    assert [(plugin.name, weight) for plugin, weight in made.scores] == scores


def test_plugins_get_the_arguments_of_their_profile(tmp_path: Path) -> None:
    text = """
profiles:
- pluginConfig:
  - name: InterPodAffinity
    args: {hardPodAffinityWeight: 7, ignorePreferredTermsOfExistingPods: true}
  - name: PodTopologySpread
    args:
      defaultingType: List
      defaultConstraints: [{maxSkew: 1, topologyKey: rack, whenUnsatisfiable: DoNotSchedule}]
"""
    made = frameworks(config(tmp_path, text), handle())["default-scheduler"]
    cache = racks()
    cache.workloads.set_service("default", "web", {"app": "web"})
    cache.assume(PodInfo.of(make.pod("web-0", labels={"app": "web"})), "a1")
    placed = Algorithm().decide(made, PodInfo.of(make.pod("web-1", labels={"app": "web"})), cache)
    assert isinstance(placed, ScheduleResult)
    assert (placed.node, placed.feasible) == ("b1", 1)  # rack b has none yet, and the constraint is hard


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        (
            "[{pluginConfig: [{name: Nope}]}]",
            "profiles: default-scheduler: pluginConfig: unknown Nope; expected some of",
        ),
        (
            "[{pluginConfig: [{name: InterPodAffinity}, {name: InterPodAffinity}]}]",
            "pluginConfig: InterPodAffinity stands twice, expected once",
        ),
        (
            "[{pluginConfig: [{name: PodTopologySpread, args: {hardPodAffinityWeight: 5}}]}]",
            "PodTopologySpread: got hardPodAffinityWeight, expected defaultingType, defaultConstraints",
        ),
        (
            "[{pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}]}]",
            "hardPodAffinityWeight: got 101, expected",
        ),
        (
            "[{pluginConfig: [{name: PodTopologySpread, args: {defaultConstraints: [{maxSkew: 1, topologyKey: z, "
            "whenUnsatisfiable: ScheduleAnyway}]}}]}]",
            "PodTopologySpread: got defaultConstraints, expected defaultingType: List with them",
        ),
        ("[]", "profiles: got none, expected at least one"),
        ("[{}, {}]", "profiles: schedulerName 'default-scheduler' stands twice, expected once"),
        (
            "[{plugins: {filter: {enabled: [{name: Nope}]}}}]",
            "profiles: default-scheduler: plugins.filter: unknown Nope; expected some of ",
        ),
        (
            "[{plugins: {score: {enabled: [{name: NodeName}]}}}]",
            "profiles: default-scheduler: plugins.score: plugin 'NodeName' does not extend score",
        ),
        (
            "[{plugins: {score: {enabled: [{name: NodeResourcesFit}, {name: NodeResourcesFit}]}}}]",
            "profiles: default-scheduler: plugins.score: NodeResourcesFit is enabled twice, expected once",
        ),
        ("[{plugins: {score: {enabled: [{name: NodeResourcesFit, weight: 101}]}}}]", "weight: got 101, expected"),
    ],
)
def test_a_profile_that_cannot_be_used_says_why(tmp_path: Path, profiles: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        frameworks(config(tmp_path, f"profiles: {profiles}\n"), handle())
    assert message in str(caught.value)
