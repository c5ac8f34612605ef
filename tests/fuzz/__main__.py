"""``make fuzz SECONDS=600 SEED=1``: hostile requests to every server, from a seed.

Half of the time an api-server on a real etcd, a kubelet, the scheduler and the controller-manager are asked, half of it
every server of a whole cluster, down to the supervisor, the runtime and the node agent (as root). ``--replay FILE``
sends what a finding wrote. Exit code 1 names every promise that was broken, the seed, and the file.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kubelab.apimachinery.clock import SystemClock
from tests.fuzz import findings, reading, run, servers
from tests.fuzz.run import Fuzzer, Report

FOUND = Path("build/fuzz")
OF_CLUSTER = ("supervisor", "runtime", "node-agent")


async def fuzz_control_plane(folder: Path, seed: int, seconds: float) -> Report:
    """The api-server and its clients, and then the pass over what got in."""
    async with servers.control_plane(folder) as place:
        fuzzer = Fuzzer(place, seed, SystemClock())
        await fuzzer.run(seconds)
        if place.api is not None and place.kubeconfig is not None:
            await reading.read(place.api, place.kubeconfig, fuzzer.report)
        return fuzzer.report


async def fuzz_cluster(folder: Path, seed: int, seconds: float) -> Report:
    """The servers of a machine and its nodes."""
    async with servers.cluster(folder) as place:
        fuzzer = Fuzzer(place, seed, SystemClock())
        await fuzzer.run(seconds)
        return fuzzer.report


async def replay(path: Path, folder: Path) -> int:
    """Send a finding's inputs again, one after the other."""
    inputs = findings.read(path)
    node = any("@" in one.server or one.server in OF_CLUSTER for one in inputs)
    async with (servers.cluster if node else servers.control_plane)(folder) as place:
        by_name = {server.name: server for server in place.servers}
        for one in inputs:
            async with by_name[one.server].connect() as channel:
                code, details = await run.call(channel, one)
            print(f"{one.name} {one.server} {one.path}: {code.name} {details}")
        for server in place.servers:
            if run.TRACEBACK in (written := server.new_log()):
                print(f"{server.name} wrote a traceback: {written}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("control-plane", "cluster"))
    parser.add_argument("--replay", type=Path)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="kl-fuzz-") as name:
        folder = Path(name)
        if options.replay:
            return asyncio.run(replay(options.replay, folder))
        parts = [options.only] if options.only else ["control-plane", *(["cluster"] if os.geteuid() == 0 else [])]
        broken: list[findings.Finding] = []
        for part in parts:
            here = folder / part
            here.mkdir()
            work = fuzz_control_plane if part == "control-plane" else fuzz_cluster
            report = asyncio.run(work(here, options.seed, options.seconds / len(parts)))
            print("\n".join(report.lines()), flush=True)
            broken += report.findings
        print("\n".join(run.save(broken, FOUND)) or "every promise was kept")
        return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
