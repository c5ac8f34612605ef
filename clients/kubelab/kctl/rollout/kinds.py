"""The kinds that have rollouts: for another, a class as :mod:`kubelab.kctl.rollout.interface` says, and a line."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.message import Message

from kubelab.apimachinery.scheme import DAEMON_SETS, DEPLOYMENTS, STATEFUL_SETS, Resource
from kubelab.kctl.rollout.deployments import DeploymentRollout
from kubelab.kctl.rollout.interface import Rollout
from kubelab.kctl.rollout.sets import DaemonSetRollout, StatefulSetRollout

KINDS: Mapping[Resource[Message], Rollout] = {
    DEPLOYMENTS: DeploymentRollout(),
    DAEMON_SETS: DaemonSetRollout(),
    STATEFUL_SETS: StatefulSetRollout(),
}
