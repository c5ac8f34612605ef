"""A client that may do everything and floods: ``requestflood.py KIND KUBECONFIG CONTEXT``.

It has the administrator's certificate and asks as another user of the same group, so it is at the administrator's own
priority level. Kinds: ``lists`` sends 400 lists side by side, and the next ones at once; ``silent`` asks for large
lists over HTTPS and reads none of the answers; ``watches`` opens 5,000 watches. Prints a line of JSON when each of them
was tried once, ``{"answered": 12, "refused": 388}``, and goes on until it is ended.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
import tempfile
from collections import Counter

import grpc

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import PODS
from kubelab.client import requests
from kubelab.client.client import Client
from kubelab.client.kubeconfig import Access, Kubeconfig, impersonation_headers
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from kubelab.rpc.channels import TLSIdentity, open_channel

KINDS = ("lists", "silent", "watches")
LISTS, SILENT, WATCHES = 400, 100, 5_000
CHANNELS = 8
LARGE, LARGE_BYTES = 16, 256 * 1024  # config maps, and the random bytes that each holds as text
LABEL = "flood=yes"
AS = impersonation_headers("flooder", ("kubeadm:cluster-admins",))


class Flood:
    """``tried`` counts what became of each attempt."""

    def __init__(self, access: Access, https: tuple[str, int]) -> None:
        self._access, self._https = access, https
        self._metadata = tuple((name.lower(), value) for name, value in AS)
        self.tried: Counter[str] = Counter()
        self._changed = asyncio.Event()

    def _note(self, outcome: str) -> None:
        self.tried[outcome] += 1
        self._changed.set()

    def _failed(self, err: grpc.aio.AioRpcError) -> None:
        self._note("refused" if err.code() is grpc.StatusCode.RESOURCE_EXHAUSTED else err.code().name)

    async def all_tried(self, count: int) -> None:
        while self.tried.total() < count:
            self._changed.clear()
            await self._changed.wait()

    def channel(self) -> grpc.aio.Channel:
        access = self._access
        identity = TLSIdentity(access.ca, access.certificate, access.key)
        own = (("grpc.use_local_subchannel_pool", 1),)
        return open_channel(access.servers[0], identity, server_name=access.server_name, options=own)

    async def lists(self, channel: grpc.aio.Channel) -> None:
        """One list after the other."""
        call = channel.unary_unary(
            requests.LIST.path, request_serializer=pb.ListRequest.SerializeToString, response_deserializer=bytes
        )
        while True:
            try:
                await call(pb.ListRequest(path=requests.path_of(PODS)), metadata=self._metadata, timeout=60)
                self._note("answered")
            except grpc.aio.AioRpcError as err:
                self._failed(err)

    async def watch(self, channel: grpc.aio.Channel) -> None:
        call = channel.unary_stream(
            requests.WATCH.path, request_serializer=pb.WatchRequest.SerializeToString, response_deserializer=bytes
        )
        options = meta_pb2.ListOptions(resourceVersion="0", sendInitialEvents=True, allowWatchBookmarks=True)
        options.resourceVersionMatch = "NotOlderThan"
        stream = call(pb.WatchRequest(path=requests.path_of(PODS), options=options), metadata=self._metadata)
        try:
            await stream.read()
            self._note("answered")
            while await stream.read() is not grpc.aio.EOF:
                pass
        except grpc.aio.AioRpcError as err:
            self._failed(err)

    async def silent(self, context: ssl.SSLContext) -> None:
        """Ask until there is an answer, and do not take that."""
        host, port = self._https
        reader, writer = await asyncio.open_connection(
            host, port, ssl=context, server_hostname=self._access.server_name, limit=4096
        )
        while True:
            headers = "".join(f"{name}: {value}\r\n" for name, value in (*AS, ("Host", host)))
            writer.write(f"GET /api/v1/namespaces/default/configmaps HTTP/1.1\r\n{headers}\r\n".encode())
            line = await reader.readline()
            self._note("refused" if b" 429 " in line else "answered" if b" 200 " in line else line.decode())
            if b" 429 " not in line:
                await asyncio.Event().wait()
            await _skip(reader)


async def _skip(reader: asyncio.StreamReader) -> None:
    """Read the rest of a small answer."""
    length = 0
    while (line := await reader.readline()).strip():
        name, _, value = line.decode().partition(":")
        length = int(value) if name.lower() == "content-length" else length
    await reader.readexactly(length)


async def _seed(access: Access) -> None:
    """Make the large objects."""
    source = random.Random(1)
    async with Client.from_kubeconfig(access, caller="flood") as client:
        for number in range(LARGE):
            made = core_pb2.ConfigMap(data={"a": source.randbytes(LARGE_BYTES).hex()})
            made.metadata.name = f"flood-{number}"
            made.metadata.labels["flood"] = "yes"
            try:
                await client.create(made, "default")
            except errors.AlreadyExists:
                continue


async def main(kind: str, kubeconfig: str, context: str) -> None:
    config = Kubeconfig.load(kubeconfig)
    access = config.access(context)
    flood = Flood(access, _https(config, access))
    async with asyncio.TaskGroup() as group:
        if kind == "silent":
            await _seed(access)
            count, tls = SILENT, _tls(access)
            for _ in range(count):
                group.create_task(flood.silent(tls))
        else:
            channels = [flood.channel() for _ in range(CHANNELS)]
            count = LISTS if kind == "lists" else WATCHES
            begin = flood.lists if kind == "lists" else flood.watch
            for number in range(count):
                group.create_task(begin(channels[number % CHANNELS]))
        await flood.all_tried(count)
        sys.stdout.write(json.dumps(flood.tried) + "\n")
        sys.stdout.flush()


def _https(config: Kubeconfig, access: Access) -> tuple[str, int]:
    """Give the address of the REST API, which the kubeconfig has for kubectl."""
    context = next(one["context"] for one in config.document["contexts"] if one["name"] == access.context)
    cluster = next(one["cluster"] for one in config.document["clusters"] if one["name"] == context["cluster"])
    host, _, port = cluster["server"].removeprefix("https://").rpartition(":")
    return host, int(port)


def _tls(access: Access) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=access.ca.decode())
    with tempfile.NamedTemporaryFile() as file:
        file.write(access.certificate + access.key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
