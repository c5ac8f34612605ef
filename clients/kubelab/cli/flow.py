"""``kubelab flow pod/NAME``: how a pod was created, call by call, from the audit records of every process."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace

import click

from kubelab.apimachinery.errors import ApiError, Timeout, Unavailable, not_found
from kubelab.apimachinery.terminal import escaped
from kubelab.cli import flowtext
from kubelab.cli.flowsteps import steps_of
from kubelab.cli.options import cluster_option
from kubelab.client.client import Client
from kubelab.client.kubeconfig import Access
from kubelab.cluster.find import using_cluster
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb


@click.command("flow", short_help="Show how a pod came to be, call by call")
@click.argument("what", metavar="pod/NAME")
@click.option("-n", "--namespace", default="default", show_default=True, help="the pod's namespace")
@click.option("-o", "--output", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--all", "everything", is_flag=True, help="show calls that only read, too")
@cluster_option
def command(what: str, namespace: str, form: str, everything: bool, name: str) -> int:
    """Draw which process called which, from the first request to the running containers, with milliseconds.

    A pod that is gone can be asked for as long as its records are kept.
    """
    kind, separator, pod = what.partition("/")
    if not separator or not pod or kind not in ("pod", "pods", "po"):
        raise click.UsageError(f'"{what}": expected pod/NAME')
    return asyncio.run(_flow(pod, namespace, form, everything, name))


async def _flow(pod: str, namespace: str, form: str, everything: bool, name: str) -> int:
    async with using_cluster(name) as cluster:
        await cluster.nodes()  # fails with "is not running" rather than a refused connection
        access = cluster.kubeconfig.access(cluster.name)
    records = await records_of(access, namespace, pod)
    steps = steps_of(records, everything=everything)
    if not steps:
        raise not_found("pods", pod)
    if form == "json":
        click.echo(json.dumps([step.as_dict() for step in steps], indent=2))
    elif sys.stdout.isatty():
        flowtext.show(f"{namespace}/{pod}", steps)
    else:
        click.echo(flowtext.draw(f"{namespace}/{pod}", steps))
    return 0


async def records_of(access: Access, namespace: str, pod: str) -> list[pb.AuditRecord]:
    """Read the audit trail of a pod from every api-server and give all records, each once.

    Prints on stderr which server does not answer. Raises Unavailable when none does.
    """
    trails = await asyncio.gather(*(_trail(access, server, namespace, pod) for server in access.servers))
    silent = [trail for trail in trails if isinstance(trail, ApiError)]
    if len(silent) == len(trails):
        raise silent[0]
    for err in silent:
        click.echo(f"warning: an api-server does not answer, what it knows is missing: {escaped(str(err))}", err=True)
    records = {
        record.SerializeToString(deterministic=True): record
        for trail in trails
        if not isinstance(trail, ApiError)
        for record in trail
    }
    return list(records.values())


async def _trail(access: Access, server: str, namespace: str, pod: str) -> list[pb.AuditRecord] | ApiError:
    async with Client.from_kubeconfig(replace(access, servers=(server,)), caller="kubelab") as client:
        try:
            return [record async for record in client.audit_records("pods", namespace, pod)]
        except (Unavailable, Timeout) as err:
            return err
