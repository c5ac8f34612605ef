"""The readers of objects, as functions: every printer, describer, decision and rule builder.

The pass over what a fuzzed server took in (:mod:`tests.fuzz`) and the property tests use the same list.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import labels, scheme, terminal
from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.core import quota
from kubelab.apimachinery.core.pods import is_active
from kubelab.apimachinery.manifest import encode
from kubelab.apimachinery.messages import deep_copy
from kubelab.apiserver.admission.limitranger import set_defaults, violations
from kubelab.apiserver.registry.tables import Tables
from kubelab.apiserver.resources.table import Resources, builtin
from kubelab.controllermanager import controllerrefs
from kubelab.controllermanager.endpoints import decide as endpoints
from kubelab.controllermanager.nodeipam.cidrpool import CidrPool
from kubelab.controllermanager.nodelifecycle import decide as lifecycle
from kubelab.controllermanager.podcontrol import pod_from_template
from kubelab.controllermanager.podgc.decide import surplus
from kubelab.controllermanager.replicaset import decide as replication
from kubelab.kctl import documentprinters
from kubelab.kctl.describe import deployments, limits, nodes, others, pods, serviceaccounts, services
from kubelab.kctl.tableprinter import PrintOptions, TablePrinter
from kubelab.kubelet.backoff import Backoff
from kubelab.kubelet.containers import config as podconfig
from kubelab.kubelet.containers import environment as env
from kubelab.kubelet.cri.views import PodView
from kubelab.kubelet.node import podnetworks
from kubelab.kubelet.pods import admission, plan, status
from kubelab.kubelet.pods.lifecycle import PodLifecycle, Reason
from kubelab.kubeproxy.model import ignored_fields, service_ports
from kubelab.kubeproxy.rules import Table
from kubelab.scheduler.model import NodeInfo, PodInfo
from tests.fuzz.objects import KINDS, RULES
from tests.fuzz.values import NOW


@dataclass
class World:
    """Objects that are there together, by the plural of their kind."""

    objects: dict[str, list[Any]] = field(default_factory=lambda: {resource.plural: [] for resource in KINDS})

    @classmethod
    def of(cls, objects: Iterable[Message]) -> World:
        world = cls()
        for obj in objects:
            world.objects[scheme.of_object(obj).plural].append(obj)
        return world

    @property
    def all(self) -> list[Any]:
        return [obj for each in self.objects.values() for obj in each]


Reader = Callable[[World], object]


def shown(*texts: str) -> None:
    """Texts on a terminal do nothing to it, and can be encoded."""
    for text in texts:
        text.encode()
        assert not terminal.acts(text), ascii(next(sign for sign in text if terminal.acts(sign)))


def machine_output(world: World) -> None:
    """``-o json`` and ``-o yaml`` say the same, and others can read both."""
    for obj in world.all:
        body = encode.to_dict(obj)
        as_json, as_yaml = encode.to_json(body), encode.to_yaml(body)
        assert json.loads(as_json) == body
        assert yaml.load(as_yaml, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) == body
        shown(as_json, as_yaml, *documentprinters.names_of(body))


def tables(world: World) -> None:
    printers = Tables(Resources(builtin()).storages, SystemClock())
    for plural, objects in world.objects.items():
        resource = next(r for r in KINDS if r.plural == plural)
        values = [obj.SerializeToString() for obj in objects]
        for include in ("Metadata", "Object", "None"):
            table = printers.make(resource, values, meta_pb2.TableOptions(includeObject=include), "5")
            assert all(len(r.cells) == len(resource.columns) for r in table.rows)
            for output in ("", "wide"):
                options = PrintOptions(wide=output == "wide", with_namespace=True, show_labels=True, with_kind=True)
                text = TablePrinter(options, resource).render(table)
                assert len(text.splitlines()) == len(objects) + 1, "one line an object, and the header"
                shown(text)


def descriptions(world: World) -> None:
    events: Sequence[Any] = world.objects["events"]
    objects = world.objects
    for pod in objects["pods"]:
        shown(pods.describe(pod, events, NOW))
    for node in objects["nodes"]:
        for lease in (*objects["leases"], "no lease"):
            shown(nodes.describe(node, lease, objects["pods"], events, NOW))
    for service in objects["services"]:
        for behind in (*objects["endpoints"], None):
            shown(services.describe(service, behind, events, NOW))
    for one in objects["endpoints"]:
        shown(services.describe_endpoints(one, events, NOW))
    for rc in objects["replicationcontrollers"]:
        shown(deployments.replication_controller(rc, objects["pods"], events, NOW))
    for namespace in objects["namespaces"]:
        shown(others.namespace(namespace, objects["resourcequotas"], objects["limitranges"]))
    for one in objects["resourcequotas"]:
        shown(limits.resource_quota(one))
    for limit_range in objects["limitranges"]:
        shown(limits.limit_range(limit_range))
    for account in objects["serviceaccounts"]:
        shown(serviceaccounts.describe(account, objects["secrets"], events, NOW))
    for config_map in objects["configmaps"]:
        shown(others.config_map(config_map, events, NOW))
    for secret in objects["secrets"]:
        shown(others.secret(secret))
    for obj in world.all:
        shown(others.generic(obj, events, NOW))


def charges(world: World) -> None:
    """Quotas count, and limit ranges judge, whatever is stored."""
    for one in world.objects["resourcequotas"]:
        for plural, objects in world.objects.items():
            resource = next(r for r in KINDS if r.plural == plural)
            total: quota.Usage = {}
            for obj in objects:
                quota.matches(one, resource, obj)
                total = quota.add(total, quota.usage(resource, obj))
            quota.exceeded(total, quota.amounts(one.status.hard))
    for pod in world.objects["pods"]:
        quota.missing(pod, quota.MUST_SPECIFY)
        for limit_range in world.objects["limitranges"]:
            changed = deep_copy(pod)
            set_defaults(changed, limit_range)
            shown("\n".join(violations(changed, limit_range)))


def field_selectors(world: World) -> None:
    for plural, objects in world.objects.items():
        for obj in objects:
            fields = RULES[plural].selectable_fields(obj)
            assert all(isinstance(value, str) for value in fields.values())


def validation_of_changes(world: World) -> None:
    """The rules compare any new object with any old one."""
    for plural, objects in world.objects.items():
        rules = RULES[plural]
        for old, new in zip(objects, reversed(objects), strict=True):
            for prepare, judge in (
                (rules.prepare_for_update, rules.validate_update),
                *(((rules.prepare_for_status_update, rules.validate_status_update),) if rules.has_status else ()),
            ):
                changed = deep_copy(new)
                rules.default(changed)
                prepare(changed, old)
                try:
                    judge(changed, old)
                except Exception as err:
                    if type(err).__name__ != "Forbidden":
                        raise
            rules.graceful_delete_seconds(old, meta_pb2.DeleteOptions(gracePeriodSeconds=2**63 - 1))


def controllers(world: World) -> None:
    objects = world.objects
    for service in objects["services"]:
        for current in (*objects["endpoints"], None):
            endpoints.desired(service, objects["pods"], current)
    pool = CidrPool("10.244.0.0/16", 24)
    for node in objects["nodes"]:
        name = node.metadata.name
        if node.spec.podCIDR:
            pool.occupy(name, node.spec.podCIDR)
        pool.take(name)
        pool.check_invariants()
        lifecycle.with_unknown_conditions(node, NOW)
        lifecycle.with_taints(node, lifecycle.wanted_taints(node, evict=True), NOW)
        lifecycle.heartbeat(node, "")
        for pod in objects["pods"]:
            lifecycle.evict_at(pod, node, NOW)
    lifecycle.zone_state([lifecycle.ready_status(node) for node in objects["nodes"]])
    surplus(objects["pods"], 1)
    for rc in objects["replicationcontrollers"]:
        controllerrefs.claims(rc, partial(labels.select, rc.spec.selector), objects["pods"], is_active)
        replication.plan(rc, objects["pods"], NOW)
        replication.status(rc, objects["pods"], None, NOW)
        pod_from_template(rc.spec.template, rc, scheme.REPLICATION_CONTROLLERS)


def scheduler(world: World) -> None:
    infos = [PodInfo.of(pod) for pod in world.objects["pods"]]
    for node in world.objects["nodes"]:
        info = NodeInfo(node.metadata.name)
        info.describe(node)
        for pod in {pod.uid: pod for pod in infos}.values():
            info.add(pod)
        info.check_invariants()


def kubelet(world: World) -> None:
    objects = world.objects
    settings = podconfig.NodeSettings("node-1", "192.168.49.3", Path("/logs"), memory_bytes=8 * 2**30)
    sources = env.Sources(
        {m.metadata.name: m for m in objects["configmaps"]},
        {s.metadata.name: s for s in objects["secrets"]},
        tuple(objects["services"]),
        "192.168.49.3",
        ("10.244.1.5",),
    )
    for node in objects["nodes"]:
        allocatable = {name: amount.string for name, amount in node.status.allocatable.items()}
        for pod in objects["pods"]:
            admission.refusal(pod, objects["pods"], allocatable, dict(node.metadata.labels))
    layout = podnetworks.Layout(IPv4Network("10.244.0.0/16"), 24, IPv4Network("192.168.49.0/24"))
    podnetworks.routes(objects["nodes"], "node-1", "192.168.49.3", layout)
    for pod in objects["pods"]:
        view = PodView(pod.metadata.uid)
        history = plan.PodHistory(Backoff(10, 300))
        lifecycle = PodLifecycle(pod.metadata.name, NOW)
        lifecycle.observe(pod, view, NOW, computed_phase=pod.status.phase, deadline=plan.deadline(pod, history))
        planned = plan.plan(lifecycle, pod, view, NOW, history)
        lifecycle.terminate(Reason.GONE, NOW)
        lifecycle.observe(pod, view, NOW)
        plan.plan(lifecycle, pod, view, NOW, history)
        status.compute(status.StatusInput(pod, pod.status, view, NOW, "192.168.49.3", "test", waiting=planned.waiting))
        with contextlib.suppress(env.ConfigError):
            podconfig.sandbox_config(pod, settings, 0)
        for container in pod.spec.containers:
            environment: dict[str, str] = {}
            with contextlib.suppress(env.ConfigError):
                environment = env.environment(pod, container, sources)
            with contextlib.suppress(env.ConfigError):
                given = podconfig.ContainerInput(pod, container, 0, "sha256:0", environment)
                podconfig.container_config(given, settings)


def proxy(world: World) -> None:
    """Rules consist of addresses and numbers only, for any objects."""
    table = Table()
    changes: dict[str, Any] = {}
    for n, service in enumerate(world.objects["services"]):
        ignored_fields(service)
        for behind in ([], *([one] for one in world.objects["endpointslices"])):
            changes[str(n)] = service_ports(service, behind, node="node-1")
            table.transaction(changes)
            table.commit(changes)
            table.check_invariants()


READERS: Mapping[str, Reader] = {
    reader.__name__: reader
    for reader in (
        machine_output,
        tables,
        charges,
        descriptions,
        field_selectors,
        validation_of_changes,
        controllers,
        scheduler,
        kubelet,
        proxy,
    )
}


def world_of(pick: random.Random, make: Callable[[random.Random, Any], Message | None], each: int = 2) -> World:
    """A world with some objects of every kind."""
    generated = (make(pick, resource) for resource in KINDS for _ in range(each))
    return World.of(obj for obj in generated if obj is not None)


def pass_over(world: World) -> None:
    """Let every reader read; raises AssertionError, or a reader's own exception."""
    for reader in READERS.values():
        reader(world)
