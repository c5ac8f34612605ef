"""The admission chain: plugins that look at every write, in a fixed order, after authorisation
(https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/).

``admit`` may change the object and runs first, for all plugins; ``validate`` only refuses, once the object is as it
would be stored. Both run inside the write's own decision: they see the very state that the transaction replaces, and
run again where that has changed. So they are pure and quick; what they need of the cluster they read from its caches.
``reserve`` comes last: what it gives is written in the transaction that writes the object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from google.protobuf.message import Message

from kubelab.apiserver.resources.claims import NO_CLAIMS, Claims
from kubelab.apiserver.storage.store import KeyValue
from kubelab.auth.attributes import Attributes


class AdmissionPlugin:
    """The base of a plugin: it lets everything pass. ``new`` is None for a deletion, ``old`` for a creation."""

    name: ClassVar[str]

    def handles(self, a: Attributes) -> bool:
        """Whether the plugin has anything to say about a request like this."""
        raise NotImplementedError

    def admit(self, a: Attributes, new: Message | None, old: Message | None) -> None:
        """Complete the new object; Forbidden."""

    def validate(self, a: Attributes, new: Message | None, old: Message | None) -> None:
        """Look at the new object as it would be stored; Forbidden."""

    def warnings(self, a: Attributes, new: Message) -> Sequence[str]:
        """Warn of a new object that is let in."""
        del a, new
        return ()

    def annotations(self, a: Attributes, new: Message | None, old: Message | None) -> Mapping[str, str]:
        """Say what the audit record shall know of a write, also of one that is refused."""
        del a, new, old
        return {}

    def reserve(self, a: Attributes, new: Message, old: Message | None) -> Claims:
        """Give what the write's transaction does besides; Forbidden."""
        del a, new, old
        return NO_CLAIMS

    def learn(self, current: Mapping[str, KeyValue | None], revision: int) -> None:
        """Take in what keys of claims hold at a revision."""

    def lock(self, a: Attributes) -> asyncio.Lock | None:
        """Give what the requests hold one after the other that would spoil each other's claims."""
        del a
        return None


class Admission:
    """The plugins that handle one request."""

    __slots__ = ("_attributes", "_plugins", "annotations")

    def __init__(self, attributes: Attributes | None, plugins: Sequence[AdmissionPlugin]) -> None:
        self._attributes, self._plugins = attributes, plugins
        self.annotations: Mapping[str, str] = {}
        """What the plugins have to say to the audit record."""

    def also(self, attributes: Attributes, plugin: AdmissionPlugin) -> Admission:
        """Add a plugin that is one request's own. The others go on with the attributes that they were chosen by;
        ``attributes`` are for where there are none."""
        return Admission(self._attributes or attributes, [*self._plugins, plugin])

    def admit(self, new: Message | None, old: Message | None) -> None:
        """Let every plugin complete the new object, or refuse it."""
        for plugin in self._plugins:
            assert self._attributes is not None
            plugin.admit(self._attributes, new, old)

    def validate(self, new: Message | None, old: Message | None) -> None:
        """Let every plugin refuse what would be stored."""
        for plugin in self._plugins:
            assert self._attributes is not None
            if found := plugin.annotations(self._attributes, new, old):
                self.annotations = {**self.annotations, **found}
            plugin.validate(self._attributes, new, old)

    def warnings(self, new: Message) -> list[str]:
        """Give the plugins' warnings of a new object."""
        found: list[str] = []
        for plugin in self._plugins:
            assert self._attributes is not None
            found += plugin.warnings(self._attributes, new)
        return found

    def reserve(self, new: Message, old: Message | None) -> Claims:
        """Give what the write's transaction does besides; Forbidden."""
        claims = NO_CLAIMS
        for plugin in self._plugins:
            assert self._attributes is not None
            more = plugin.reserve(self._attributes, new, old)
            if more is not NO_CLAIMS:
                claims = claims.also(more)
        return claims

    def learn(self, current: Mapping[str, KeyValue | None], revision: int) -> None:
        """Tell the plugins what the keys of their claims hold at a revision."""
        for plugin in self._plugins:
            plugin.learn(current, revision)

    def lock(self) -> asyncio.Lock | None:
        """Give the lock of the plugin that has one."""
        for plugin in self._plugins:
            assert self._attributes is not None
            if (lock := plugin.lock(self._attributes)) is not None:
                return lock
        return None


NO_ADMISSION = Admission(None, ())
"""For what the api-server writes itself."""

_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


class AdmissionChain:
    """All plugins of a server, in the order in which they run."""

    def __init__(self, plugins: Sequence[AdmissionPlugin]) -> None:
        self._plugins = plugins

    def of(self, a: Attributes) -> Admission:
        """Choose the plugins for a request. To them a patch is the update that it makes."""
        if a.verb not in _WRITES:
            return NO_ADMISSION
        if a.verb == "patch":
            a = replace(a, verb="update")
        chosen = [plugin for plugin in self._plugins if plugin.handles(a)]
        return Admission(a, chosen) if chosen else NO_ADMISSION
