"""Every plugin by name, in upstream's default order: of several filters, the first no is the one that people read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kubelab.scheduler.framework import Plugin
from kubelab.scheduler.plugins.nodes import NodeAffinity, NodeName, NodeUnschedulable, TaintToleration
from kubelab.scheduler.plugins.preemption import DefaultPreemption
from kubelab.scheduler.plugins.resources import NodePorts, NodeResourcesBalancedAllocation, NodeResourcesFit
from kubelab.scheduler.plugins.spread import PodTopologySpread

Registry = Mapping[str, Callable[[], Plugin]]

IN_TREE: Registry = {
    "NodeUnschedulable": NodeUnschedulable,
    "NodeName": NodeName,
    "TaintToleration": TaintToleration,
    "NodeAffinity": NodeAffinity,
    "NodePorts": NodePorts,
    "NodeResourcesFit": NodeResourcesFit,
    "PodTopologySpread": PodTopologySpread,
    "DefaultPreemption": DefaultPreemption,
    "NodeResourcesBalancedAllocation": NodeResourcesBalancedAllocation,
}
"""All of them are enabled in a profile that does not say otherwise."""
