"""The labels of namespaces, by which pod affinity terms choose them."""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.apimachinery.labels import Selector

_NONE: Mapping[str, str] = {}


class NamespaceLabels:
    """Labels by the namespace's name."""

    def __init__(self) -> None:
        self._labels: dict[str, dict[str, str]] = {}

    def set(self, name: str, labels: Mapping[str, str]) -> bool:
        """Learn a namespace's labels; say whether they changed."""
        new = dict(labels)
        changed = self._labels.get(name) != new
        self._labels[name] = new
        return changed

    def remove(self, name: str) -> None:
        self._labels.pop(name, None)

    def of(self, name: str) -> Mapping[str, str]:
        """Give a namespace's labels; none while it is not known."""
        return self._labels.get(name, _NONE)

    def matching(self, selector: Selector) -> frozenset[str]:
        """List the namespaces that a selector takes."""
        return frozenset(name for name, labels in self._labels.items() if selector.matches(labels))
