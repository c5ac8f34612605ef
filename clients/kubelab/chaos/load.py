"""Steady requests and steady writes in the background, each of them recorded.

Requests are sent at a fixed rate, whether or not earlier ones have been answered: a service that hangs must not slow
down its measurement. Each request is a connection of its own, so kube-proxy chooses a pod for each. Writes go one after
the other: each creates a small object with a new name, and the cluster must keep every object that it acknowledged.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.backoff import jittered
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import ApiError
from kubelab.chaos.recording import RecordingWriter, ServiceRequest, Write
from kubelab.client.client import Client

REQUEST_SECONDS = 2.0
WRITE_SECONDS = 2.0
AGAIN_SECONDS = 0.1
LABEL = "kubelab.chaos/write"
MAX_ANSWER = 64 * 1024


async def send_requests(port: int, per_second: float, writer: RecordingWriter, clock: Clock) -> None:
    """Ask ``http://127.0.0.1:port/`` so many times a second until cancelled."""
    begin, n = clock.monotonic(), 0
    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(_request(port, writer, clock), name=f"request-{n}")
            n += 1
            await clock.sleep(max(0.0, begin + n / per_second - clock.monotonic()))


async def wait_answered(port: int, in_a_row: int, clock: Clock) -> None:
    """Ask until so many requests in a row are answered: a container runs before its program listens. No limit here."""
    good = 0
    while good < in_a_row:
        _, error = await _ask(port, clock)
        good = 0 if error else good + 1
        if error:
            await clock.sleep(jittered(AGAIN_SECONDS))


async def _request(port: int, writer: RecordingWriter, clock: Clock) -> None:
    began = clock.monotonic()
    with writer.under_way() as at:
        answerer, error = await _ask(port, clock)
        writer.request(ServiceRequest(at, round((clock.monotonic() - began) * 1000, 2), answerer, error))


async def _ask(port: int, clock: Clock) -> tuple[str, str]:
    """Send one request; return the answering pod and the error ("" when it was answered)."""
    try:
        async with clock.timeout(REQUEST_SECONDS):
            return answerer_of(await _get(port)), ""
    except TimeoutError:
        return "", f"no answer in {REQUEST_SECONDS:g} s"
    except ConnectionRefusedError:
        return "", "connection refused"
    except ConnectionError:
        return "", "connection reset"
    except (OSError, ValueError) as err:
        return "", str(err) or type(err).__name__


async def _get(port: int) -> bytes:
    """One HTTP request on a connection of its own; gives the answer's body. ValueError when it is not a 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n")
        await writer.drain()
        answer = await reader.read(MAX_ANSWER)
        while chunk := await reader.read(MAX_ANSWER):
            answer += chunk
    finally:
        writer.close()
    if not answer:
        raise ConnectionResetError
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].decode(errors="replace").split(" ")
    if len(status) < 2 or status[1] != "200":
        raise ValueError(f"HTTP {' '.join(status[1:]) or 'answer of no known form'}")
    return body


def answerer_of(body: bytes) -> str:
    """Return the pod that answered: the last word of the hello app's ``data``; else the text itself, shortened."""
    text = body.decode(errors="replace")
    try:
        return str(json.loads(text)["data"]).split()[-1]
    except (ValueError, KeyError, TypeError, IndexError):
        return text.strip()[:60]


async def send_writes(
    client: Client, namespace: str, per_second: float, writer: RecordingWriter, acknowledged: Callable[[str], None]
) -> None:
    """Create a ConfigMap, again and again, until cancelled; ``acknowledged`` gets each name that was answered for."""
    clock = client.clock
    begin, n = clock.monotonic(), 0
    while True:
        began = clock.monotonic()
        with writer.under_way() as at:
            name = f"write-{n:06d}"
            error = await _write(client, namespace, name)
            if not error:
                acknowledged(name)
            writer.wrote(Write(at, round((clock.monotonic() - began) * 1000, 2), name, error))
        n += 1
        due = begin + n / per_second - clock.monotonic()
        if due < 0:  # late: go on from here, do not catch up in a burst
            begin -= due
        await clock.sleep(max(0.0, due))


async def _write(client: Client, namespace: str, name: str) -> str:
    """Create one object; gives what went wrong, "" when it was acknowledged."""
    try:
        async with client.clock.timeout(WRITE_SECONDS):
            await client.create(_note(name), namespace)
    except TimeoutError:
        return f"no answer in {WRITE_SECONDS:g} s"
    except ApiError as err:
        return err.reason
    return ""


def _note(name: str) -> core_pb2.ConfigMap:
    note = core_pb2.ConfigMap(data={"written": name})
    note.metadata.name = name
    note.metadata.labels[LABEL] = "true"
    return note
