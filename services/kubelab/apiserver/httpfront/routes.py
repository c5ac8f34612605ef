"""What answers a request: the paths that are no resources, and the subresources that are streams. The verbs answer all
the rest. An owner of paths registers them when the server is put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from kubelab.apiserver.httpfront.paths import ResourceURL
from kubelab.apiserver.request import Request


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request. ``request`` is what the endpoints know of it, its user included once it is identified."""

    raw: web.BaseRequest
    request: Request
    url: ResourceURL | None = None
    """What the path names, where that is a resource."""


PathHandler = Callable[[Call], Awaitable[web.StreamResponse]]
"""Answers a request. It raises :mod:`kubelab.apimachinery.errors`, which become a ``Status``."""


@dataclass(frozen=True, slots=True)
class Route:
    """``open`` ones need no user; the user of all others must be allowed to read the path."""

    handler: PathHandler
    open: bool = False
    methods: frozenset[str] = frozenset({"GET", "HEAD"})


@dataclass(slots=True)
class Routes:
    """The table. The longest prefix that is registered wins; an exact path wins over every prefix."""

    _exact: dict[str, Route] = field(default_factory=dict[str, Route])
    _prefixes: dict[str, Route] = field(default_factory=dict[str, Route])
    _streams: dict[tuple[str, str, str], PathHandler] = field(default_factory=dict[tuple[str, str, str], PathHandler])
    _patterns: list[Callable[[str], Route | None]] = field(default_factory=list[Callable[[str], Route | None]])

    def add(self, path: str, handler: PathHandler, *, open: bool = False) -> None:
        """Register a path such as ``/version``. A slash at its end counts as the same path."""
        self._exact[path.rstrip("/") or "/"] = Route(handler, open)

    def add_prefix(self, prefix: str, handler: PathHandler, *, open: bool = False) -> None:
        """Register everything below a path that ends in a slash, such as ``/openapi/v3/``."""
        self._prefixes[prefix] = Route(handler, open)

    def add_lookup(self, find: Callable[[str], Route | None]) -> None:
        """Register paths that come and go while the server runs, such as those of group versions."""
        self._patterns.append(find)

    def add_stream(self, group: str, plural: str, subresource: str, handler: PathHandler) -> None:
        """Register a subresource that is no object, such as ``pods/log``, for all its methods. The handler lets the
        request in by ``RequestHandler.handling``."""
        self._streams[group, plural, subresource] = handler

    def stream(self, url: ResourceURL) -> PathHandler | None:
        """Find what answers for a subresource that is a stream."""
        return self._streams.get((url.path.group, url.path.resource, url.path.subresource))

    def find(self, path: str) -> Route | None:
        """Find what answers a path that is no resource."""
        path = path.rstrip("/") or "/"
        if (route := self._exact.get(path)) is not None:
            return route
        for look in self._patterns:
            if (route := look(path)) is not None:
                return route
        fitting = [prefix for prefix in self._prefixes if path.startswith(prefix)]
        return self._prefixes[max(fitting, key=len)] if fitting else None

    @property
    def paths(self) -> list[str]:
        """Every exact path, sorted, as ``GET /`` lists them."""
        return sorted(self._exact)
