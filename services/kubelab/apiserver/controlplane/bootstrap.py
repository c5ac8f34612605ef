"""What a cluster has from the start: the system namespaces, and the service ``kubernetes`` with the live api-servers.

Every api-server keeps a record with a short etcd lease, ``/registry/masterleases/ADDRESS/PROCESS``. The endpoints of
``default/kubernetes``, and its EndpointSlice, are the addresses of all records (upstream's lease endpoint reconciler).
Serial: one task reconciles, woken by changes of the records, the service, the endpoints and the namespaces; another
keeps the lease.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Mapping

import structlog
from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.api.discovery.v1 import discovery_pb2
from kubelab.api.intstr import intstr_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.admission.priority import system_classes
from kubelab.apiserver.registry.writer import ObjectWriter
from kubelab.apiserver.resources.core.namespaces import SYSTEM_NAMESPACES
from kubelab.apiserver.storage.store import Put, Store, StoreEvent
from kubelab.apiserver.watchcache.cache import ResourceCache
from kubelab.apiserver.watchcache.changes import Change, Selection
from kubelab.apiserver.watchcache.reflector import Reflector

log = structlog.get_logger()

MASTERS = "/registry/masterleases/"
LEASE_SECONDS = 15
RENEW_EVERY = 5.0
RETRY_AFTER = 1.0
NAME = "kubernetes"
SERVICE_NAME = "kubernetes.io/service-name"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"


class Bootstrap:
    """``advertise`` is host:port of this api-server, or nothing; ``address`` the cluster address of the service."""

    def __init__(
        self,
        writer: ObjectWriter,
        store: Store,
        reflector: Reflector,
        caches: Mapping[Resource[Message], ResourceCache],
        clock: Clock,
        advertise: str,
        address: str,
    ) -> None:
        self._writer, self._store, self._reflector, self._caches = writer, store, reflector, caches
        self._clock, self._advertise, self._address = clock, advertise, address
        self._masters: set[str] = set()
        self._wake = asyncio.Event()
        reflector.on_keys(MASTERS, self._on_master, self._masters.clear)
        for resource in (scheme.SERVICES, scheme.ENDPOINTS, scheme.ENDPOINT_SLICES, scheme.NAMESPACES):
            caches[resource].on_change(self._on_change)

    def _on_master(self, event: StoreEvent) -> None:
        if not _address(event.key)[1].isdecimal():
            return  # not an api-server's
        (self._masters.discard if event.value is None else self._masters.add)(event.key)
        self._wake.set()

    def _on_change(self, change: Change) -> None:
        entry = change.entry or change.previous
        if entry is not None and (entry.name == NAME or (change.entry is None and entry.name in SYSTEM_NAMESPACES)):
            self._wake.set()

    async def prepare(self) -> None:
        """Create what is missing, before the first request is answered."""
        for name in SYSTEM_NAMESPACES:
            if self._caches[scheme.NAMESPACES].get("", name) is None:
                await self._create(core_pb2.Namespace(), name, "")
        for priority_class in system_classes():
            if self._caches[scheme.PRIORITY_CLASSES].get("", priority_class.metadata.name) is None:
                await self._create(priority_class, priority_class.metadata.name, "")
        await self._reflector.fresh()
        await self._reconcile_service()

    async def run(self) -> None:
        """Keep it so until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reconcile_forever(), name="kubernetes-service")
            if self._advertise:
                group.create_task(self._keep_master(), name="master-lease")

    async def _reconcile_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._reconcile_service()
                await self._reconcile_endpoints()
            except errors.ApiError as err:
                log.warning("cannot keep the kubernetes service", reason=err.reason, message=err.message)
                await self._clock.sleep(RETRY_AFTER)
                self._wake.set()

    async def _keep_master(self) -> None:
        """Hold this process's record; give it back at the end, so that no client is sent to a server that is gone."""
        key = f"{MASTERS}{self._advertise}/{uuid.uuid4()}"
        lease = written_with = 0
        try:
            while True:
                try:
                    if not lease or not await self._store.keep_lease(lease):
                        lease = await self._store.grant_lease(LEASE_SECONDS)
                    # Where it is not: it could not be written the last time, or it was deleted since.
                    if lease != written_with or key not in self._masters:
                        await self._store.transact([], [Put(key, self._advertise.encode(), lease)])
                        written_with = lease
                except errors.ApiError as err:
                    log.warning("cannot renew the api-server's record", reason=err.reason, message=err.message)
                    lease = lease if isinstance(err, errors.Unavailable | errors.Timeout) else 0
                await self._clock.sleep(RENEW_EVERY)
        finally:
            if lease:
                await self._give_back(lease)

    async def _give_back(self, lease: int) -> None:
        try:
            async with self._clock.timeout(1.0):
                await self._store.revoke_lease(lease)
        except (errors.ApiError, TimeoutError) as err:
            log.info("the api-server's record will run out by itself", error=str(err))

    async def _reconcile_service(self) -> None:
        if self._caches[scheme.SERVICES].get("default", NAME) is not None:
            return
        service = core_pb2.Service(
            spec=core_pb2.ServiceSpec(
                type="ClusterIP",
                clusterIP=self._address,
                sessionAffinity="None",
                ports=[
                    core_pb2.ServicePort(
                        name="https",
                        protocol="TCP",
                        port=443,
                        targetPort=intstr_pb2.IntOrString(intVal=self._port() or 8443),
                    )
                ],
            )
        )
        service.metadata.labels.update({"component": "apiserver", "provider": NAME})
        await self._create(service, NAME, "default")

    def _port(self) -> int:
        return int(self._advertise.rpartition(":")[2] or 0)

    async def _reconcile_endpoints(self) -> None:
        desired = core_pb2.Endpoints()
        by_port: dict[int, set[str]] = {}
        for key in self._masters:
            address, port = _address(key)
            by_port.setdefault(int(port), set()).add(address)
        for port, addresses in sorted(by_port.items()):
            desired.subsets.add(
                addresses=[core_pb2.EndpointAddress(ip=a) for a in sorted(addresses)],
                ports=[core_pb2.EndpointPort(name="https", port=port, protocol="TCP")],
            )
        desired.metadata.labels[SKIP_MIRROR] = "true"  # the slices are written below
        entry = self._caches[scheme.ENDPOINTS].get("default", NAME)
        if entry is None:
            await self._create(desired, NAME, "default")
        else:
            current = core_pb2.Endpoints.FromString(entry.raw)
            if list(current.subsets) != list(desired.subsets) or SKIP_MIRROR not in current.metadata.labels:
                current.ClearField("subsets")
                current.subsets.extend(desired.subsets)
                current.metadata.labels[SKIP_MIRROR] = "true"
                current.metadata.resourceVersion = str(entry.revision)
                await self._update(scheme.ENDPOINTS, NAME, current)
        await self._reconcile_slices(by_port)

    async def _reconcile_slices(self, by_port: Mapping[int, set[str]]) -> None:
        """Write the EndpointSlices that kube-proxy reads: one for the lowest port, and one for each other port."""
        wanted = {
            NAME if number == 0 else f"{NAME}-{port}": _slice(port, by_port[port])
            for number, port in enumerate(sorted(by_port))
        }
        cache = self._caches[scheme.ENDPOINT_SLICES]
        there = {
            entry.name: entry for entry in cache.select(Selection("default")) if entry.labels.get(SERVICE_NAME) == NAME
        }
        for name, desired in wanted.items():
            entry = there.pop(name, None)
            if entry is None:
                await self._create(desired, name, "default")
                continue
            current = discovery_pb2.EndpointSlice.FromString(entry.raw)
            if list(current.endpoints) != list(desired.endpoints) or list(current.ports) != list(desired.ports):
                desired.metadata.name, desired.metadata.resourceVersion = name, str(entry.revision)
                await self._update(scheme.ENDPOINT_SLICES, name, desired)
        for name, entry in there.items():
            options = meta_pb2.DeleteOptions(preconditions=meta_pb2.Preconditions(uid=entry.uid))
            try:
                await self._writer.delete(scheme.ENDPOINT_SLICES, "default", name, options)
            except (errors.NotFound, errors.Conflict):
                continue  # another api-server was faster

    async def _update(self, resource: Resource[Message], name: str, obj: Message) -> None:
        try:
            await self._writer.update(resource, "default", name, obj)
        except (errors.Conflict, errors.NotFound):
            return  # another api-server did it; its change wakes us

    async def _create(self, obj: Message, name: str, ns: str) -> None:
        meta_of(obj).name = name
        try:
            await self._writer.create(scheme.of_object(obj), ns, obj)
        except errors.AlreadyExists:
            return  # another api-server was faster


def _slice(port: int, addresses: Iterable[str]) -> discovery_pb2.EndpointSlice:
    made = discovery_pb2.EndpointSlice(addressType="IPv4")
    made.metadata.labels[SERVICE_NAME] = NAME
    made.ports.add(name="https", port=port, protocol="TCP")
    for address in sorted(addresses):
        made.endpoints.add(addresses=[address]).conditions.ready = True
    return made


def _address(key: str) -> tuple[str, str]:
    """Host and port in a record's key."""
    host, _, port = key.removeprefix(MASTERS).partition("/")[0].rpartition(":")
    return host, port
