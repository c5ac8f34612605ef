"""The pass over what got in: every reader of :mod:`tests.fuzz.readers`, and kctl as a user types it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
from pathlib import Path

from google.protobuf.message import Message

from kubelab.apimachinery import terminal
from kubelab.apimachinery.errors import NotFound
from kubelab.client.client import Client
from kubelab.kctl.__main__ import main as kctl
from tests.fuzz.objects import KINDS
from tests.fuzz.readers import READERS, World
from tests.fuzz.run import Report

BATCH = 4  # objects of each kind that are read together: some readers join every object with every other


async def read(client: Client, kubeconfig: Path, report: Report) -> None:
    """Read everything in every way."""
    objects: list[list[Message]] = []
    for resource in KINDS:
        listed: list[Message] = []
        async for page in client.pages(resource):
            listed += page.items
        objects.append(listed)
    report.got_in = sum(map(len, objects))
    batches = itertools.zip_longest(*map(_batches, objects), fillvalue=())
    for batch in batches:
        world = World.of(obj for some in batch for obj in some)
        for name, reader in READERS.items():
            try:
                reader(world)
            except Exception as err:  # noqa: BLE001 — any exception is a finding
                report.add(f"the reader {name} raised {type(err).__name__}: {err}", kind=f"reader {name}")
    await asyncio.to_thread(_type_all, kubeconfig, report)
    await _still_works(client, report)


def _batches(listed: list[Message]) -> list[list[Message]]:
    return [listed[n : n + BATCH] for n in range(0, len(listed), BATCH)]


def _type_all(kubeconfig: Path, report: Report) -> None:
    for resource in KINDS:
        for command in ("get", "get -o wide", "get -o yaml", "get -o json", "describe"):
            words = command.split()
            line = [words[0], resource.qualified, *words[1:]]
            if resource.namespaced:
                line.append("-A")
            code, out, err = _typed([*line, f"--kubeconfig={kubeconfig}"])
            said = f"kctl {' '.join(line)}"
            if code or "bug in kctl" in err:
                report.add(f"{said}: exit code {code}: {err[:300]}", kind=said)
            if terminal.acts(out + err):
                report.add(f"{said}: raw control characters on the terminal", kind=f"{said} raw")


def _typed(line: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = kctl(line)
    return code, out.getvalue(), err.getvalue()


async def _still_works(client: Client, report: Report) -> None:
    """A normal object can be created, read and deleted."""
    from kubelab.api.core.v1 import core_pb2
    from kubelab.apimachinery.scheme import CONFIG_MAPS

    expected = core_pb2.ConfigMap(data={"a": "b"})
    expected.metadata.name, expected.metadata.namespace = "still-works", "kube-system"
    try:
        with contextlib.suppress(NotFound):
            await client.delete(CONFIG_MAPS, "still-works", "kube-system")
        await client.create(expected)
        stored = await client.get(CONFIG_MAPS, "still-works", "kube-system")
        await client.delete(CONFIG_MAPS, "still-works", "kube-system")
        if dict(stored.data) != {"a": "b"}:
            report.add(f"a config map came back as {stored}")
    except Exception as err:  # noqa: BLE001 — any exception is a finding
        report.add(f"a normal object cannot be created, read and deleted any more: {type(err).__name__}: {err}")
