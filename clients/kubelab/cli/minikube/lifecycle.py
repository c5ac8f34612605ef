"""``kubelab start|stop|delete|pause|unpause``, as minikube spells them."""

from __future__ import annotations

import asyncio

import click

from kubelab.cli import down as down_module
from kubelab.cli import output
from kubelab.cli import up as up_module
from kubelab.cli.options import cluster_option
from kubelab.client import kubeconfig
from kubelab.cluster.clusterprocesses import action_order, own_processes
from kubelab.cluster.driver import Action, ProcessState
from kubelab.cluster.find import using_cluster
from kubelab.topology.record import names

# What minikube pauses: the control plane and the kubelets. Pods, their runtimes and the rules of kube-proxy go on.
PAUSED = ("etcd", "api-server", "scheduler", "controller-manager", "kubelet")


@click.command("start", short_help="Start a cluster: kubelab up", context_settings={"ignore_unknown_options": True})
@click.option("--ha", is_flag=True, help="three control planes: kubelab up --control-planes 3")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF UP]")
def start(ha: bool, words: tuple[str, ...]) -> int:
    """Start a cluster. This is `kubelab up`, and takes its options."""
    planes = ["--control-planes", "3"] if ha else []
    return up_module.command.main([*planes, *words], prog_name="kubelab start", standalone_mode=False) or 0


@click.command("stop", short_help="Stop a cluster; its objects are kept: kubelab down")
@cluster_option
def stop(name: str) -> int:
    """Stop a cluster; its objects are kept. This is `kubelab down`."""
    return _down("--name", name)


@click.command("delete", short_help="Remove a cluster and its objects: kubelab down --delete")
@click.option("--all", "every", is_flag=True, help="every cluster of this KUBELAB_HOME")
@click.option("-y", "--yes", is_flag=True, help="delete without a question")
@cluster_option
@click.pass_context
def delete(ctx: click.Context, every: bool, yes: bool, name: str) -> int:
    """Remove a cluster with its objects, images and files. This is `kubelab down --delete`."""
    if every:
        return max((_down("--delete", "--name", other) for other in names(kubeconfig.home().absolute())), default=0)
    named = ctx.get_parameter_source("name") is not click.core.ParameterSource.DEFAULT
    return _down("--delete", *(["--yes"] if yes else []), *(["--name", name] if named else []))


def _down(*words: str) -> int:
    return down_module.command.main([*words], prog_name="kubelab down", standalone_mode=False) or 0


@click.command("pause", short_help="Freeze the control plane and the kubelets; pods go on")
@cluster_option
def pause(name: str) -> int:
    """Freeze the control plane and the kubelets: they keep their memory and do nothing. Pods go on."""
    return asyncio.run(_freeze(name, Action.PAUSE))


@click.command("unpause", short_help="Let what was paused go on")
@cluster_option
def unpause(name: str) -> int:
    """Let what was paused go on."""
    return asyncio.run(_freeze(name, Action.RESUME))


async def _freeze(name: str, action: Action) -> int:
    pausing = action is Action.PAUSE
    async with using_cluster(name) as cluster:
        status = await cluster.status()
        processes = [
            process
            for process in action_order(own_processes(status), action)
            if process.component in PAUSED and pausing is not (process.state is ProcessState.PAUSED)
        ]
        for node in dict.fromkeys(process.node for process in processes):
            output.step("⏸️ ", f"{'Pausing' if pausing else 'Unpausing'} node {node} ... ")
        for process in processes:
            await cluster.act(process.name, action)
        done = "Paused" if pausing else "Unpaused"
        output.step("⏯️ ", f"{done} {len(processes)} processes in: {', '.join(PAUSED)}")
    return 0
