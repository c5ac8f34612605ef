"""``kctl options`` and ``kctl help``."""

from __future__ import annotations

from kubelab.kctl.command import GLOBAL_FLAGS, Command, NoOptions, find
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.session import Session


def _options(session: Session, args: tuple[str, ...], options: NoOptions) -> int:
    print("The following options can be passed to any command:\n")
    print("\n\n".join(f"    {flag.usage()}\n\t{flag.help}" for flag in sorted(GLOBAL_FLAGS, key=lambda f: f.long)))
    return 0


def _help(session: Session, args: tuple[str, ...], options: NoOptions) -> int:
    from kubelab.kctl.root import ROOT

    command, path, rest = find(ROOT, "kctl", args)
    if rest:
        raise UsageProblem(f'unknown help topic "{" ".join(args)}"', session.command_path)
    print(command.help_text(path))
    return 0


OPTIONS = Command(
    "options", run=_options, options=NoOptions, about="Print the list of flags inherited by all commands."
)
HELP_COMMAND = Command(
    "help", run=_help, options=NoOptions, about="Help provides help for any command in the application."
)
