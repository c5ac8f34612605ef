"""``kubelab chaos``: run failure experiments, list them, and make a page of what a run recorded."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kubelab.apimachinery.terminal import escaped
from kubelab.cli.options import cluster_option

if TYPE_CHECKING:
    from kubelab.chaos.check import Experiment

NEEDED = ("chaoslib", "jinja2")
INSTALL = "pip install 'kubelab[chaos]'"


@click.group("chaos", short_help="Run failure experiments, and show what happened")
def command() -> None:
    """Run failure experiments, and show what happened.

    Experiments are files in the Chaos Toolkit format; docs/experiments.md says how to write one.
    """
    missing = [module for module in NEEDED if importlib.util.find_spec(module) is None]
    if missing:
        raise click.ClickException(f"experiments need Python packages that are not installed; type: {INSTALL}")


@command.command("run")
@click.argument("file")
@click.option(
    "--journal-path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="where to write what happened  [default: journal.json, or journal-2.json … where that is there already]",
)
@click.option("--var", "variables", multiple=True, metavar="KEY[:TYPE]=VALUE", help="set a value of `configuration`")
@cluster_option
def run(file: str, journal_path: Path | None, variables: tuple[str, ...], name: str) -> int:
    """Run an experiment: a FILE, or the name of one that `kubelab chaos ls` lists.

    The exit code is 0 only when everything was as predicted. Everything is undone at the end, and when the run is
    interrupted.
    """
    from chaoslib import convert_vars

    from kubelab.chaos import runner

    try:
        values: dict[str, Any] = convert_vars(list(variables))
    except ValueError as err:
        raise click.UsageError(f"--var: {err}") from err
    journal_path = journal_path or free_journal(Path())
    with click_errors():
        experiment = runner.prepare(find(file), name, values)
        ended = runner.run(experiment, name, journal_path, values)
    click.echo()
    for line in ended.lines:
        click.echo(escaped(line))
    click.echo(f"Journal:     {journal_path}; for a page of it, type: kubelab chaos report {journal_path}")
    return ended.code


def free_journal(folder: Path) -> Path:
    """Name a journal that is not there yet: what an earlier run recorded is kept."""
    names = itertools.chain(["journal.json"], (f"journal-{n}.json" for n in itertools.count(2)))
    return next(path for name in names if not (path := folder / name).exists())


@command.command("ls")
def ls() -> int:
    """List the experiments that come with kubelab, with the question that each answers."""
    from kubelab.chaos import check
    from kubelab.cli import output

    with click_errors():
        experiments = [check.load(path) for path in bundled_experiments()]
    rows = [(e.path.stem, _needs(e), e.title) for e in experiments]
    click.echo(output.table(("NAME", "NEEDS", "QUESTION"), rows))
    return 0


@command.command("report")
@click.argument("journal", type=click.Path(path_type=Path))
@click.option("-o", "--output", "page", type=click.Path(path_type=Path), help="the page  [default: JOURNAL.html]")
def report(journal: Path, page: Path | None) -> int:
    """Make one self-contained HTML page of a JOURNAL."""
    from kubelab.chaos import report as reporting

    page = page or journal.with_suffix(".html")
    with click_errors():
        page.write_text(reporting.render(reporting.read(journal)), encoding="utf-8")
    click.echo(f"{page}")
    return 0


def bundled_experiments() -> list[Path]:
    """The files of the experiments that come with kubelab."""
    from kubelab.chaos import bundled

    return sorted(bundled.folder("experiments").glob("*.yaml"))


def find(word: str) -> Path:
    """A file, or one of the experiments that come with kubelab, by name. Raises ClickException."""
    from kubelab.chaos.bundled import NotBundled

    path = Path(word)
    if path.is_file():
        return path
    try:
        named = {path.stem: path for path in bundled_experiments()}
    except NotBundled:
        named = {}
    if word in named:
        return named[word]
    raise click.ClickException(f"{word}: no such file, and no experiment of that name; see: kubelab chaos ls")


def _needs(experiment: Experiment) -> str:
    from kubelab.chaos.check import own_control

    _, arguments = own_control(experiment.document)
    needs = [
        f"{arguments[what]} {what.replace('_', ' ')}"
        for what in ("control_planes", "nodes")
        if arguments.get(what, 1) > 1
    ]
    return ", ".join(needs) or "-"


@contextlib.contextmanager
def click_errors() -> Generator[None]:
    """Turn what can go wrong with an experiment into a message."""
    from kubelab.chaos.bundled import NotBundled
    from kubelab.chaos.check import BadExperiment
    from kubelab.chaos.faults import NotUndone
    from kubelab.chaos.report import BadJournal
    from kubelab.chaos.runner import JournalNotWritable
    from kubelab.chaos.session import UnsuitableCluster
    from kubelab.chaos.undolog import UndoLogBusy

    try:
        yield
    except (
        BadExperiment,
        BadJournal,
        UndoLogBusy,
        UnsuitableCluster,
        NotBundled,
        NotUndone,
        JournalNotWritable,
    ) as err:
        raise click.ClickException(str(err)) from err
