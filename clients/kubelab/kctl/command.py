"""The tree of commands: finds them as kubectl does, loads one when it runs, and prints help in kubectl's layout.

The tree knows only a :class:`CommandEntry` of each command until that runs, so ``kctl --help`` imports no command and
``kctl get pods`` one. A command has flags, a frozen dataclass with one field for each of them, and a function that
takes the session, the arguments and such options. docs/extending.md shows how to add one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kubelab.kctl.commonflags import KUSTOMIZE, OUTPUT, TEMPLATE, TEMPLATE_FLAGS, OutputFormat, refuse_kustomization
from kubelab.kctl.flags import CommandLine, Flag, UsageProblem, normalise, words

if TYPE_CHECKING:
    from kubelab.kctl.session import Session

Options = TypeVar("Options")

NO_EFFECT = "kubectl's; kctl {}"
GLOBAL_FLAGS = (
    Flag("--kubeconfig", help="Path to the kubeconfig file to use for CLI requests."),
    Flag("--context", help="The name of the kubeconfig context to use"),
    Flag("--cluster", help="The name of the kubeconfig cluster to use"),
    Flag("--user", help="The name of the kubeconfig user to use"),
    Flag("--namespace", "-n", help="If present, the namespace scope for this CLI request"),
    Flag(
        "--request-timeout",
        default="0",
        help="The length of time to wait before giving up on a server request, such as 1s, 2m or 3h; it also ends a "
        "watch. A value of zero means the client's own deadlines.",
    ),
    Flag("--server", "-s", help="The address and port of the Kubernetes API server"),
    Flag(
        "--tls-server-name",
        help="Server name to use for server certificate validation. If it is not provided, the name in the kubeconfig "
        "is used",
    ),
    Flag("--certificate-authority", help="Path to a cert file for the certificate authority"),
    Flag("--client-certificate", help="Path to a client certificate file for TLS"),
    Flag("--client-key", help="Path to a client key file for TLS"),
    Flag("--match-server-version", kind="bool", help="Require server version to match client version"),
    Flag(
        "--warnings-as-errors",
        kind="bool",
        help="Treat warnings received from the server as errors and exit with a non-zero exit code",
    ),
    Flag(
        "--v",
        "-v",
        kind="int",
        default=0,
        help="number for the log level verbosity: 6 shows calls, 7 their options, 8 requests and answers, 9 whole ones",
    ),
    Flag(
        "--as",
        "as_user",
        default="",
        help="Username to impersonate for the operation. User could be a regular user or a service account in a "
        "namespace.",
    ),
    Flag(
        "--as-group",
        kind="list",
        help="Group to impersonate for the operation, this flag can be repeated to specify multiple groups.",
    ),
    Flag("--as-uid", help="UID to impersonate for the operation."),
    Flag("--token", help="Bearer token for authentication to the API server"),
    Flag("--username", help=NO_EFFECT.format("refuses it: it knows certificates and tokens")),
    Flag("--password", help=NO_EFFECT.format("refuses it, as --username")),
    Flag("--insecure-skip-tls-verify", kind="bool", help=NO_EFFECT.format("refuses it: it always checks certificates")),
    Flag("--profile", default="none", help=NO_EFFECT.format("refuses all but 'none'")),
    Flag("--profile-output", default="profile.pprof", help=NO_EFFECT.format("writes no profile")),
    Flag("--cache-dir", help=NO_EFFECT.format("keeps no cache")),
    Flag("--disable-compression", kind="bool", help=NO_EFFECT.format("compresses nothing")),
    Flag("--log-flush-frequency", kind="duration", default=5.0, help=NO_EFFECT.format("writes its log at once")),
    Flag("--vmodule", help=NO_EFFECT.format("has one log")),
)
GLOBALS_LINE = 'Use "kctl options" for a list of global command-line options (applies to all commands).'
HELP = Flag("--help", "-h", kind="bool", hidden=True)


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """A command's place in the tree: where it is defined, and what its parent's help says of it."""

    name: str
    short: str
    where: str  # module:attribute, below kubelab.kctl
    section: str = ""
    aliases: tuple[str, ...] = ()
    hidden: bool = False

    def load(self) -> Command:
        """Import the command."""
        module, _, attribute = self.where.partition(":")
        return getattr(importlib.import_module(f"kubelab.kctl.{module}"), attribute)


@dataclass(frozen=True, slots=True)
class NoOptions:
    """The options of a command that has no flags of its own."""


def options_of(cls: type[Options], params: Mapping[str, Any]) -> Options:
    """Fill a dataclass of options: each field from the flag of its name."""
    return cls(**{field.name: params[field.name] for field in fields(cls)})  # pyright: ignore[reportArgumentType]


class Command(click.Command):
    """A command, maybe with others below it.

    ``run`` gets the session, the arguments and the ``options``, filled from the flags; it returns the exit code. A
    command without ``run`` only has others below it. One that reads files has ``-k`` too, where ``kustomizes``.
    """

    def __init__(
        self,
        name: str,
        *,
        run: Callable[[Session, tuple[str, ...], Options], int] | None = None,
        options: type[Options] | None = None,
        flags: Sequence[Flag] = (),
        children: Sequence[CommandEntry] = (),
        about: str,
        examples: str = "",
        usage: str = "",
        kustomizes: bool = True,
    ) -> None:
        self.templated = OUTPUT in flags and TEMPLATE not in flags
        flags = (*flags, *(TEMPLATE_FLAGS if self.templated else ()))
        names = {flag.long for flag in flags}
        self.kustomizes = kustomizes and {"filename", "recursive"} <= names and KUSTOMIZE not in flags
        if self.kustomizes:
            flags = (*flags, KUSTOMIZE)
        own = {flag.long for flag in flags}  # such as --namespace of `config set-context`, which means another thing
        self.flags: tuple[Flag, ...] = (*flags, *(f for f in GLOBAL_FLAGS if f.long not in own), HELP)
        super().__init__(name, params=[*self.flags, click.Argument(["args"], nargs=-1)], add_help_option=False)
        self.run: Callable[[Session, tuple[str, ...], Any], int] | None = run
        self.options: type[Any] | None = options
        self.children = tuple(children)
        self.aliases: tuple[str, ...] = ()  # its entry's, for the help
        self.about, self.examples, self.usage = about, examples, usage

    def child(self, word: str) -> CommandEntry | None:
        """Find a sub-command by its name or an alias."""
        return next((e for e in self.children if word == e.name or word in e.aliases), None)

    def unknown(self, word: str, path: str) -> UsageProblem:
        """Make the error for a word that names no command, with the names that come near."""
        message = f'unknown command "{word}" for "{path}"'
        near = [e.name for e in self.children if not e.hidden and _is_near(word, e.name)]
        if near:
            message += "\n\nDid you mean this?\n" + "\n".join(f"\t{name}" for name in near)
        return UsageProblem(message)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        line = normalise(self.flags, args, ctx.command_path)
        ctx.meta["line"] = line
        rest = super().parse_args(ctx, [*line.flags, "--", *line.arguments])
        if not ctx.params["help"]:
            missing = [f'"{f.long}"' for f in self.flags if f.must and not line.changed(f.long)]
            if missing:
                raise UsageProblem(f"required flag(s) {', '.join(missing)} not set")
        return rest

    def invoke(self, ctx: click.Context) -> int:
        """Call the command's function with the session, ``ctx.obj``, the arguments and the options."""
        assert self.run is not None
        assert self.options is not None
        params = ctx.params
        if self.kustomizes:
            refuse_kustomization(params["filename"], params["kustomize"], ctx.command_path)
        if self.templated:
            params = {**params, "output": OutputFormat.of(params)}
        return self.run(ctx.obj, ctx.params["args"], options_of(self.options, params))

    def help_text(self, path: str) -> str:
        """Give the help, in kubectl's layout."""
        parts = [self.about.strip()]
        if self.aliases:
            parts.append(f"Aliases:\n{', '.join([path.rpartition(' ')[2], *self.aliases])}")
        if self.examples:
            lines = self.examples.strip("\n").splitlines()
            parts.append("\n".join(["Examples:", *(f"  {line}" for line in lines)]))
        parts += self._sections()
        shown = [f for f in self.flags if not f.hidden and f not in GLOBAL_FLAGS]
        if shown:
            parts.append("Options:\n" + "\n\n".join(f"    {f.usage()}\n\t{f.help}" for f in sorted(shown, key=_long)))
        parts.append(f"Usage:\n  {self.usage or path} [options]")
        if self.children:
            parts.append(f'Use "{path} <command> --help" for more information about a given command.\n{GLOBALS_LINE}')
        else:
            parts.append(GLOBALS_LINE)
        return "\n\n".join(parts)

    def _sections(self) -> list[str]:
        visible = [e for e in self.children if not e.hidden]
        width = max([11, *(len(e.name) for e in visible)]) + 3  # 11: as cobra pads names
        sections = dict.fromkeys(e.section or "Available Commands:" for e in visible)
        return [
            "\n".join(
                [
                    title,
                    *(
                        f"  {e.name:<{width}}{e.short}"
                        for e in visible
                        if (e.section or "Available Commands:") == title
                    ),
                ]
            )
            for title in sections
        ]


