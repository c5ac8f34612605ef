"""Draw the steps of a flow as text: a line for each arrow, time to the left, meaning to the right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from kubelab.apimachinery.terminal import escaped
from kubelab.cli.flowsteps import FlowStep

STYLES = {
    "api-server": "cyan",
    "etcd": "blue",
    "scheduler": "magenta",
    "controller-manager": "magenta",
    "kubelet": "yellow",
    "runtime": "green",
    "container": "bold green",
}
SHORTEST_ARROW = 4

Part = tuple[str, str]  # text, style


def draw(title: str, steps: Sequence[FlowStep]) -> str:
    """Give the diagram without colours."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines(title, steps))


def show(title: str, steps: Sequence[FlowStep]) -> None:
    """Print the diagram in colours."""
    console = Console(highlight=False, soft_wrap=True)
    for line in lines(title, steps):
        console.print(Text.assemble(*line))


def lines(title: str, steps: Sequence[FlowStep]) -> Iterator[list[Part]]:
    """Yield each line as its parts, escaped: they name objects."""
    for line in _lines(title, steps):
        yield [(escaped(text), style) for text, style in line]


def _lines(title: str, steps: Sequence[FlowStep]) -> Iterator[list[Part]]:
    width = max(len(_indent(step) + step.sender) for step in steps) + 1 + SHORTEST_ARROW
    right = max(len(step.target) for step in steps)
    last = max(step.at + (step.took or 0) for step in steps)
    yield [(f"pod {title}: {len(steps)} steps in {last:.1f} ms", "bold")]
    yield []
    yield [(f"{'START':>9}  {'TOOK':>9}  {'FROM':<{width + 2}}{'TO':<{right}}  WHAT", "dim")]
    for step in steps:
        took = "" if step.took is None else f"{step.took:.1f} ms"
        source = _indent(step) + step.sender
        arrow = "─" * (width - len(source) - 1) + "▶ "
        yield [
            (f"{step.at:6.1f} ms  {took:>9}  ", "dim"),
            (source, _style(step.source)),
            (f" {arrow}", "dim"),
            (f"{step.target:<{right}}", _style(step.target)),
            (f"  {step.what}", "" if step.code == "OK" else "red"),
            (_after(step), "dim" if step.code == "OK" else "red"),
        ]


def _after(step: FlowStep) -> str:
    """The details of a step: its revision, and the error of a failed call."""
    revision = f", revision {step.revision}" if step.revision else ""
    return revision if step.code == "OK" else f"{revision}  ✗ {step.code}"


def _indent(step: FlowStep) -> str:
    return "  └ " if step.depth else ""


def _style(process: str) -> str:
    return STYLES.get(process.partition("@")[0].partition(" ")[0], "")
