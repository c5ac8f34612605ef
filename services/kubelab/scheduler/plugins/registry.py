"""Every plugin by name, in upstream's default order: of several filters, the first no is the one that people read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kubelab.scheduler.framework import Plugin
from kubelab.scheduler.handle import Handle
from kubelab.scheduler.plugins.binder import DefaultBinder
from kubelab.scheduler.plugins.gates import SchedulingGates
from kubelab.scheduler.plugins.imagelocality import ImageLocality
from kubelab.scheduler.plugins.interpodaffinity import InterPodAffinity
from kubelab.scheduler.plugins.nodeaffinity import NodeAffinity
from kubelab.scheduler.plugins.nodes import NodeName, NodeUnschedulable, TaintToleration
from kubelab.scheduler.plugins.preemption import DefaultPreemption
from kubelab.scheduler.plugins.resources import NodePorts, NodeResourcesBalancedAllocation, NodeResourcesFit
from kubelab.scheduler.plugins.spread import PodTopologySpread
from kubelab.scheduler.podterms import SpreadConstraint

PluginFactory = Callable[[Handle], Plugin]
Registry = Mapping[str, PluginFactory]


def stateless(plugin: Callable[[], Plugin]) -> PluginFactory:
    """Make the factory of a plugin that needs nothing from the scheduler."""
    return lambda _: plugin()


def _inter_pod_affinity(handle: Handle) -> InterPodAffinity:
    args = handle.args(InterPodAffinity.name)
    ignore = args.ignore_preferred_terms_of_existing_pods
    return InterPodAffinity(args.hard_pod_affinity_weight, ignore_preferred_of_existing=ignore)


def _topology_spread(handle: Handle) -> PodTopologySpread:
    args = handle.args(PodTopologySpread.name)
    if args.defaulting_type == "System":
        return PodTopologySpread()
    constraints = [
        SpreadConstraint(c.topology_key, c.max_skew, hard=c.when_unsatisfiable == "DoNotSchedule", selector=None)
        for c in args.default_constraints
    ]
    return PodTopologySpread(constraints, system=False)


IN_TREE: Registry = {
    "SchedulingGates": stateless(SchedulingGates),
    "NodeUnschedulable": stateless(NodeUnschedulable),
    "NodeName": stateless(NodeName),
    "TaintToleration": stateless(TaintToleration),
    "NodeAffinity": stateless(NodeAffinity),
    "NodePorts": stateless(NodePorts),
    "NodeResourcesFit": stateless(NodeResourcesFit),
    "PodTopologySpread": _topology_spread,
    "InterPodAffinity": _inter_pod_affinity,
    "DefaultPreemption": stateless(DefaultPreemption),
    "NodeResourcesBalancedAllocation": stateless(NodeResourcesBalancedAllocation),
    "ImageLocality": stateless(ImageLocality),
    "DefaultBinder": DefaultBinder,
}
"""All of them are enabled in a profile that does not say otherwise."""
