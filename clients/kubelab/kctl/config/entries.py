"""What the commands of ``kctl config`` share: they read files that need not exist, and change them in place."""

from __future__ import annotations

from collections.abc import Callable

from kubelab.client.kubeconfig import Kubeconfig
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.session import Failed, Session

WORDS = {"clusters": "cluster", "contexts": "context", "users": "user"}


def loaded(session: Session) -> Kubeconfig:
    """Read the files; an empty kubeconfig when there are none."""
    return session.rules.load_or_new() if session.rules.exist() else Kubeconfig(path=session.rules.default_file)


def exact(session: Session, args: tuple[str, ...], count: int) -> None:
    """Refuse another number of arguments."""
    if len(args) != count:
        raise UsageProblem(f"Unexpected args: [{' '.join(args)}]", session.command_path, hint="arguments")


def delete_entry(section: str) -> Callable[[Session, tuple[str, ...], object], int]:
    """Make the function of ``delete-cluster``, ``delete-context`` or ``delete-user``."""

    def run(session: Session, args: tuple[str, ...], options: object) -> int:
        import sys

        word = WORDS[section]
        if len(args) != 1:
            raise UsageProblem(f"{word} to delete is required", session.command_path, hint="arguments")
        (name,) = args
        file = session.rules.file_of(section, name)
        if file is None:
            raise Failed(f"error: cannot delete {word} {name}, not in {session.rules.default_file}")
        if section == "contexts" and loaded(session).current_context == name:
            print(
                'warning: this removed your active context, use "kctl config use-context" to select a different one',
                file=sys.stderr,
            )
        session.rules.remove_entry(section, name)
        print(f"deleted {word} {name} from {file}")
        return 0

    return run


def print_names(section: str) -> Callable[[Session, tuple[str, ...], object], int]:
    """Make the function of ``get-clusters`` or ``get-users``."""

    def run(session: Session, args: tuple[str, ...], options: object) -> int:
        from kubelab.apimachinery.terminal import escaped

        print("NAME")
        for name in loaded(session).names(section):
            print(escaped(name))
        return 0

    return run
