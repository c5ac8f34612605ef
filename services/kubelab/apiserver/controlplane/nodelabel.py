"""The label of a control plane's node, ``node-role.kubernetes.io/control-plane``.

A kubelet may not set it on its own Node (NodeRestriction), so the api-server that runs on the node does, when it starts
and when the Node is created (kubeadm: mark-control-plane). Serial: one task, woken by the nodes' cache.
"""

from __future__ import annotations

import asyncio
from typing import cast

import structlog

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.messages import deep_copy
from kubelab.apiserver.registry.writer import ObjectWriter
from kubelab.apiserver.resources.writes import Decision, ObjectState
from kubelab.apiserver.watchcache.cache import ResourceCache
from kubelab.apiserver.watchcache.changes import Change

log = structlog.get_logger()

LABEL = "node-role.kubernetes.io/control-plane"
RETRY_AFTER = 1.0


class ControlPlaneNode:
    """Labels the Node of this name, where there is one."""

    def __init__(self, writer: ObjectWriter, nodes: ResourceCache, name: str, clock: Clock) -> None:
        self._writer, self._nodes, self._name, self._clock = writer, nodes, name, clock
        self._wake = asyncio.Event()
        nodes.on_change(self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.previous is None and change.entry is not None and change.entry.name == self._name:
            self._wake.set()

    async def run(self) -> None:
        """Label it now and whenever it is created, until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self._mark()
            except errors.ApiError as err:
                log.warning("cannot label the control plane's node", node=self._name, error=err.message)
                await self._clock.sleep(RETRY_AFTER)
                continue
            await self._wake.wait()

    async def _mark(self) -> None:
        entry = self._nodes.get("", self._name)
        if entry is None or LABEL in entry.labels:
            return

        def decide(current: ObjectState, taken: set[str]) -> Decision:
            del taken
            node = deep_copy(cast(core_pb2.Node, current.obj))
            node.metadata.labels[LABEL] = ""
            return Decision(node)

        try:
            await self._writer.rewrite(scheme.NODES, "", self._name, decide)
        except errors.NotFound:
            return  # it is gone again
        log.info("labelled the control plane's node", node=self._name)