def _is_near(typed: str, name: str) -> bool:
    """Say whether kubectl would suggest a name: it begins with what was typed, or two edits make one of the other."""
    typed = typed.lower()
    if name.startswith(typed):
        return True
    row = list(range(len(name) + 1))
    for place, letter in enumerate(typed, start=1):
        before, row[0] = row[0], place
        for n, other in enumerate(name, start=1):
            before, row[n] = row[n], min(row[n] + 1, row[n - 1] + 1, before + (letter != other))
    return row[-1] <= 2


def _long(flag: Flag) -> str:
    return flag.long


def find(root: Command, path: str, args: Sequence[str]) -> tuple[Command, str, list[str]]:
    """Walk down the tree as far as the arguments name commands; gives the command, its path and the rest."""
    rest = list(args)
    while root.children:
        positions = words(root.flags, rest)
        if not positions:
            break
        place, word = positions[0]
        entry = root.child(word)
        if entry is None:
            if root.run is None and not {"-h", "--help"} & {*rest}:  # before its flags are read: they are not ours
                if path == "kctl":
                    raise root.unknown(word, path)
                typed = " ".join(word for _, word in positions)
                raise UsageProblem(f'unknown command "{typed}"', path, hint="arguments")
            break
        del rest[place]
        root, path = entry.load(), f"{path} {entry.name}"
        root.aliases = entry.aliases
    return root, path, rest


def line_of(ctx: click.Context) -> CommandLine:
    """Give the command line that :meth:`Command.parse_args` read."""
    line: CommandLine = ctx.meta["line"]
    return line


def unexpected(session: Session, args: Sequence[str]) -> None:
    """Refuse arguments where a command takes none."""
    if args:
        raise UsageProblem(f"Unexpected args: [{' '.join(args)}]", session.command_path, hint="arguments")


def only_name(session: Session, args: Sequence[str]) -> str:
    """Expect exactly one argument, a name."""
    if len(args) != 1:
        raise UsageProblem(f"exactly one NAME is required, got {len(args)}", session.command_path, hint="arguments")
    return args[0]
