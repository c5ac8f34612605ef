"""The kinds that have rollouts: for another, a class as :mod:`kubelab.kctl.rollout.interface` says, and a line."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.message import Message

from kubelab.apimachinery.scheme import DEPLOYMENTS, Resource
from kubelab.kctl.rollout.deployments import DeploymentRollout
from kubelab.kctl.rollout.interface import Rollout

KINDS: Mapping[Resource[Message], Rollout] = {DEPLOYMENTS: DeploymentRollout()}
