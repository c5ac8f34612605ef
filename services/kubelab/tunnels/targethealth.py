"""The order in which a connection tries its targets. Pure.

A target that failed goes behind the others for a while, and so does one that the supervisor reports as unhealthy. No
target is ever left out: where all are unhealthy, they are tried all the same.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from kubelab.tunnels.model import Route, TunnelTarget

REMEMBERED_SECONDS = 10.0  # that a failure counts


@dataclass(slots=True)
class TargetHealth:
    """The recent failures and the unhealthy targets."""

    failed: dict[TunnelTarget, float] = field(default_factory=dict[TunnelTarget, float])
    unhealthy: Set[str] = frozenset()  # addresses, and nodes

    def order(self, route: Route, now: float) -> list[TunnelTarget]:
        """Return the targets in the order in which to try them."""
        return sorted(route.targets, key=lambda target: (self._is_unhealthy(target, route), self._failing(target, now)))

    def note(self, target: TunnelTarget, *, healthy: bool, now: float) -> None:
        """Record the outcome of an attempt."""
        if healthy:
            self.failed.pop(target, None)
        else:
            self.failed[target] = now

    def forget(self, route: Route) -> None:
        """Forget the targets of a tunnel that is closed."""
        for target in route.targets:
            self.failed.pop(target, None)

    def _is_unhealthy(self, target: TunnelTarget, route: Route) -> bool:
        """An unhealthy node (its kubelet, say) may still have a healthy api-server."""
        return target.address in self.unhealthy or (not route.client_first and target.node in self.unhealthy)

    def _failing(self, target: TunnelTarget, now: float) -> bool:
        since = self.failed.get(target)
        return since is not None and now - since < REMEMBERED_SECONDS
