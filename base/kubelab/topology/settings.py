"""A user's settings of a cluster's components: ``COMPONENT.KEY=VALUE``, kept in the cluster's record.

This module checks only the form. The supervisor checks keys and values against each component's configuration before it
starts anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import yaml

from kubelab.topology.record import RecordError

FORM = "COMPONENT.KEY=VALUE, such as controller-manager.nodeLifecycle.nodeMonitorGracePeriod=4s"


def parse_settings(words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read ``["kubelet.maxPods=20"]`` as ``{"kubelet": {"maxPods": 20}}``; values are YAML. Raises RecordError.

    ``kubelet.maxPods=``, or null, means the default again: its value is None.
    """
    parsed: dict[str, dict[str, Any]] = {}
    for word in words:
        name, equals, text = word.partition("=")
        component, *path = name.split(".")
        if not equals or not component or not path or not all(path):
            raise RecordError(f'--set: got "{word}", expected {FORM}')
        try:
            value: object = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        for key in reversed(path):
            value = {key: value}
        parsed[component] = merged(parsed.get(component, {}), cast(dict[str, Any], value))
    return parsed


def changed(settings: Mapping[str, Mapping[str, Any]], changes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Give settings with what :func:`parse_settings` has read; what is to be the default again is not among them."""
    return _without_none(merged(settings, changes))


def _without_none(settings: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in settings.items():
        kept = _without_none(cast(Mapping[str, Any], value)) if isinstance(value, Mapping) else value
        if kept is not None and not (isinstance(value, Mapping) and not kept):
            result[key] = kept
    return result


def look_up(settings: Mapping[str, Any], key: str) -> str | None:
    """Find ``nodeLifecycle.nodeMonitorGracePeriod`` in one component's settings; None where it is not set."""
    value: object = settings
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = cast(Mapping[str, object], value)[part]
    return str(value)


def flag(command: Sequence[str], key: str) -> str | None:
    """Find the same in a component's command line, as ``--node-lifecycle-node-monitor-grace-period=4s``."""
    name = re.sub("(?<=[a-z0-9])(?=[A-Z])", "-", key.replace(".", "-")).lower()
    values = [word.partition("=")[2] for word in command if word.startswith(f"--{name}=")]
    return values[-1] if values else None


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two mappings as one, also inside; ``above`` wins."""
    result = dict(below)
    for key, value in above.items():
        under = below.get(key)
        inside = isinstance(value, Mapping) and isinstance(under, Mapping)
        result[key] = merged(cast(Mapping[str, Any], under), cast(Mapping[str, Any], value)) if inside else value
    return result
