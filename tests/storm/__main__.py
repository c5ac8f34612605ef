"""``make storm SECONDS=600 SEED=1``: faults from a seed, one round after the other, while a cluster is at work.

The work: six writers raise three counters by compare-and-swap, three clients create objects and read each other's,
twenty requests a second go through a service to six pods on five nodes. After each round the cluster must be whole
again: every process well, every node Ready, every role led once, the rules of every node equal to the endpoints. At the
end the histories are checked, the cluster is deleted, and nothing of it may be left. Exit code 1 names every promise
that was broken, and the seed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from kubelab.apimachinery.errors import ApiError
from kubelab.chaos import workload
from kubelab.chaos.health import ClusterHealth, NotRecovered
from kubelab.chaos.session import ExperimentSession
from kubelab.chaos.spec import ExperimentSpec
from kubelab.cluster.driver import Action
from kubelab.topology.record import Record
from tests.storm import invariants
from tests.storm.load import Work
from tests.storm.plan import CRASH, KILL, PARTITION, PAUSE, STOP, Blow, rounds
from tests.support.history import Kind, Op, OpOutcome, violations
from tests.support.traces import Traces

CLUSTER = "storm"
REPLICAS = 6
RECOVERY_SECONDS = 90.0
LOOK_SECONDS = 0.1
SPARE_SECONDS = 300.0  # for what is under way when the time is over
UNDO = {STOP: Action.START, PAUSE: Action.RESUME}


@dataclass
class Report:
    """What was done and what was seen."""

    seed: int
    rounds: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    broken: list[str] = field(default_factory=list[str])
    excused: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    def lines(self, session: ExperimentSession, ops: Sequence[Op]) -> list[str]:
        """Sum up for a person."""
        recoveries = [row["recovery"] for row in self.rounds if row["recovery"] is not None]
        requests, writes = session.recording.requests, session.recording.writes
        updates = [op.outcome for op in ops if op.kind is Kind.UPDATE]
        outcomes = {outcome.value: updates.count(outcome) for outcome in OpOutcome}
        created = sum(op.kind is Kind.CREATE and op.outcome is OpOutcome.DONE for op in ops)
        median, worst = (statistics.median(recoveries), max(recoveries)) if recoveries else (0.0, 0.0)
        return [
            f"seed {self.seed}: {sum(len(row['faults']) for row in self.rounds)} faults in {len(self.rounds)} rounds",
            f"recovery: median {median:.1f} s, worst {worst:.1f} s",
            f"requests: {len(requests)}, {sum(bool(r.error) for r in requests)} failed",
            f"creates: {len(session.acknowledged) + created} acknowledged, {sum(bool(w.error) for w in writes)} failed",
            "compare-and-swap: " + ", ".join(f"{count} {name}" for name, count in outcomes.items()),
        ]


async def storm(session: ExperimentSession, seed: int, seconds: float, only: int, report: Report) -> Sequence[Op]:
    """Do round after round until the time is over. Returns the clients' requests with their outcomes."""
    work = Work(session.driver, session.namespace, session.clock)
    await work.make(session.client)
    begin = session.clock.monotonic()
    async with asyncio.TaskGroup() as group:
        writers = group.create_task(work.run(), name="writers")
        try:
            plan = rounds(seed, await session.driver.status())
            for number, blows in enumerate(islice(plan, only or None)):
                if session.clock.monotonic() - begin > seconds:
                    break
                if not await _round(session, number, blows, report):
                    break
        finally:
            writers.cancel()
    report.broken += violations(work.ops, await work.final(session.client))
    report.broken += await invariants.acknowledged_is_there(session)
    report.broken += await invariants.every_pod_runs_once(session)
    await session.ended(session.writer.now())
    failed = invariants.traffic_goes_on(session.recording.requests, report.excused)
    report.broken += [f"a request failed at {failure}" for failure in failed]
    return work.ops


async def _round(session: ExperimentSession, number: int, blows: Sequence[Blow], report: Report) -> bool:
    """Strike, wait, undo, wait until all is well. False when it does not become well."""
    began = session.writer.now()
    print(f"{began:7.1f} s  round {number}: {'; '.join(map(str, blows))}", flush=True)
    row: dict[str, Any] = {"at": began, "faults": [str(blow) for blow in blows], "recovery": None}
    report.rounds.append(row)
    try:
        async with asyncio.TaskGroup() as group:
            for blow in blows:
                group.create_task(_strike(session, blow), name=str(blow))
        row["recovery"] = await ClusterHealth(session).recovered(RECOVERY_SECONDS)
        report.broken += [f"round {number}: {text}" for text in await invariants.every_pod_runs_once(session)]
    except NotRecovered as err:
        report.broken.append(f"round {number}: {err}")
        return False
    finally:
        if any(blow.touches_traffic for blow in blows):
            report.excused.append((began, session.writer.now()))
    return True


