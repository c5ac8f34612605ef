"""Keep in each aggregated cluster role the rules of the cluster roles that its selectors choose
(https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles)."""

from __future__ import annotations

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery.errors import NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import is_terminating
from kubelab.apimachinery.rbac.aggregation import aggregated
from kubelab.apimachinery.rbac.rules import message_of, rules_of
from kubelab.apimachinery.scheme import CLUSTER_ROLES
from kubelab.client.controller import Reconciler
from kubelab.controllermanager.context import ControllerContext
from kubelab.rpc import tracing


class ClusterRoleAggregationController(Reconciler[str]):
    """Own the rules of aggregated cluster roles. A change of any cluster role may change each of them."""

    name = "clusterroleaggregation"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._roles = context.informers.of(CLUSTER_ROLES)
        self._roles.add_handler(
            on_add=lambda _: self.enqueue_all(),
            on_update=lambda _, __: self.enqueue_all(),
            on_delete=lambda _: self.enqueue_all(),
        )

    def enqueue_all(self) -> None:
        """Look at every aggregated cluster role."""
        for role in self._roles.list():
            if role.HasField("aggregationRule"):
                self._queue.add(role.metadata.name)

    async def sync(self, key: str) -> None:
        """Write the rules of one cluster role, if they are not those of the roles that it is made of."""
        role = self._roles.get(key)
        if role is None or not role.HasField("aggregationRule") or is_terminating(role):
            return
        rules = aggregated(role, self._roles.list())
        if list(rules_of(role.rules)) == rules:
            return
        changed: rbac_pb2.ClusterRole = deep_copy(role)
        del changed.rules[:]
        changed.rules.extend(map(message_of, rules))
        with tracing.cause(role.metadata.resourceVersion):
            try:
                await self._client.update(changed)
            except NotFound:
                return
