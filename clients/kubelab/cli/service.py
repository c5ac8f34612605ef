"""``kubelab service NAME``: a URL at which a service answers, in minikube's tables.

A node's address lives in a network namespace that this machine cannot reach, so every port gets a tunnel from
127.0.0.1 as well. The tunnels are the cluster's: they stay when this command has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import click

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.errors import NotFound
from kubelab.apimachinery.scheme import ENDPOINTS, SERVICES
from kubelab.apimachinery.terminal import escaped
from kubelab.cli import output
from kubelab.cli.options import cluster_option
from kubelab.client.client import Client
from kubelab.cluster.driver import ClusterDriver, ClusterNode
from kubelab.cluster.find import using_cluster

HEADER = ("NAMESPACE", "NAME", "TARGET PORT", "URL")
NODE_HEADER = ("NAMESPACE", "NAME", "TARGET PORT", "NODE ADDRESS")  # no URL: this machine has no route to it
NOT_FOUND = 115  # minikube's exit codes
NOT_REACHABLE = 119
FORWARDED = ("", "TCP")


@click.command("service", short_help="Give a URL at which a service answers")
@click.argument("service", metavar="SERVICE|list", default="")
@click.option("-n", "--namespace", help="the service's namespace  [default: default; of list and --all: every one]")
@click.option("--url", "only_url", is_flag=True, help="print nothing but the URLs")
@click.option("--all", "every", is_flag=True, help="every service of the namespace")
@cluster_option
def command(service: str, namespace: str | None, only_url: bool, every: bool, name: str) -> int:
    """Open tunnels to a service and print its URLs; `list` shows all services, and opens none."""
    if bool(service) == every:
        raise click.UsageError("name a service, or list, or give --all")
    if service == "list":
        return asyncio.run(_list(namespace, name))
    if every:
        return asyncio.run(_all(namespace, only_url, name))
    return asyncio.run(_service(service, namespace or "default", only_url, name))


async def _service(name: str, namespace: str, only_url: bool, cluster_name: str) -> int:
    async with using_cluster(cluster_name) as cluster:
        nodes = await cluster.nodes()
        async with Client.from_kubeconfig(cluster.kubeconfig, caller="kubelab", context=cluster.name) as client:
            try:
                service = await client.get(SERVICES, name, namespace)
            except NotFound:
                _missing(name, namespace)
                return NOT_FOUND
            ready = await _has_endpoints(client, name, namespace)
        if not ready:
            output.warning(_nothing_behind(service))
        return await show(service, cluster, nodes[0], only_url=only_url)


async def _all(namespace: str | None, only_url: bool, cluster_name: str) -> int:
    """Show every service as if each were named; gives the worst exit code."""
    codes = [
        await _service(one.metadata.name, one.metadata.namespace, only_url, cluster_name)
        for one in await _services(namespace, cluster_name)
    ]
    return max(codes, default=0)


async def _list(namespace: str | None, cluster_name: str) -> int:
    async with using_cluster(cluster_name) as cluster:
        address = (await cluster.nodes())[0].address
    rows = [_node_ports(one, address) for one in await _services(namespace, cluster_name)]
    click.echo(table(rows, NODE_HEADER))
    return 0


async def _services(namespace: str | None, cluster_name: str) -> Sequence[core_pb2.Service]:
    async with (
        using_cluster(cluster_name) as cluster,
        Client.from_kubeconfig(cluster.kubeconfig, caller="kubelab", context=cluster.name) as client,
    ):
        return (await client.list(SERVICES, namespace or "")).items


async def show(service: core_pb2.Service, cluster: ClusterDriver, node: ClusterNode, *, only_url: bool) -> int:
    """Print a service's tables (or its URLs) with a tunnel for each port; gives the exit code."""
    name, namespace = service.metadata.name, service.metadata.namespace
    if not only_url:
        click.echo(node_port_table(service, node.address))
        if not any(port.nodePort for port in service.spec.ports):
            click.echo(f"{output.picture('😿')}  service {namespace}/{name} has no node port")
    targets = tunnel_targets(service, node.address)
    if not targets:
        output.problem(f"service {namespace}/{name} has no address in the cluster that TCP could be sent to")
        return NOT_REACHABLE
    if not only_url:
        click.echo(f"{output.picture('🏃')}  Starting tunnel for service {name}.")
    tunnels = [await cluster.open_tunnel("", target) for target in targets]
    urls = [f"http://127.0.0.1:{tunnel.local_port}" for tunnel in tunnels]
    click.echo("\n".join(urls) if only_url else table([(namespace, name, "", "\n".join(urls))]))
    return 0


