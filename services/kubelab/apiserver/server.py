"""An api-server put together: store → reflector → caches → registry → endpoints → fronts."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import grpc
import structlog
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from kubelab.api.core.v1 import limits_pb2, serviceaccounts_pb2
from kubelab.api.scheduling.v1 import scheduling_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.backoff import jittered
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.scheme import (
    LIMIT_RANGES,
    NAMESPACES,
    NODES,
    PRIORITY_CLASSES,
    SERVICE_ACCOUNTS,
    Resource,
)
from kubelab.apiserver.admission.certificates import CertificateSubjectRestriction
from kubelab.apiserver.admission.chain import AdmissionChain
from kubelab.apiserver.admission.escalation import EscalationCheck
from kubelab.apiserver.admission.limitranger import LimitRanger
from kubelab.apiserver.admission.namespacelifecycle import NamespaceLifecycle
from kubelab.apiserver.admission.noderestriction import NodeRestriction
from kubelab.apiserver.admission.pods import DefaultTolerationSeconds, ServiceAccount
from kubelab.apiserver.admission.podsecurity import PodSecurity
from kubelab.apiserver.admission.policies.dispatch import Policies
from kubelab.apiserver.admission.priority import Priority
from kubelab.apiserver.admission.requests import Reviews
from kubelab.apiserver.admission.resourcequota import ResourceQuota
from kubelab.apiserver.admission.webhooks.calling import Caller
from kubelab.apiserver.admission.webhooks.dispatch import Webhooks
from kubelab.apiserver.admission.webhooks.services import WebhookServices
from kubelab.apiserver.audit.log import AuditLog
from kubelab.apiserver.authn.authenticator import Authenticator
from kubelab.apiserver.authn.serviceaccounts import Proven, ServiceAccountAuthenticator
from kubelab.apiserver.authn.signingkeys import SigningKey
from kubelab.apiserver.authn.tokens import Tokens
from kubelab.apiserver.authz.authorizer import Authorizer
from kubelab.apiserver.authz.rbac.bootstrap import BootstrapRoles
from kubelab.apiserver.config import ApiServerConfig
from kubelab.apiserver.controlplane.bootstrap import Bootstrap
from kubelab.apiserver.controlplane.componenthealth import ComponentHealth
from kubelab.apiserver.controlplane.nodelabel import ControlPlaneNode
from kubelab.apiserver.customresources.kinds import openapi_of
from kubelab.apiserver.customresources.serving import CustomResources
from kubelab.apiserver.discovery.published import Published
from kubelab.apiserver.endpoints.auditrecords import AuditRecords
from kubelab.apiserver.endpoints.handler import RequestHandler
from kubelab.apiserver.endpoints.podcommands import PodCommands
from kubelab.apiserver.endpoints.podlogs import PodLogs
from kubelab.apiserver.endpoints.portforward import PodPortForwards
from kubelab.apiserver.endpoints.proxying import Proxies
from kubelab.apiserver.endpoints.verbs import Endpoints
from kubelab.apiserver.flowcontrol.controller import FlowController
from kubelab.apiserver.flowcontrol.dumps import dumps
from kubelab.apiserver.flowcontrol.gate import Gate
from kubelab.apiserver.flowcontrol.metrics import FlowControlMetrics
from kubelab.apiserver.grpcfront.audit import AuditServicer
from kubelab.apiserver.grpcfront.discovery import DiscoveryServicer
from kubelab.apiserver.grpcfront.pods import PodsServicer
from kubelab.apiserver.grpcfront.resources import ResourcesServicer
from kubelab.apiserver.httpfront import system, tokenkeys
from kubelab.apiserver.httpfront.discovery import DiscoveryPaths
from kubelab.apiserver.httpfront.front import HTTPFront
from kubelab.apiserver.httpfront.logs import LogPath
from kubelab.apiserver.httpfront.streams import registration as streams
from kubelab.apiserver.httpfront.system import Metrics
from kubelab.apiserver.kubelets import Kubelets
from kubelab.apiserver.memory import Trimmer
from kubelab.apiserver.registry.reader import ObjectReader
from kubelab.apiserver.registry.tables import Tables
from kubelab.apiserver.registry.writer import ObjectWriter
from kubelab.apiserver.resources.core.services.allocator import RECORDS, ServiceAllocator
from kubelab.apiserver.resources.storage import ResourceStorage, Settings
from kubelab.apiserver.resources.table import Resources, answered, builtin
from kubelab.apiserver.storage.compaction import Compactor
from kubelab.apiserver.storage.eventlease import EventLease
from kubelab.apiserver.storage.fenced import FencedStore
from kubelab.apiserver.storage.spacemonitor import SpaceMonitor
from kubelab.apiserver.storage.store import Store
from kubelab.apiserver.watchcache.cache import DecodeErrors, ResourceCache
from kubelab.apiserver.watchcache.changes import Selection
from kubelab.apiserver.watchcache.history import History
from kubelab.apiserver.watchcache.reflector import Reflector
from kubelab.rpc.apiserver.v1 import apiserver_pb2_grpc
from kubelab.rpc.channels import TLSIdentityFiles

log = structlog.get_logger()

# A list of everything is a single message; a request is refused by its object's size, in words, well below this.
MESSAGE_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
)


LEAVING_SECONDS = 0.2  # in which clients learn from an answer that they must ask another server
PREPARE_AGAIN_SECONDS = 0.5
FINISH_SECONDS = 3.0  # for requests that are under way when the server ends

M = TypeVar("M", bound=Message)


@functools.lru_cache(maxsize=1024)
def _decoded(kind: type[M], raw: bytes) -> M:
    """Decode what admission reads of the caches, once for each revision; every new pod asks. Nobody may change it."""
    return kind.FromString(raw)


class ApiServer:
    """``process`` is its name, such as ``api-server@cp-1``. A kind can be added while the server runs."""

    def __init__(
        self,
        config: ApiServerConfig,
        store: Store,
        *,
        process: str,
        clock: Clock,
        metrics: CollectorRegistry,
        make_reflector: Callable[[Store, Sequence[ResourceCache], Clock], Reflector] = Reflector,
    ) -> None:
        self.store = FencedStore(store, metrics, clock)
        self._clock, self._adding = clock, asyncio.Lock()
        self.space = SpaceMonitor(self.store, clock, metrics)
        self.store.on_full = self.space.refused
        self._trimmer = Trimmer(clock)
        allocator = ServiceAllocator(config.network(), config.node_ports())
        tokens = _tokens(config, clock)
        settings = Settings(allocator, ComponentHealth(config, process), tokens, self._authenticate if tokens else None)
        kinds = builtin(settings)
        self.resources = Resources(kinds, History(self._trimmer.freed), answered(settings))
        self.caches = self.resources.caches
        metrics.register(DecodeErrors(self.caches))
        self.reflector = make_reflector(self.store, list(self.caches.values()), clock)
        self.audit = AuditLog(config.audit_log, clock, registry=metrics)
        self.reflector.on_keys(RECORDS, allocator.note, allocator.forget)
        event_lease = EventLease(self.store, clock, int(config.event_ttl))
        namespaces = NamespaceLifecycle(self.reflector, self.caches)
        self.writer = ObjectWriter(self.store, self.reflector, self.resources, namespaces, event_lease, clock)
        self.reader = ObjectReader(self.store, self.reflector, self.caches, clock)
        self.compactor = Compactor(self.store, clock, config.compaction_interval)
        self.bootstrap = Bootstrap(
            self.writer,
            self.store,
            self.reflector,
            self.caches,
            clock,
            config.advertise_address,
            allocator.kubernetes_address,
        )
        self.bootstrap_roles = BootstrapRoles(self.writer, self.reflector, self.caches)
        self.custom = CustomResources(self.writer, self.resources, self.reflector, self.replace_kind, clock)
        node = process.partition("@")[2]
        self.control_plane = ControlPlaneNode(self.writer, self.caches[NODES], node, clock)
        authorizer = self.authorizer = Authorizer(self.reflector, self.caches)
        self.admission = AdmissionChain(  # in upstream's order
            [
                namespaces,
                LimitRanger(self._limit_ranges),
                ServiceAccount(self._service_account, mounts_tokens=tokens is not None),
                NodeRestriction(self._uid_of_node),
                PodSecurity(self._namespace_labels),
                Priority(self._priority_classes),
                DefaultTolerationSeconds(config.tolerations()),
                CertificateSubjectRestriction(),
                ResourceQuota(self.resources),  # the last but one: it charges for the object as it is stored
                EscalationCheck(authorizer),
            ]
        )
        self.accounts = ServiceAccountAuthenticator(tokens, self.caches, self.reflector.fresh) if tokens else None
        authenticator = Authenticator(self.accounts, authorizer.check)
        self.gate = Gate(config.seats, clock)
        metrics.register(FlowControlMetrics(self.gate))
        self.flow_control = FlowController(self.gate, self.writer, self.caches, clock)
        self._handler = RequestHandler(
            process, self.resources, authenticator, authorizer, self.gate, self.admission, self.audit, clock, metrics
        )
        tls = config.kubelet_client
        identity = TLSIdentityFiles(tls.ca, tls.certificate, tls.key) if tls else None
        self.kubelets = Kubelets(identity, process)
        self._proxies = Proxies(self._handler, self.reader, self.kubelets)
        webhooks = Webhooks(self.caches, Caller(WebhookServices(self._proxies), clock))
        reviews, policies = Reviews(self.resources), Policies(self.resources)
        self.endpoints = Endpoints(
            self._handler, self.reader, self.writer, authorizer, reviews, webhooks, policies, clock
        )
        host, port = config.advertise_address.rpartition(":")[0], config.http_bind_address.rpartition(":")[2]
        self._http_address = f"{host}:{port}" if host else config.http_bind_address
        self.pod_logs = PodLogs(self._handler, self.reader, self.kubelets)
        self.pod_commands = PodCommands(self._handler, self.reader, self.kubelets)
        self.port_forwards = PodPortForwards(self._handler, self.reader, self.kubelets)
        self._tables = Tables(self.resources.storages, clock, self.resources.rows)
        self.resources_front = ResourcesServicer(self.endpoints, self._tables)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the services of the gRPC front."""
        self.resources_front.add_to(server)
        PodsServicer(self.pod_logs, self.pod_commands, self.port_forwards).add_to(server)
        records = AuditRecords(self._handler, self.audit, self.reader, self.kubelets)
        apiserver_pb2_grpc.add_AuditServicer_to_server(AuditServicer(records), server)
        apiserver_pb2_grpc.add_DiscoveryServicer_to_server(DiscoveryServicer(self.resources), server)

    def http_front(self, metrics: Metrics) -> HTTPFront:
        """Make the HTTP front: the verbs, and every path that is no resource. ``metrics`` gives the page for
        Prometheus."""
        front = HTTPFront(self.endpoints, self._handler, self.resources, self._tables, self._clock)
        live: dict[str, system.Check] = {
            "ping": lambda: True,
            "log": lambda: True,
            "etcd": lambda: self.reflector.health.healthy,
        }
        ready: dict[str, system.Check] = {
            "poststarthook/rbac/bootstrap-roles": lambda: self.bootstrap_roles.done,
            "shutdown": lambda: not self._handler.closed,
        }
        system.register(front.routes, system.Health(live, ready), metrics, dumps(self.gate, self._clock))
        streams.register(front.routes, self.port_forwards, self._proxies, self.pod_commands, self._clock)
        LogPath(self.pod_logs, self._clock).add_to(front.routes)
        DiscoveryPaths(Published(self.resources, self._http_address, openapi_of), self._clock).add_to(front.routes)
        if self.accounts is not None:
            tokenkeys.register(front.routes, self.accounts.tokens, self._http_address)
        return front

    async def serve_kind(self, storage: ResourceStorage) -> None:
        """Serve one more kind while the server runs; ValueError where its name or its place in etcd is taken."""
        async with self._adding:
            cache = self.resources.make_cache(storage)
            await self.reflector.join(cache)
            self.resources.add(storage, cache)

    async def replace_kind(self, retired: Sequence[Resource[Message]], storages: Sequence[ResourceStorage]) -> None:
        """Serve the versions of a kind in place of others; between the two nothing is missing. ValueError as above."""
        async with self._adding:
            caches = [self.resources.make_cache(storage, retired) for storage in storages]
            for cache in caches:
                await self.reflector.join(cache)
            for resource in retired:
                self.resources.retire(resource)
            for storage, cache in zip(storages, caches, strict=True):
                self.resources.add(storage, cache)
            for resource in retired:
                self.reflector.leave(self.caches[resource])

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Follow etcd while the body runs; the body starts when the caches are in and the cluster has its basics."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self.reflector.run(), name="reflector"),
                    group.create_task(self.space.run(), name="space"),
                ]
                await self.reflector.synced.wait()
                await self._prepare()
                await self.custom.start()
                for name, loop in (
                    ("audit", self.audit.run()),
                    ("bootstrap", self.bootstrap.run()),
                    ("flow-control", self.flow_control.run()),
                    ("compactor", self.compactor.run()),
                    ("memory", self._trimmer.run()),
                    ("control-plane", self.control_plane.run()),
                    ("custom-resources", self.custom.run()),
                ):
                    tasks.append(group.create_task(loop, name=name))
                yield
                for task in reversed(tasks):
                    task.cancel()
        finally:
            await self.kubelets.close()
            await self.store.close()

    async def _prepare(self) -> None:
        """Create the cluster's basics, however often etcd cannot take them yet."""
        while True:
            try:
                await self.bootstrap.prepare()
                await self.bootstrap_roles.prepare()
                return await self.flow_control.prepare(self.reflector.fresh)
            except errors.ApiError as err:
                if not isinstance(err, (errors.Unavailable, errors.Timeout)) and not errors.out_of_space(err):
                    raise
                log.warning("cannot prepare the cluster, will try again", reason=err.reason, message=err.message)
                await self._clock.sleep(jittered(PREPARE_AGAIN_SECONDS))

    async def _authenticate(self, token: str, audiences: Sequence[str]) -> Proven:
        assert self.accounts is not None, "a server without tokens has no reviews of tokens"
        return await self.accounts.authenticate(token, audiences)

    def _uid_of_node(self, name: str) -> str:
        entry = self.caches[NODES].get("", name)
        return entry.uid if entry else ""

    def _limit_ranges(self, namespace: str) -> list[limits_pb2.LimitRange]:
        cache = self.caches[LIMIT_RANGES]
        return [_decoded(limits_pb2.LimitRange, entry.raw) for entry in cache.select(Selection(namespace))]

    def _priority_classes(self) -> list[scheduling_pb2.PriorityClass]:
        entries = self.caches[PRIORITY_CLASSES].select(Selection())
        return [_decoded(scheduling_pb2.PriorityClass, entry.raw) for entry in entries]

    def _namespace_labels(self, name: str) -> Mapping[str, str]:
        entry = self.caches[NAMESPACES].get("", name)
        return entry.labels if entry is not None else {}

    def _service_account(self, namespace: str, name: str) -> serviceaccounts_pb2.ServiceAccount | None:
        entry = self.caches[SERVICE_ACCOUNTS].get(namespace, name)
        return _decoded(serviceaccounts_pb2.ServiceAccount, entry.raw) if entry is not None else None

    async def drain(self) -> None:
        """End without losing a request: finish those under way, refuse new ones, end the watches.

        A client that is refused knows that nothing was done, so it sends its writes to another server too. A client
        that is idle learns of the end by HTTP/2's GOAWAY; only what crosses that on the wire is lost."""
        self._handler.close()
        self.reflector.dismiss()
        await self._clock.sleep(LEAVING_SECONDS)
        try:
            async with self._clock.timeout(FINISH_SECONDS):
                await self._handler.idle()
        except TimeoutError:
            log.warning("requests are still under way, ending without them", seconds=FINISH_SECONDS)
        self.reflector.dismiss()  # those that were let in just before

    async def report(self, tell: Callable[[bool], Awaitable[None]]) -> None:
        """Tell whether it follows etcd, now and at each change, until cancelled."""
        health = self.reflector.health
        while True:
            health.changed.clear()
            await tell(health.healthy)
            await health.changed.wait()


def _tokens(config: ApiServerConfig, clock: Clock) -> Tokens | None:
    """What signs and reads service accounts' tokens; None without a key."""
    file = config.service_account_signing_key_file
    if file is None:
        return None
    return Tokens(SigningKey.load(file), config.service_account_issuer, config.api_audiences, clock)
