"""What happens in the cluster that could make an unschedulable pod schedulable: a resource, and what became of it.

A plugin names the events that could change its no; event handlers report them to the queue. Source of the words:
https://github.com/kubernetes/kubernetes/blob/v1.32.0/pkg/scheduler/framework/types.go (ActionType, ClusterEvent)
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class ActionType(enum.Enum):
    """What became of an object."""

    ADD = "Add"
    DELETE = "Delete"
    UPDATE_NODE_ALLOCATABLE = "UpdateNodeAllocatable"
    UPDATE_NODE_LABEL = "UpdateNodeLabel"
    UPDATE_NODE_TAINT = "UpdateNodeTaint"
    """Taints or ``spec.unschedulable`` changed."""
    UPDATE_POD_LABEL = "UpdatePodLabel"
    UPDATE_NAMESPACE_LABEL = "UpdateNamespaceLabel"


class ClusterEvent(NamedTuple):
    """``resource`` is the plural: ``nodes``, ``pods`` or ``namespaces``."""

    resource: str
    action: ActionType


NODE_ADDED = ClusterEvent("nodes", ActionType.ADD)
NODE_RESIZED = ClusterEvent("nodes", ActionType.UPDATE_NODE_ALLOCATABLE)
NODE_LABELED = ClusterEvent("nodes", ActionType.UPDATE_NODE_LABEL)
NODE_TAINTED = ClusterEvent("nodes", ActionType.UPDATE_NODE_TAINT)
POD_GONE = ClusterEvent("pods", ActionType.DELETE)
"""A pod that had a node was deleted or ended."""
POD_ADDED = ClusterEvent("pods", ActionType.ADD)
"""A pod got its node."""
POD_LABELED = ClusterEvent("pods", ActionType.UPDATE_POD_LABEL)
"""The labels of a pod that has a node changed."""
NODE_GONE = ClusterEvent("nodes", ActionType.DELETE)
NAMESPACE_LABELED = ClusterEvent("namespaces", ActionType.UPDATE_NAMESPACE_LABEL)
"""A namespace came, or got other labels: terms with a namespace selector mean other pods."""
