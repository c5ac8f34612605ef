"""The engine behind the CRI's RuntimeService, without gRPC.

Calls about one pod are serial (a lock per sandbox), those about different pods run side by side. Making what is made
and removing what is gone succeed. A change that has begun is brought to its end, also when its caller has gone: what a
killed kubelet had begun is whole when the next one lists. Nothing blocks the event loop: netlink has a thread of its
own, files go to threads.
"""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger

from kubelab.apimachinery.clock import Clock
from kubelab.runtime.cgroups.machine import Offer
from kubelab.runtime.config import RuntimeConfig
from kubelab.runtime.host.base import Host
from kubelab.runtime.images.store import Store
from kubelab.runtime.launcher.client import Launcher
from kubelab.runtime.pods.containers import Containers
from kubelab.runtime.pods.inventory import Inventory
from kubelab.runtime.pods.podnetwork import PodNetwork
from kubelab.runtime.pods.sandboxes import Sandboxes
from kubelab.runtime.pods.uninterruptible import Uninterruptible

CLOSE_SECONDS = 2.0  # for changes under way at SIGTERM; the next start mends those that take longer


class Engine:
    """Sandboxes, containers and their network over one state folder. Changes go through ``uninterruptible``."""

    def __init__(
        self,
        config: RuntimeConfig,
        store: Store,
        host: Host,
        launcher: Launcher,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._host, self._log = host, log
        self.inventory = Inventory(config.state_dir, clock)
        self.network = PodNetwork(config.state_dir, log)
        self.containers = Containers(self.inventory, store, host, launcher, clock, log)
        self.sandboxes = Sandboxes(self.inventory, self.network, self.containers, host, launcher, log)
        self._calls = Uninterruptible(log)
        self.uninterruptible = self._calls.run

    @property
    def no_userns(self) -> str:
        """Why pods cannot have users of their own; "" where they can."""
        return self._host.no_userns

    @property
    def cgroups(self) -> Offer:
        """Which limits the machine can enforce."""
        return self._host.cgroups

    async def start(self) -> None:
        """Take over what an earlier runtime left: running pods go on, and ends of meanwhile get their events."""
        inventory = self.inventory
        await inventory.load()
        await self.containers.keep_images()
        await self.network.start(inventory.sandboxes.values())
        for container in inventory.containers.values():
            if container.started is not None and container.exit is None:
                self.containers.watch(container)
        for sandbox in inventory.sandboxes.values():
            if sandbox.ready:
                self.sandboxes.watch(sandbox)
        self._log.info("took over", sandboxes=len(inventory.sandboxes), containers=len(inventory.containers))

    async def close(self) -> None:
        """Let changes come to their end, then let go of everything; what runs goes on."""
        await self._calls.finish(CLOSE_SECONDS)
        for watch in self.inventory.watches.values():
            watch.close()
        self.network.close()
