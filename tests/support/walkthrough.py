"""A document whose ``console`` blocks are typed: its commands, and what it says they print.

In a block a line with ``$`` begins a command; what follows, up to the next one, is its output. ``…`` alone stands for
any number of lines. What differs from run to run by nature (ages, addresses, ports, random names, durations, and which
control plane leads) counts as equal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

ANY = "…"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# The first that matches a place decides. Each names what is the same on every run.
VARYING = (
    (r"^(\*  kubelab v\S+) on .*", r"\1 on SYSTEM"),
    (r"=(amd64|arm64)$", "=ARCH"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"(192\.168\.49\.\d+):\d+", r"\1:NODEPORT"),
    (r"\b80:3[0-2]\d{3}/TCP", "80:NODEPORT/TCP"),
    (r"\b10\.244\.\d+\.\d+", "POD-IP"),
    (r"\b10\.(9[6-9]|10\d|11[01])\.\d+\.\d+", "CLUSTER-IP"),
    (r"\b(replication-controller)-[a-z0-9]{5}\b", r"\1-SUFFIX"),
    (r"\b(hello-deploy)-[a-z0-9]{8,10}(-[a-z0-9]{5})?\b", r"\1-SUFFIX"),
    (r"\b[0-9a-f]{12}\b", "ID"),
    (r"\b\d+(\.\d+)? m?s\b", "DURATION"),
    (r"(?<= )(\d+[dhms])+( ago)?(?= |$)", "AGE"),
    (r"\b\d+Mi\b", "MEMORY"),
    (r"\brevision \d+", "revision N"),
    (r"\d+ steps", "N steps"),
    (r"\d+(\.\d+)?k?B\b", "SIZE"),
    (r"-{3,}", "---"),
    (r"─+", "─"),
)
# Which node a pod or a role is on is the scheduler's and the voters' business.
NODE = re.compile(r"\b(cp|node)-\d\b")
PID_AND_NODE = re.compile(r"^(\S+)@NODE NODE \d+ ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    """One command, and the lines that it prints. ``line`` is its place in the document."""

    command: str
    output: tuple[str, ...]
    line: int


def steps(document: str) -> list[Step]:
    """Read the commands of a document in their order."""
    found: list[Step] = []
    for block in BLOCK.finditer(document):
        number = document.count("\n", 0, block.start(1)) + 1
        for offset, text in enumerate(block[1].splitlines()):
            if text.startswith("$ "):
                found.append(Step(text.removeprefix("$ "), (), number + offset))
            elif not found or found[-1].line < number:
                raise ValueError(f"line {number + offset}: a block begins with its command: {text!r}")
            else:
                last = found[-1]
                found[-1] = Step(last.command, (*last.output, text), last.line)
    return [Step(step.command, _stripped(step.output), step.line) for step in found]


def difference(expected: Sequence[str], printed: str, *, cluster: str = "", nodes_vary: bool = False) -> str:
    """Say where what a command printed differs from the document; "" where it does not.

    ``cluster`` is the name of the cluster that it was typed on, the document's is ``kubelab``. With ``nodes_vary`` the
    names of nodes count as equal.
    """

    def same(line: str) -> str:
        return _normal(line, cluster, nodes_vary=nodes_vary)

    lines = list(_stripped([same(line) for line in printed.splitlines()]))
    wanted = [line if line == ANY else same(line) for line in expected]
    if not _matches(wanted, lines):
        return "\n".join(["expected:", *wanted, "printed:", *lines])
    return ""


def _normal(line: str, cluster: str, *, nodes_vary: bool) -> str:
    if cluster:
        line = line.replace(f" --name {cluster}", "").replace(cluster, "kubelab")
    for pattern, word in VARYING:
        line = re.sub(pattern, word, line)
    line = re.sub(r" {2,}", " ", line.rstrip())
    if nodes_vary:
        line = PID_AND_NODE.sub(r"\1@NODE NODE PID ", NODE.sub("NODE", line))
    return line


def _stripped(lines: Sequence[str]) -> tuple[str, ...]:
    """Without the empty lines at both ends."""
    first = next((n for n, line in enumerate(lines) if line.strip()), len(lines))
    last = next((n for n, line in enumerate(reversed(lines)) if line.strip()), 0)
    return tuple(lines[first : len(lines) - last])


def _matches(wanted: Sequence[str], lines: Sequence[str]) -> bool:
    """Whether the lines are those that are wanted, in their order; ANY stands for any number of them."""
    reached = {0}  # how many of the lines may have been used up
    for want in wanted:
        if want == ANY:
            reached = set(range(min(reached), len(lines) + 1)) if reached else set()
        else:
            reached = {at + 1 for at in reached if at < len(lines) and lines[at] == want}
    return len(lines) in reached
