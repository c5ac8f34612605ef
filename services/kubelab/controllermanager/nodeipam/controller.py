"""Give every node a range of pod addresses out of the cluster's, never one twice.

One worker: ranges are given out serially. A range is taken before it is written and stays taken for that node until
the node is gone, so that a write whose outcome is unknown is repeated with the same range. At the start the ranges of
all nodes are read back from a complete list.
"""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.errors import NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import is_terminating
from kubelab.apimachinery.scheme import NODES
from kubelab.client.controller import Reconciler
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.nodeipam.cidrpool import CidrPool
from kubelab.rpc import tracing

LOOK_AGAIN = 30.0  # seconds, when every range is taken


class NodeIpamController(Reconciler[str]):
    """Own ``spec.podCIDR`` of every node."""

    name = "nodeipam"

    def __init__(self, context: ControllerContext, pool: CidrPool | None = None) -> None:
        """``pool`` is one of the configured CIDR where none is given. Raises ConfigError."""
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._recorder = context.recorder("cidrAllocator")
        self._pool = pool or CidrPool.of(context.config)
        self._nodes = context.informers.of(NODES)
        self._foreign: dict[str, str] = {}  # by node, a range that is in the log already
        self._nodes.add_handler(
            on_add=self._changed, on_update=lambda _, new: self._changed(new), on_delete=self._changed
        )

    def enqueue_all(self) -> None:
        """Read all ranges back from a complete list, then look at every node."""
        self._pool.clear()  # an earlier lead's view: others have given out ranges since
        for node in self._nodes.list():
            self._read_back(node)
            self._queue.add(node.metadata.name)

    def _changed(self, node: core_pb2.Node) -> None:
        self._queue.add(node.metadata.name)

    def _read_back(self, node: core_pb2.Node) -> None:
        name, cidr = node.metadata.name, node.spec.podCIDR
        if not cidr or self._pool.occupy(name, cidr):
            self._foreign.pop(name, None)
        elif self._foreign.get(name) != cidr:
            self._foreign[name] = cidr
            self._log.error("pod CIDR is not ours or taken", node=name, cidr=cidr)

    async def sync(self, key: str) -> None:
        """Give one node its range, or take it back when the node is gone."""
        node = self._nodes.get(key)
        if node is None:
            self._pool.release(key)
            self._foreign.pop(key, None)
            return
        if node.spec.podCIDR:
            self._read_back(node)
            return
        if is_terminating(node):
            return
        cidr = self._pool.take(key)
        if cidr is None:
            message = f"Node {key} status is now: CIDRNotAvailable"
            self._recorder.event(node, "Normal", "CIDRNotAvailable", message)
            self._queue.add_after(key, LOOK_AGAIN)
            return
        changed = deep_copy(node)
        changed.spec.podCIDR = cidr
        changed.spec.podCIDRs[:] = [cidr]
        try:
            with tracing.cause(node.metadata.resourceVersion):
                await self._client.update(changed)
        except NotFound:
            return
        self._log.info("assigned a pod CIDR", node=key, cidr=cidr)
