"""The paths that tell of the server itself: its version, its health, its metrics."""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from kubelab.apimachinery.version import GIT_VERSION, KUBERNETES_VERSION
from kubelab.apiserver.httpfront.negotiation import pretty_by_default
from kubelab.apiserver.httpfront.routes import Call, Route, Routes
from kubelab.linux.architecture import architecture

Check = Callable[[], bool]
Metrics = Callable[[], Awaitable[tuple[bytes, str]]]
HEALTH = ("healthz", "livez", "readyz")


def version() -> dict[str, str]:
    """Give what ``GET /version`` answers."""
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation(),
        "platform": f"linux/{architecture()}",
    }


class Health:
    """``/healthz``, ``/livez`` and ``/readyz``, each whole, verbose (``?verbose``), without some checks
    (``?exclude=etcd``), or a single check (``/readyz/etcd``)."""

    def __init__(self, live: dict[str, Check], ready: dict[str, Check]) -> None:
        both = {**live, **ready}
        self._checks = {"healthz": live, "livez": live, "readyz": both}

    def find(self, path: str) -> Route | None:
        """Find the handler of one of these paths, or of a check below it."""
        which, _, name = path.strip("/").partition("/")
        checks = self._checks.get(which)
        if checks is None or (name and name not in checks):
            return None

        async def answer(call: Call) -> web.StreamResponse:
            chosen = {name: checks[name]} if name else checks
            return _report(which, chosen, call, single=bool(name))

        return Route(answer, open=True)


def _report(which: str, checks: dict[str, Check], call: Call, *, single: bool) -> web.Response:
    query: Any = call.raw.query
    excluded = set(query.getall("exclude", []))
    lines: list[str] = []
    failed = False
    for name, check in checks.items():
        if name in excluded:
            excluded.discard(name)
            lines.append(f"[+]{name} excluded: ok")
        elif check():
            lines.append(f"[+]{name} ok")
        else:
            failed = True
            lines.append(f"[-]{name} failed: reason withheld")
    if excluded:
        quoted = ", ".join(f'"{name}"' for name in sorted(excluded))
        lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
    if failed:
        if single:
            return web.Response(status=500, text="internal server error: reason withheld\n")
        return web.Response(status=500, text="\n".join([*lines, f"{which} check failed", ""]))
    if "verbose" in query and not single:
        return web.Response(text="\n".join([*lines, f"{which} check passed", ""]))
    return web.Response(text="ok")


def register(routes: Routes, health: Health, metrics: Metrics, dumps: Mapping[str, Callable[[], str]]) -> None:
    """Register all of these paths; ``dumps`` are texts about the server's state, by path."""

    async def answer_version(call: Call) -> web.StreamResponse:
        import orjson

        pretty = pretty_by_default(call.raw.headers.get("User-Agent", ""))
        body = orjson.dumps(version(), option=orjson.OPT_INDENT_2 if pretty else None)
        return web.Response(body=body, content_type="application/json")

    async def answer_metrics(call: Call) -> web.StreamResponse:
        del call
        body, kind = await metrics()
        return web.Response(body=body, headers={"Content-Type": kind})

    async def answer_index(call: Call) -> web.StreamResponse:
        del call
        return web.json_response({"paths": routes.paths})

    def add_dump(path: str, dump: Callable[[], str]) -> None:
        async def answer_dump(call: Call) -> web.StreamResponse:
            del call
            return web.Response(text=dump())

        routes.add(path, answer_dump)

    for path, dump in dumps.items():
        add_dump(path, dump)
    routes.add("/", answer_index)
    routes.add("/version", answer_version)
    routes.add("/metrics", answer_metrics)
    routes.add_lookup(health.find)
