"""``kubelab kubectl``, ``kubelab tunnel`` and ``kubelab version``."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import click

from kubelab.apimachinery.scheme import SERVICES
from kubelab.apimachinery.version import GIT_VERSION
from kubelab.cli import output
from kubelab.cli import service as service_module
from kubelab.cli.options import cluster_option
from kubelab.client.client import Client
from kubelab.cluster.find import using_cluster


@click.command(
    "kubectl",
    short_help="Run kctl on a cluster",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@cluster_option
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS...]")
def kubectl(name: str, words: tuple[str, ...]) -> None:
    """Run kctl on a cluster. `--` keeps kubelab from reading the arguments."""
    os.execve(sys.executable, [sys.executable, "-m", "kubelab.kctl", *words], {**os.environ, "KUBELAB_CLUSTER": name})


@click.command("tunnel", short_help="Open tunnels to every service of type LoadBalancer")
@click.option("-c", "--cleanup", is_flag=True, help="minikube's; tunnels belong to the cluster and end with it")
@cluster_option
def tunnel(cleanup: bool, name: str) -> int:
    """Open a tunnel from 127.0.0.1 to every port of every service of type LoadBalancer, and print the URLs.

    The tunnels are the cluster's: they stay when this command has ended. Their EXTERNAL-IP stays <pending>.
    """
    return asyncio.run(_tunnel(name))


async def _tunnel(name: str) -> int:
    async with using_cluster(name) as cluster:
        nodes = await cluster.nodes()
        async with Client.from_kubeconfig(cluster.kubeconfig, caller="kubelab", context=cluster.name) as client:
            services = [one for one in (await client.list(SERVICES)).items if one.spec.type == "LoadBalancer"]
        if not services:
            output.step("❗", "There is no service of type LoadBalancer. For others, type: kubelab service NAME")
        code = 0
        for one in services:
            code |= await service_module.show(one, cluster, nodes[0], only_url=False)
        return code


@click.command("version", short_help="Print kubelab's version")
@click.option("--short", is_flag=True, help="only the version")
@click.option("-o", "--output", "form", type=click.Choice(["json", "yaml"]), help="a document")
def version(short: bool, form: str | None) -> int:
    """Print kubelab's version."""
    match form:
        case "json":
            click.echo(json.dumps({"kubelabVersion": GIT_VERSION}))
        case "yaml":
            click.echo(f"kubelabVersion: {GIT_VERSION}")
        case _:
            click.echo(GIT_VERSION if short else f"kubelab version: {GIT_VERSION}")
    return 0
