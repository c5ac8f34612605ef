"""``kubelab``: start, look into and stop a cluster. Commands are imported when they are used."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence

import click

from kubelab.apimachinery.version import GIT_VERSION
from kubelab.cli.minikube import words

COMMANDS = {
    "up": "Start a cluster, or report that it runs",
    "down": "Stop a cluster; its objects are kept",
    "status": "Show every process of a cluster",
    "service": "Give a URL at which a service answers",
    "image": "Load, build, list and remove images",
    "logs": "Print what a component wrote",
    "flow": "Show how a pod came to be, call by call",
    "shell": "Open a shell inside a node",
    "compose": "Use a cluster of docker compose",
    "fault": "Break a cluster by hand, and mend it",
    "chaos": "Run failure experiments, and show what happened",
}


class _Lazy(click.Group):
    """Commands live in modules of their own name, as ``command``; minikube's words in a package of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *words.COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in words.COMMANDS:
            module, attribute, _ = words.COMMANDS[cmd_name]
            return getattr(importlib.import_module(f"kubelab.cli.minikube.{module}"), attribute)
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"kubelab.cli.{cmd_name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        with formatter.section("minikube's words"):
            formatter.write_dl([(name, text) for name, (_, _, text) in words.COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.list_commands(ctx) and not args[0].startswith("-"):
            raise _unknown(args[0])
        return super().resolve_command(ctx, args)


def _unknown(word: str) -> click.ClickException:
    """Make the error for a word that is no command: where the thing is done, or the names that come near."""
    if word in words.ELSEWHERE:
        return click.ClickException(f'"{word}" is no command of kubelab: {words.ELSEWHERE[word]}')
    message = f'unknown command "{word}" for "kubelab"'
    if near := difflib.get_close_matches(word, [*COMMANDS, *words.COMMANDS], n=3):
        message += "\n\nDid you mean this?\n" + "".join(f"\t{name}\n" for name in near)
    return click.ClickException(f"{message}\nRun 'kubelab --help' for usage.")


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(GIT_VERSION, message="kubelab %(version)s")
def cli() -> None:
    """A Kubernetes laboratory: a small, real Kubernetes to learn, teach and experiment with."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; every known failure is a message on stderr and exit code 1, never a traceback."""
    try:
        code = cli.main(args=None if argv is None else [*argv], prog_name="kubelab", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as err:
        err.show()
        sys.exit(0)
    except click.ClickException as err:
        err.show()
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has left; so do we, without a word
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except Exception as err:
        from kubelab.apimachinery.terminal import escaped

        message = _message(err)
        if message is None:
            raise
        click.echo(f"error: {escaped(message)}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _message(err: BaseException) -> str | None:
    """Give the message of a failure that people can do something about; None for a bug."""
    from kubelab.apimachinery.errors import ApiError
    from kubelab.client.kubeconfig import KubeconfigError
    from kubelab.cluster.launch import LaunchFailed
    from kubelab.topology.record import RecordError

    if isinstance(err, BaseExceptionGroup) and len(err.exceptions) == 1:
        return _message(err.exceptions[0])
    expected = (ApiError, KubeconfigError, LaunchFailed, RecordError, OSError)
    return str(err) if isinstance(err, expected) else None


if __name__ == "__main__":
    main()
