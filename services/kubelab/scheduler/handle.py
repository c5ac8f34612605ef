"""What the scheduler gives to a plugin that it makes (upstream's ``framework.Handle``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kubelab.client.client import Client
from kubelab.scheduler.config import PluginArgs
from kubelab.scheduler.waitingpods import WaitingPods


@dataclass(frozen=True, slots=True)
class Handle:
    """``client`` writes while this process leads; ``waiting`` has the pods that Permit plugins let wait."""

    client: Client
    waiting: WaitingPods
    arguments: Mapping[str, PluginArgs] = field(default_factory=dict[str, PluginArgs])
    """Of the profile's plugins, by their names."""

    def args(self, plugin: str) -> PluginArgs:
        """Give a plugin's arguments; its defaults where the profile says nothing."""
        return self.arguments.get(plugin) or PluginArgs()
