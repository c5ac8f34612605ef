"""The plugins of one profile, by extension point, as the configuration chooses them.

The words and the order are KubeSchedulerConfiguration's: ``multiPoint`` enables a plugin at every point that it
extends, in the defaults' order; what a point names itself comes before that; ``disabled`` takes away, ``*`` all.
https://kubernetes.io/docs/reference/scheduling/config/#multiple-profiles
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import TypeVar

from kubelab.apimachinery.errors import ApiError, InternalError
from kubelab.component.config import ConfigError, camel
from kubelab.scheduler.config import ARGUMENTS, PluginArgs, PluginConfig, PluginSet, Profile, SchedulerConfig
from kubelab.scheduler.framework import (
    SKIP,
    BindPlugin,
    CycleState,
    FilterPlugin,
    PermitPlugin,
    Plugin,
    PluginError,
    PostBindPlugin,
    PostFilterPlugin,
    PreBindPlugin,
    PreEnqueuePlugin,
    Rejection,
    ReservePlugin,
    ScorePlugin,
    Wait,
)
from kubelab.scheduler.handle import Handle
from kubelab.scheduler.model import PodInfo
from kubelab.scheduler.plugins.registry import IN_TREE, Registry

P = TypeVar("P")
ALL = "*"


class Framework:
    """The plugins that the scheduler runs for the pods of one ``schedulerName``, by extension point."""

    def __init__(self, handle: Handle, profile: Profile | None = None, registry: Registry = IN_TREE) -> None:
        """Raises ConfigError for a plugin that does not exist, or does not extend the point that names it, and for a
        profile in which no plugin binds."""
        profile = profile or Profile()
        plugins, self.name = profile.plugins, profile.scheduler_name
        points = {camel(f.name): getattr(plugins, f.name) for f in fields(plugins)}
        where = f"profiles: {self.name}: plugins"
        for point, chosen in points.items():
            _check(chosen, registry, f"{where}.{point}")
        handle = replace(handle, arguments=_arguments(profile, registry))
        everywhere = _merged([PluginConfig(name=name) for name in IN_TREE], plugins.multi_point)
        names = {entry.name for chosen in points.values() for entry in chosen.enabled}
        instances = {name: registry[name](handle) for name in {*(entry.name for entry in everywhere), *names}}

        def at(point: str, extends: Callable[[Plugin], P | None]) -> list[tuple[P, int]]:
            chosen = points[point]
            for entry in chosen.enabled:
                if extends(instances[entry.name]) is None:
                    raise ConfigError(f"{where}.{point}: plugin {entry.name!r} does not extend {point}")
            entries = [(extends(instances[entry.name]), entry.weight) for entry in _in_order(everywhere, chosen)]
            return [(plugin, weight) for plugin, weight in entries if plugin is not None]

        def plugins_at(point: str, extends: Callable[[Plugin], P | None]) -> tuple[P, ...]:
            return tuple(plugin for plugin, _ in at(point, extends))

        self.pre_enqueues = plugins_at("preEnqueue", lambda p: p if isinstance(p, PreEnqueuePlugin) else None)
        self.filters = plugins_at("filter", lambda p: p if isinstance(p, FilterPlugin) else None)
        self.post_filters = plugins_at("postFilter", lambda p: p if isinstance(p, PostFilterPlugin) else None)
        scores = at("score", lambda p: p if isinstance(p, ScorePlugin) else None)
        self.scores = tuple((plugin, weight or plugin.weight) for plugin, weight in scores)
        self.reserves = plugins_at("reserve", lambda p: p if isinstance(p, ReservePlugin) else None)
        self.permits = plugins_at("permit", lambda p: p if isinstance(p, PermitPlugin) else None)
        self.pre_binds = plugins_at("preBind", lambda p: p if isinstance(p, PreBindPlugin) else None)
        self.binds = plugins_at("bind", lambda p: p if isinstance(p, BindPlugin) else None)
        self.post_binds = plugins_at("postBind", lambda p: p if isinstance(p, PostBindPlugin) else None)
        if not self.binds:
            raise ConfigError(f"{where}.bind: got none, expected at least one plugin")

    def pre_enqueue(self, pod: PodInfo) -> bool:
        """Say whether every PreEnqueue plugin lets a pod into the active queue."""
        return all(plugin.pre_enqueue(pod) for plugin in self.pre_enqueues)

    def reserve(self, state: CycleState, pod: PodInfo, node: str) -> Rejection | None:
        """Reserve for a pod; the first rejection counts. The caller unreserves."""
        for plugin in self.reserves:
            if (rejection := plugin.reserve(state, pod, node)) is not None:
                return rejection
        return None

    def permit(self, state: CycleState, pod: PodInfo, node: str) -> Rejection | Mapping[str, Wait] | None:
        """Ask every Permit plugin: the first rejection counts, else give those that let the pod wait, by name."""
        if not self.permits:
            return None
        waits: dict[str, Wait] = {}
        for plugin in self.permits:
            answer = plugin.permit(state, pod, node)
            if isinstance(answer, Rejection):
                return answer
            if answer is not None:
                waits[plugin.name] = answer
        return waits

    async def pre_bind(self, state: CycleState, pod: PodInfo, node: str) -> Rejection | PluginError | None:
        """Run the PreBind plugins until one rejects or fails."""
        for plugin in self.pre_binds:
            try:
                rejection = await plugin.pre_bind(state, pod, node)
            except ApiError as err:
                return PluginError("PreBind", plugin.name, err)
            if rejection is not None:
                return rejection
        return None

    async def bind(self, state: CycleState, pod: PodInfo, node: str) -> PluginError | None:
        """Let the first Bind plugin that does not skip the pod bind it."""
        for plugin in self.binds:
            try:
                if await plugin.bind(state, pod, node) is not SKIP:
                    return None
            except ApiError as err:
                return PluginError("Bind", plugin.name, err)
        return PluginError("Bind", self.binds[-1].name, InternalError("every Bind plugin skipped the pod"))


def frameworks(config: SchedulerConfig, handle: Handle, registry: Registry = IN_TREE) -> dict[str, Framework]:
    """Make every profile's framework, by ``schedulerName``. Raises ConfigError when two have one name, or none is."""
    by_name: dict[str, Framework] = {}
    for profile in config.profiles:
        if profile.scheduler_name in by_name:
            raise ConfigError(f"profiles: schedulerName {profile.scheduler_name!r} stands twice, expected once")
        by_name[profile.scheduler_name] = Framework(handle, profile, registry)
    if not by_name:
        raise ConfigError("profiles: got none, expected at least one")
    return by_name


