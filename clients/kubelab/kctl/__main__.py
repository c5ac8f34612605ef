"""kctl: the commands of kubectl, for a kubelab cluster. What it prints, and the exit codes, are kubectl's."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.command import GLOBAL_FLAGS, Command, find, line_of
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.root import ROOT

if TYPE_CHECKING:
    from kubelab.kctl.session import Factory

COMPLETE = "__complete"  # what the code of `kctl completion` calls
INTERRUPTED = 130  # 128 + SIGINT


def main(argv: Sequence[str] | None = None, factory: Factory | None = None) -> int:
    """Run one command line and return its exit code."""
    _open_closed_streams()
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC reads it at its import; kctl prints errors itself, once
    try:
        code = _run(sys.argv[1:] if argv is None else argv, factory)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `kctl get pods | head -1`: the reader closed the pipe
        _discard_output()
        return 1
    except OSError as err:  # `kctl get pods > /dev/full`
        _discard_output()
        return _fail(f"error: {err.strerror}")


def _open_closed_streams() -> None:
    """Give a standard stream that was closed (``1>&-``) /dev/null: a connection must not get its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # the lowest that is free: the stream's own
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))


def _discard_output() -> None:
    """Send the rest of the output to /dev/null: Python flushes it once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(argv: Sequence[str], factory: Factory | None) -> int:
    servers: Sequence[str] = ()
    try:
        _check_text(argv)
        if (own := _without_command(argv, factory)) is not None:
            return own
        command, path, rest = find(ROOT, "kctl", argv)
        with click.Context(command, info_name=path) as ctx:
            command.parse_args(ctx, rest)
            if ctx.params["help"] or command.run is None:
                return _helped(ctx, command)
            from kubelab.kctl.session import ConfigFlags, Factory, Session

            config = ConfigFlags(**{str(f.name): ctx.params[str(f.name)] for f in command.flags if f in GLOBAL_FLAGS})
            session = ctx.obj = Session(factory or Factory(), config, line_of(ctx), path)
            try:
                return session.exit_code(command.invoke(ctx))
            finally:
                servers = session.servers
    except UsageProblem as problem:
        return _fail(escaped(problem.lines()))
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception as err:
        from kubelab.kctl import failures  # with the errors' types, which weigh more than kctl itself

        if os.environ.get(failures.TRACEBACK):
            raise
        return _fail(escaped(failures.of_command(err, servers)))


def _without_command(argv: Sequence[str], factory: Factory | None) -> int | None:
    """Answer a shell that completes a word, or become a plugin; None where the words are a command of kctl's own."""
    if not argv or argv[0].startswith("-") or ROOT.child(argv[0]) is not None:
        return None
    from kubelab.kctl.session import Factory

    factory = factory or Factory()
    if argv[0] == COMPLETE:
        from kubelab.kctl.completion.candidates import complete

        print(complete(argv[1:], factory).lines(), end="")
        return 0
    from kubelab.kctl import plugins

    if plugin := plugins.find(argv, factory.environ.get("PATH")):
        plugins.run(plugin, factory.environ)
    return None


def _helped(ctx: click.Context, command: Command) -> int:
    """Print the help: for --help, or for a command that only has others below it."""
    args: tuple[str, ...] = ctx.params["args"]
    if not ctx.params["help"] and args:
        raise UsageProblem(f'unknown command "{args[0]}"', ctx.command_path, hint="arguments")
    requested = ctx.params["help"] or ctx.command_path == "kctl"
    print(command.help_text(ctx.command_path), file=sys.stdout if requested else sys.stderr)
    return 0 if requested else 1


def _check_text(argv: Sequence[str]) -> None:
    """Refuse an argument that is not UTF-8: Python keeps its bytes as surrogates, which no request can carry."""
    for argument in argv:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UsageProblem(f"argument is not UTF-8 text: {os.fsencode(argument)!r}") from None


def _fail(message: str) -> int:
    sys.stdout.flush()
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
