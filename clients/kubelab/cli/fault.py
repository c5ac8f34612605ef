"""``kubelab fault``: inject faults by hand (kill, stop, pause a process; cut the network) and undo them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import click

from kubelab.apimachinery.errors import ApiError, Conflict, NotFound
from kubelab.apimachinery.terminal import escaped
from kubelab.cli import logs, output
from kubelab.cli.options import cluster_option
from kubelab.cluster.clusterprocesses import action_order, node_names, own_processes
from kubelab.cluster.driver import Action, ClusterStatus, Process, ProcessState
from kubelab.cluster.find import using_cluster
from kubelab.topology.partitions import Partition, same

ACTIONS = {
    Action.KILL: ("killed", "Kill processes without warning; they are started again"),
    Action.STOP: ("stopped", "Stop processes, and keep them down"),
    Action.START: ("started", "Start processes that were stopped"),
    Action.PAUSE: ("paused", "Freeze processes: they keep their memory and connections, and do nothing"),
    Action.RESUME: ("resumed", "Let frozen processes go on"),
    Action.RESTART: ("restarted", "Stop processes and start them again"),
}
HEADER = ("FAULT", "TARGET")
FAULTS = (ProcessState.STOPPED, ProcessState.PAUSED)


@click.group("fault", short_help="Break a cluster by hand, and mend it", no_args_is_help=True)
def command() -> None:
    """Break a cluster by hand, and mend it: processes (scheduler@cp-1) and what lies between them.

    A process that is the only one of its kind goes by its component's name alone.
    """


@command.command("partition", short_help="Lose every packet between two nodes or processes")
@click.argument("a")
@click.argument("b")
@click.option("--one-way", is_flag=True, help="only what A sends to B is lost")
@cluster_option
def cut(a: str, b: str, one_way: bool, name: str) -> int:
    """Lose every packet between A and B, nodes or processes, also on connections that are open.

    A node stands for its processes and its pods.
    """
    return asyncio.run(_partition(name, a, b, one_way=one_way))


@command.command("heal", short_help="Take partitions away")
@click.argument("sides", nargs=-1, metavar="[A B]")
@cluster_option
def heal(sides: tuple[str, ...], name: str) -> int:
    """Take every partition away, or those between A and B.

    Without sides, what an experiment has left that was killed is undone as well.
    """
    if len(sides) not in (0, 2):
        raise click.UsageError("name two sides, or none to heal every partition")
    undone = [] if sides else asyncio.run(_left_by_an_experiment(name))
    return asyncio.run(_heal(name, sides, quiet=bool(undone)))


async def _left_by_an_experiment(name: str) -> list[str]:
    """Undo it, unless the experiment is still under way: it undoes everything itself."""
    from kubelab.chaos import leftovers
    from kubelab.chaos.faults import NotUndone
    from kubelab.chaos.undolog import UndoLogBusy

    try:
        undone = await leftovers.undo_leftovers(name)
    except UndoLogBusy:
        return []
    except NotUndone as err:
        raise click.ClickException(str(err)) from err
    for done in undone:
        click.echo(f"left by an experiment: {done}")
    return undone


@command.command("ls", short_help="List what is stopped, paused or cut off")
@cluster_option
def ls(name: str) -> int:
    """List what is stopped, paused or cut off."""
    return asyncio.run(_ls(name))


def _act_command(action: Action) -> click.Command:
    done, help_text = ACTIONS[action]

    @click.argument("processes", nargs=-1, metavar="PROCESS...")
    @click.option("--node", help="every process of this node")
    @cluster_option
    def act(processes: tuple[str, ...], node: str | None, name: str) -> int:
        if bool(processes) == bool(node):
            raise click.UsageError("name processes, or a node by --node")
        return asyncio.run(_act(name, action, done, processes, node))

    return click.command(action.value, short_help=help_text, help=f"{help_text}.")(act)


for _action in ACTIONS:
    command.add_command(_act_command(_action))


async def _act(name: str, action: Action, done: str, words: Sequence[str], node: str | None) -> int:
    """Act on one process after the other. Prints each failure and goes on with the next."""
    code = 0
    async with using_cluster(name) as cluster:
        status = await cluster.status()
        targets = of_node(status, node, action) if node else []
        for word in [process.name for process in targets] or words:
            try:
                process = await cluster.act(process_named(status, word), action)
            except (ApiError, click.UsageError) as err:
                click.echo(f"error: {escaped(err.message)}", err=True)
                code = 1
                continue
            click.echo(f"process/{process.name} {done}")
            if action in (Action.START, Action.RESTART) and process.state is not ProcessState.RUNNING:
                click.echo(f"{process.name} is {process.state.value}; look at: kubelab logs {process.name}", err=True)
                code = 1
    return code


async def _partition(name: str, a: str, b: str, *, one_way: bool) -> int:
    async with using_cluster(name) as cluster:
        status = await cluster.status()
        partition = Partition(side_named(status, a), side_named(status, b), one_way)
        before = await cluster.partitions()
        await cluster.partition(partition)
        done = "unchanged" if any(same(partition, other) for other in before) else "created"
        click.echo(f"partition/{arrow(partition)} {done}")
    return 0


async def _heal(name: str, sides: Sequence[str], *, quiet: bool) -> int:
    async with using_cluster(name) as cluster:
        before = await cluster.partitions()
        if sides:
            status = await cluster.status()
            a, b = (side_named(status, word) for word in sides)
            before = [partition for partition in before if {partition.source, partition.target} == {a, b}]
            if not before:
                raise NotFound(f'no partition between "{a}" and "{b}"')
        if not before and not quiet:
            click.echo("No partitions.")
        await cluster.heal(*(before if sides else ()))
        for partition in before:
            click.echo(f"partition/{arrow(partition)} healed")
    return 0


async def _ls(name: str) -> int:
    async with using_cluster(name) as cluster:
        click.echo(listing((await cluster.status()).processes, await cluster.partitions()))
    return 0


def listing(processes: Sequence[Process], partitions: Sequence[Partition]) -> str:
    """Lay out what is stopped, paused or cut off; ``No faults.`` where there is none."""
    rows = [(process.state.value, process.name) for process in processes if process.state in FAULTS]
    rows += [("Partition", arrow(partition)) for partition in partitions]
    return output.table(HEADER, rows) if rows else "No faults."


def arrow(partition: Partition) -> str:
    """``node-1<->node-2``; ``node-1->node-2`` where it is one way."""
    return f"{partition.source}{'->' if partition.one_way else '<->'}{partition.target}"


def of_node(status: ClusterStatus, node: str, action: Action) -> list[Process]:
    """Every process of a node, in the order in which the action suits them. NotFound."""
    if node not in node_names(status):
        raise NotFound(f'node "{node}" not found')
    return action_order((process for process in own_processes(status) if process.node == node), action)


def process_named(status: ClusterStatus, word: str) -> str:
    """The full name of a process. NotFound, Conflict where it is not one that can be acted on, UsageError."""
    candidates = own_processes(status)
    if any(process.name == word for process in status.processes) and word not in {p.name for p in candidates}:
        raise Conflict(f"{word} runs the cluster's processes; faults act on those only")
    if word not in {process.name for process in candidates} | {process.component for process in candidates}:
        raise NotFound(f'process "{word}" not found')
    return logs.find(candidates, word)


def side_named(status: ClusterStatus, word: str) -> str:
    """The full name of a node or process. NotFound, Conflict, UsageError."""
    if word in node_names(status):
        return word
    if "@" in word or word in {process.component for process in status.processes}:
        return process_named(status, word)
    raise NotFound(f'node "{word}" not found')