def _arguments(profile: Profile, registry: Registry) -> dict[str, PluginArgs]:
    """Check ``pluginConfig`` and give the arguments by plugin. Raises ConfigError."""
    where = f"profiles: {profile.scheduler_name}: pluginConfig"
    arguments: dict[str, PluginArgs] = {}
    for entry in profile.plugin_config:
        if entry.name not in registry:
            raise ConfigError(f"{where}: unknown {entry.name}; expected some of {', '.join(sorted(registry))}")
        if entry.name in arguments:
            raise ConfigError(f"{where}: {entry.name} stands twice, expected once")
        own, unset = ARGUMENTS.get(entry.name, ()), PluginArgs()
        foreign = [f.name for f in fields(unset) if f.name not in own]
        foreign = [camel(name) for name in foreign if getattr(entry.args, name) != getattr(unset, name)]
        if foreign:
            expected = ", ".join(map(camel, own)) or "none"
            raise ConfigError(f"{where}: {entry.name}: got {', '.join(foreign)}, expected {expected}")
        if entry.args.default_constraints and entry.args.defaulting_type == "System":
            raise ConfigError(f"{where}: {entry.name}: got defaultConstraints, expected defaultingType: List with them")
        arguments[entry.name] = entry.args
    return arguments


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
    names_everywhere = {entry.name for entry in everywhere}
    named = sorted(chosen.enabled, key=lambda entry: entry.name not in names_everywhere)
    names = {entry.name for entry in named}
    return [*named, *(entry for entry in _without(everywhere, chosen) if entry.name not in names)]
