"""``kctl options`` and ``kctl help``."""

from __future__ import annotations

import click

from kubelab.kctl.command import GLOBAL_FLAGS, Command, find
from kubelab.kctl.flags import UsageProblem


def _options(**_: object) -> None:
    print("The following options can be passed to any command:\n")
    print("\n\n".join(f"    {flag.usage()}\n\t{flag.help}" for flag in sorted(GLOBAL_FLAGS, key=lambda f: f.long)))


def _help(args: tuple[str, ...], **_: object) -> None:
    from kubelab.kctl.root import ROOT

    command, path, rest = find(ROOT, "kctl", args)
    if rest:
        raise UsageProblem(f'unknown help topic "{" ".join(args)}"', click.get_current_context().command_path)
    print(command.help_text(path))


OPTIONS = Command("options", callback=_options, about="Print the list of flags inherited by all commands.")
HELP_COMMAND = Command("help", callback=_help, about="Help provides help for any command in the application.")