async def _strike(session: ExperimentSession, blow: Blow) -> None:
    """Do one fault and undo it."""
    faults = session.faults
    if blow.kind == CRASH:
        await _crash(session)
        return
    if blow.kind == PARTITION:
        partitions = await faults.partition(blow.target, blow.other, one_way=blow.one_way)
        await session.clock.sleep(blow.seconds)
        await faults.heal(*partitions)
        return
    if blow.on_guardian:
        await _strike_guardian(session, blow)
        return
    await faults.act(Action(blow.kind), blow.target)
    if undo := UNDO.get(blow.kind):
        await session.clock.sleep(blow.seconds)
        await faults.act(undo, blow.target)


async def _crash(session: ExperimentSession) -> None:
    """Kill a container of the service. What else happens in the round may keep a runtime from doing it for a while."""
    async with session.clock.timeout(RECOVERY_SECONDS):
        while True:
            with contextlib.suppress(ApiError):
                pod, node = session.some_pod()
                await workload.kill_container(session.driver, node, session.namespace, pod)
                return
            await session.clock.sleep(LOOK_SECONDS)


async def _strike_guardian(session: ExperimentSession, blow: Blow) -> None:
    """Kill the supervisor, the zygote or the tunnels, or freeze it for a while, by the process's own number."""
    driver, clock = session.driver, session.clock
    pid = next(p.pid for p in (await driver.status()).processes if p.name == blow.target)
    session.writer.fault(blow.kind, blow.target, moment=blow.kind == KILL)
    if blow.kind == PAUSE:
        os.kill(pid, signal.SIGSTOP)
        try:
            await clock.sleep(blow.seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
            session.writer.fault_over(blow.kind, blow.target)
        return
    os.kill(pid, signal.SIGKILL)
    async with clock.timeout(RECOVERY_SECONDS):
        while True:  # its successor answers
            with contextlib.suppress(ApiError):
                if next(p.pid for p in (await driver.status()).processes if p.name == blow.target) not in (0, pid):
                    return
            await clock.sleep(LOOK_SECONDS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a storm on a cluster of its own; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to go on (default: 120)")
    parser.add_argument("--seed", type=int, default=1, help="what the faults are chosen by (default: 1)")
    parser.add_argument("--rounds", type=int, default=0, help="so many rounds at most; 0 for no limit")
    options = parser.parse_args(argv)
    out = Path("build") / f"storm-{options.seed}.json"
    with tempfile.TemporaryDirectory(prefix="kubelab-storm-") as folder:
        home = Path(folder) / "home"
        os.environ |= {"KUBELAB_HOME": str(home), "KUBECONFIG": str(home / "kubeconfig"), "KUBELAB_CLUSTER": CLUSTER}
        report = Report(options.seed)
        _kubelab("up", "--name", CLUSTER, "--control-planes", "3", "--nodes", "5")
        try:
            lines = _run(options, report)
        finally:
            record = Record.load(home, CLUSTER)
            traces = Traces.of(record) if record else None
            _kubelab("down", "--delete", "--name", CLUSTER)
        report.broken += [f"left behind: {what}" for what in (traces.left() if traces else [])]
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"seed": report.seed, "rounds": report.rounds, "broken": report.broken}, indent=1))
    print("\n".join(lines))
    for broken in report.broken:
        print(f"BROKEN: {broken}")
    again = f"make storm SECONDS={options.seconds:g} SEED={options.seed}"
    print(f"{out} has every round; the same again: {again}" if report.broken else "Every promise was kept.")
    return 1 if report.broken else 0


def _run(options: argparse.Namespace, report: Report) -> list[str]:
    spec = ExperimentSpec(
        CLUSTER, title="storm", replicas=REPLICAS, requests_per_second=20.0, writes_per_second=10.0, control_planes=3
    )
    session = ExperimentSession(spec, print_line=print)
    ops: Sequence[Op] = ()
    try:
        session.start()
        work = storm(session, options.seed, options.seconds, options.rounds, report)
        ops = session.call(work, options.seconds + SPARE_SECONDS)
    except (ApiError, TimeoutError, BaseExceptionGroup) as err:
        report.broken.append(f"the storm ended early: {err!r}")
    finally:
        session.close()
    return report.lines(session, ops)


def _kubelab(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "kubelab.cli", *arguments], check=True)


if __name__ == "__main__":
    sys.exit(main())
