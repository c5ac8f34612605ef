"""kctl: the commands of kubectl, for a kubelab cluster. What it prints, and the exit codes, are kubectl's."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import click

from kubelab.kctl.command import Command, find
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.root import ROOT

if TYPE_CHECKING:
    from kubelab.kctl.session import World

INTERRUPTED = 130  # 128 + SIGINT


def main(argv: Sequence[str] | None = None, world: World | None = None) -> int:
    """Run one command line and return its exit code."""
    try:
        code = _run(sys.argv[1:] if argv is None else argv, world)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `kctl get pods | head -1`: whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(argv: Sequence[str], world: World | None) -> int:
    servers: Sequence[str] = ()
    try:
        command, path, rest = find(ROOT, "kctl", argv)
        with click.Context(command, info_name=path) as ctx:
            command.parse_args(ctx, rest)
            if ctx.params["help"] or command.callback is None:
                return _helped(ctx, command)
            from kubelab.kctl.session import Session, World

            session = ctx.obj = Session(world or World(), ctx.params)
            try:
                return cast("int | None", command.invoke(ctx)) or 0
            finally:
                servers = session.servers
    except UsageProblem as problem:
        return _fail(problem.lines())
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception as err:
        from kubelab.kctl import failures  # with the errors' types, which weigh more than kctl itself

        if os.environ.get(failures.TRACEBACK):
            raise
        return _fail(failures.of_command(err, servers))


def _helped(ctx: click.Context, command: Command) -> int:
    """Print the help of a command that was asked for it, or that only has others below it."""
    args: tuple[str, ...] = ctx.params["args"]
    if not ctx.params["help"] and args:
        if ctx.command_path == "kctl":
            raise command.unknown(args[0], ctx.command_path)
        raise UsageProblem(f'unknown command "{args[0]}"', ctx.command_path, hint="arguments")
    print(command.help_text(ctx.command_path))
    return 0


def _fail(told: str) -> int:
    sys.stdout.flush()
    print(told, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
