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

PluginFactory = Callable[[Handle], Plugin]
Registry = Mapping[str, PluginFactory]


def stateless(plugin: Callable[[], Plugin]) -> PluginFactory:
    """Make the factory of a plugin that needs nothing from the scheduler."""
    return lambda _: plugin()


IN_TREE: Registry = {
    "SchedulingGates": stateless(SchedulingGates),
    "NodeUnschedulable": stateless(NodeUnschedulable),
    "NodeName": stateless(NodeName),
    "TaintToleration": stateless(TaintToleration),
    "NodeAffinity": stateless(NodeAffinity),
    "NodePorts": stateless(NodePorts),
    "NodeResourcesFit": stateless(NodeResourcesFit),
    "PodTopologySpread": stateless(PodTopologySpread),
    "InterPodAffinity": stateless(InterPodAffinity),
    "DefaultPreemption": stateless(DefaultPreemption),
    "NodeResourcesBalancedAllocation": stateless(NodeResourcesBalancedAllocation),
    "ImageLocality": stateless(ImageLocality),
    "DefaultBinder": DefaultBinder,
}
"""All of them are enabled in a profile that does not say otherwise."""
