"""The plugins of one profile, by extension point, as the configuration chooses them.

The words and the order are KubeSchedulerConfiguration's: ``multiPoint`` enables a plugin at every point that it
extends, in the defaults' order; what a point names itself comes before that; ``disabled`` takes away, ``*`` all.
https://kubernetes.io/docs/reference/scheduling/config/#multiple-profiles
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from kubelab.component.config import ConfigError
from kubelab.scheduler.config import PluginConfig, PluginSet, Profile, SchedulerConfig
from kubelab.scheduler.framework import FilterPlugin, Plugin, PostFilterPlugin, ScorePlugin
from kubelab.scheduler.plugins.registry import IN_TREE, Registry

P = TypeVar("P")
ALL = "*"


class Framework:
    """What the algorithm runs for the pods of one ``schedulerName``."""

    def __init__(self, profile: Profile | None = None, registry: Registry = IN_TREE) -> None:
        """Raises ConfigError for a plugin that does not exist, or does not extend the point that names it."""
        profile = profile or Profile()
        plugins, self.name = profile.plugins, profile.scheduler_name
        points = {
            "multiPoint": plugins.multi_point,
            "filter": plugins.filter,
            "postFilter": plugins.post_filter,
            "score": plugins.score,
        }
        for point, chosen in points.items():
            _check(chosen, registry, f"profiles: {self.name}: plugins.{point}")
        everywhere = _merged([PluginConfig(name=name) for name in IN_TREE], plugins.multi_point)
        named = {entry.name for chosen in points.values() for entry in chosen.enabled}
        made = {name: registry[name]() for name in {*(entry.name for entry in everywhere), *named}}
        where = f"profiles: {self.name}: plugins"

        def at(point: str, chosen: PluginSet, extends: Callable[[Plugin], P | None]) -> list[tuple[P, int]]:
            for entry in chosen.enabled:
                if extends(made[entry.name]) is None:
                    raise ConfigError(f"{where}.{point}: plugin {entry.name!r} does not extend {point}")
            found = [(extends(made[entry.name]), entry.weight) for entry in _in_order(everywhere, chosen)]
            return [(plugin, weight) for plugin, weight in found if plugin is not None]

        filters = at("filter", plugins.filter, lambda p: p if isinstance(p, FilterPlugin) else None)
        post = at("postFilter", plugins.post_filter, lambda p: p if isinstance(p, PostFilterPlugin) else None)
        scores = at("score", plugins.score, lambda p: p if isinstance(p, ScorePlugin) else None)
        self.filters = tuple(plugin for plugin, _ in filters)
        self.post_filters = tuple(plugin for plugin, _ in post)
        self.scores = tuple((plugin, weight or plugin.weight) for plugin, weight in scores)


def frameworks(config: SchedulerConfig, registry: Registry = IN_TREE) -> dict[str, Framework]:
    """Make every profile's framework, by ``schedulerName``. Raises ConfigError when two have one name, or none is."""
    made: dict[str, Framework] = {}
    for profile in config.profiles:
        if profile.scheduler_name in made:
            raise ConfigError(f"profiles: schedulerName {profile.scheduler_name!r} stands twice, expected once")
        made[profile.scheduler_name] = Framework(profile, registry)
    if not made:
        raise ConfigError("profiles: got none, expected at least one")
    return made


def _check(chosen: PluginSet, registry: Registry, where: str) -> None:
    unknown = sorted({entry.name for entry in chosen.enabled} - registry.keys())
    unknown += sorted({entry.name for entry in chosen.disabled} - {ALL, *registry})
    if unknown:
        raise ConfigError(f"{where}: unknown {', '.join(unknown)}; expected some of {', '.join(sorted(registry))}")
    names = [entry.name for entry in chosen.enabled]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{where}: {', '.join(twice)} is enabled twice, expected once")


def _merged(defaults: Sequence[PluginConfig], chosen: PluginSet) -> list[PluginConfig]:
    """Take the defaults that are not disabled; one that is enabled again keeps its place and gets the new weight."""
    again = {entry.name: entry for entry in chosen.enabled}
    kept = [again.pop(entry.name, entry) for entry in _without(defaults, chosen)]
    return [*kept, *again.values()]


def _without(entries: Iterable[PluginConfig], chosen: PluginSet) -> list[PluginConfig]:
    disabled = {entry.name for entry in chosen.disabled}
    return [] if ALL in disabled else [entry for entry in entries if entry.name not in disabled]


def _in_order(everywhere: Sequence[PluginConfig], chosen: PluginSet) -> list[PluginConfig]:
    """Put what a point names before the rest of multiPoint; of what it names, upstream takes overrides first."""
    known = {entry.name for entry in everywhere}
    named = sorted(chosen.enabled, key=lambda entry: entry.name not in known)
    names = {entry.name for entry in named}
    return [*named, *(entry for entry in _without(everywhere, chosen) if entry.name not in names)]
