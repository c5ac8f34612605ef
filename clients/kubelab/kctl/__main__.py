"""kctl: the commands of kubectl, for a kubelab cluster. What it prints, and the exit codes, are kubectl's."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from kubelab.apimachinery.errors import ApiError
from kubelab.client.kubeconfig import KubeconfigError
from kubelab.kctl.command import find
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.root import ROOT
from kubelab.kctl.session import Failed, Session, World

INTERRUPTED = 130  # 128 + SIGINT


def main(argv: Sequence[str] | None = None, world: World | None = None) -> int:
    """Run one command line and return its exit code."""
    try:
        code = _run(sys.argv[1:] if argv is None else argv, world or World())
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `kctl get pods | head -1`: whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(argv: Sequence[str], world: World) -> int:
    session: Session | None = None
    try:
        command, path, rest = find(ROOT, ROOT.name or "kctl", argv)
        with click.Context(command, info_name=path) as ctx:
            command.parse_args(ctx, rest)
            if ctx.params["help"] or command.callback is None:
                return _helped(ctx)
            session = ctx.obj = Session(world, ctx.params)
            return command.invoke(ctx) or 0
    except UsageProblem as problem:
        return _fail(problem.lines())
    except click.UsageError as err:
        return _fail(f"error: {err.format_message()}")
    except Failed as err:
        return _fail(str(err))
    except KubeconfigError as err:
        return _fail(f"error: {err}")
    except ApiError as err:
        from kubelab.kctl import failures

        return _fail(failures.describe(err, servers=session.access.servers if session else ()))


def _helped(ctx: click.Context) -> int:
    """Print the help of a command that was asked for it, or that only has others below it."""
    command = ctx.command
    args: tuple[str, ...] = ctx.params["args"]
    if not ctx.params["help"] and args:
        if ctx.command_path == "kctl":
            raise command.unknown(args[0], ctx.command_path)  # type: ignore[attr-defined]
        raise UsageProblem(f'unknown command "{args[0]}"', ctx.command_path, hint="arguments")
    print(command.help_text(ctx.command_path))  # type: ignore[attr-defined]
    return 0


def _fail(told: str) -> int:
    if told:
        sys.stdout.flush()
        print(told, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