def node_port_table(service: core_pb2.Service, address: str) -> str:
    """Give the first table: the node ports at a node's address, or ``No node port``."""
    has_node_port = any(port.nodePort for port in service.spec.ports)
    return table([_node_ports(service, address)], NODE_HEADER if has_node_port else HEADER)


def _node_ports(service: core_pb2.Service, address: str) -> tuple[str, str, str, str]:
    ports = [port for port in service.spec.ports if port.nodePort]
    names = [f"{port.name}/{port.port}" if port.name else str(port.port) for port in ports]
    addresses = [f"{address}:{port.nodePort}" for port in ports] or ["No node port"]
    return service.metadata.namespace, service.metadata.name, "\n".join(names), "\n".join(addresses)


def tunnel_targets(service: core_pb2.Service, address: str) -> list[str]:
    """Say where tunnels lead to, a ``host:port`` for each TCP port: the node port, else the service's own address."""
    cluster_ip = service.spec.clusterIP if service.spec.clusterIP not in ("", "None") else ""
    ports = [port for port in service.spec.ports if port.protocol in FORWARDED]
    return [
        f"{address}:{port.nodePort}" if port.nodePort else f"{cluster_ip}:{port.port}"
        for port in ports
        if port.nodePort or cluster_ip
    ]


async def _has_endpoints(client: Client, name: str, namespace: str) -> bool:
    try:
        endpoints = await client.get(ENDPOINTS, name, namespace)
    except NotFound:
        return False
    return any(subset.addresses for subset in endpoints.subsets)


def _nothing_behind(service: core_pb2.Service) -> str:
    """Say why a service does not answer yet."""
    where = f"service {service.metadata.namespace}/{service.metadata.name} has no endpoints"
    selector = ",".join(f"{key}={value}" for key, value in sorted(service.spec.selector.items()))
    if not selector:
        return f"{where}: it has no selector, and its Endpoints have no addresses"
    return f"{where}: no ready pod matches its selector ({selector}); look at: kctl get pods -l {selector}"


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> str:
    """Draw a table as minikube does: the header in the middle, cells to the left, one line for each line of a cell."""
    lines = [line for row in rows for line in _lines(row)]
    widths = [max(len(line[n]) for line in (header, *lines)) for n in range(len(header))]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    titles = "|" + "|".join(f" {_centred(text, width)} " for text, width in zip(header, widths, strict=True)) + "|"
    body = [
        "|" + "|".join(f" {cell:<{width}} " for cell, width in zip(line, widths, strict=True)) + "|" for line in lines
    ]
    return "\n".join([rule, titles, rule, *body, rule])


def _lines(row: Sequence[str]) -> list[tuple[str, ...]]:
    cells = [escaped(cell).split("\n") for cell in row]
    height = max(len(cell) for cell in cells)
    return [tuple(cell[n] if n < len(cell) else "" for cell in cells) for n in range(height)]


def _centred(text: str, width: int) -> str:
    margin = (width - len(text)) // 2
    return " " * margin + text + " " * (width - len(text) - margin)


def _missing(name: str, namespace: str) -> None:
    output.problem(
        f"Exiting due to SVC_NOT_FOUND: Service '{name}' was not found in '{namespace}' namespace.\n"
        f"You may select another namespace by using 'kubelab service {name} -n <namespace>'. "
        "Or list out all the services using 'kctl get services -A'"
    )
