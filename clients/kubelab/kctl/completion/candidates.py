"""Finds what may follow on a command line: commands, flags, types, names of objects, contexts and plugins.

Names come from the cluster, within :data:`SECONDS`. A cluster that does not answer has no names: a shell that
completes a word shows no errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.apimachinery import scheme
from kubelab.kctl.command import Command
from kubelab.kctl.flags import Flag, UsageProblem, normalise
from kubelab.kctl.flags import words as arguments_of
from kubelab.kctl.root import ROOT
from kubelab.kctl.session import ConfigFlags, Factory, Session

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.apimachinery.scheme import Resource
    from kubelab.client.client import Client

SECONDS = 2.0
NAMES = 500  # at most so many are offered
NO_FILES, FILES = 4, 0
FORMATS = ("go-template", "go-template-file", "json", "jsonpath", "jsonpath-as-json", "jsonpath-file", "name", "yaml")
OF_PODS = ("attach", "debug", "exec", "logs", "port-forward")
OF_NODES = ("cordon", "drain", "uncordon")
OF_TYPES = ("annotate", "autoscale", "delete", "describe", "edit", "expose", "get", "label", "patch", "scale", "wait")
OF_ENTRIES = {
    "kctl config delete-cluster": "clusters",
    "kctl config delete-context": "contexts",
    "kctl config delete-user": "users",
    "kctl config get-contexts": "contexts",
    "kctl config rename-context": "contexts",
    "kctl config set-cluster": "clusters",
    "kctl config set-context": "contexts",
    "kctl config set-credentials": "users",
    "kctl config use-context": "contexts",
}
WORKLOADS = ("deployments", "daemonsets", "statefulsets")


@dataclass(frozen=True, slots=True)
class Candidates:
    """Words with what they mean, and whether file names are candidates too."""

    words: Sequence[tuple[str, str]] = ()
    directive: int = NO_FILES

    def lines(self) -> str:
        """Give them as shells read them."""
        shown = (f"{word}\t{meaning}" if meaning else word for word, meaning in self.words)
        return "".join(f"{line}\n" for line in (*shown, f":{self.directive}"))


def complete(argv: Sequence[str], factory: Factory) -> Candidates:
    """Give the candidates for the last of these words."""
    *before, word = argv or [""]
    command, path, rest = _walk(before)
    session = _session(command, path, rest, factory)
    if "--" not in rest:
        name, equals, value = word.partition("=")
        if equals and word.startswith("--") and (flag := _flag(command, name)):
            return _starting(value, _values(flag, path, session))
        if rest and (flag := _open_flag(command, rest[-1])):
            return _starting(word, _values(flag, path, session))
        if word.startswith("-"):
            shown = [(f"--{flag.long}", flag.help or "") for flag in command.flags if not flag.hidden]
            return _starting(word, Candidates(sorted(shown)))
    given = [argument for _, argument in arguments_of(command.flags, rest)]
    if command.children and command.run is None and not given:
        entries = [(entry.name, entry.short) for entry in command.children if not entry.hidden]
        plugins = _plugins(factory) if path == "kctl" else []
        return _starting(word, Candidates([*entries, *plugins]))
    return _starting(word, _arguments(path, given, word, session))


def _walk(before: Sequence[str]) -> tuple[Command, str, list[str]]:
    """Go down the tree as far as the words name commands; gives the words that are left."""
    command, path, rest = ROOT, "kctl", list(before)
    while command.children:
        places = arguments_of(command.flags, rest)
        entry = command.child(places[0][1]) if places else None
        if entry is None:
            break
        del rest[places[0][0]]
        command, path = entry.load(), f"{path} {entry.name}"
    return command, path, rest


def _session(command: Command, path: str, rest: Sequence[str], factory: Factory) -> Session:
    """Make the session that the flags so far choose: another namespace, context or file."""
    try:
        line = normalise(command.flags, [*rest, ""] if rest and _open_flag(command, rest[-1]) else rest, path)
    except UsageProblem:
        line = normalise(command.flags, [], path)
    given = dict(flag.removeprefix("--").split("=", 1) for flag in line.flags)
    config = ConfigFlags(
        kubeconfig=given.get("kubeconfig", ""), context=given.get("context", ""), namespace=given.get("namespace", "")
    )
    return Session(factory, config, line, path)


def _flag(command: Command, name: str) -> Flag | None:
    return next((flag for flag in command.flags if name in (f"--{flag.long}", f"-{flag.short}")), None)


def _open_flag(command: Command, word: str) -> Flag | None:
    """Give the flag whose value comes next."""
    flag = _flag(command, word) if word.startswith("-") and "=" not in word else None
    return flag if flag is not None and flag.bare is None else None


def _values(flag: Flag, path: str, session: Session) -> Candidates:
    if flag.long == "namespace":
        return Candidates([(name, "") for name in _names(session, scheme.NAMESPACES)])
    if flag.long in ("context", "cluster", "user"):
        return _entries(f"{flag.long}s", session)
    if flag.long == "output":
        columns = ("custom-columns", "custom-columns-file", "wide") if path == "kctl get" else ()
        return Candidates([(name, "") for name in sorted((*FORMATS, *columns))])
    if flag.long == "dry-run":
        return Candidates([(value, "") for value in ("none", "server", "client")])
    if flag.long in ("filename", "kubeconfig", "certificate-authority", "client-certificate", "client-key"):
        return Candidates(directive=FILES)
    return Candidates()


def _arguments(path: str, given: Sequence[str], word: str, session: Session) -> Candidates:
    """Give what an argument of a command may be, behind those that are given."""
    command = path.split(" ")[1] if " " in path else ""
    if path in OF_ENTRIES:
        return _entries(OF_ENTRIES[path], session) if not given else Candidates()
    if path == "kctl completion":
        return Candidates([(shell, "") for shell in ("bash", "fish", "zsh")] if not given else [])
    if command in OF_PODS and not given:
        return Candidates([(name, "") for name in _names(session, scheme.PODS)])
    if command in OF_NODES:
        return Candidates([(name, "") for name in _names(session, scheme.NODES) if name not in given])
    if command in ("explain", "rollout", *OF_TYPES):
        return _types(given, word, session, WORKLOADS if command == "rollout" else (), named=command != "explain")
    return Candidates()


def _types(given: Sequence[str], word: str, session: Session, only: Sequence[str], *, named: bool) -> Candidates:
    """Give types, or names of objects behind a type: ``pod web`` and ``pod/web``."""
    kind, slash, _ = word.partition("/")
    if named and slash and (resource := scheme.find(kind)):
        return Candidates([(f"{kind}/{name}", "") for name in _names(session, resource)])
    if given:
        resource = scheme.find(given[0]) if named and "/" not in given[0] else None
        names = _names(session, resource) if resource else []
        return Candidates([(name, "") for name in names if name not in given])
    listed = [r for r in scheme.ALL if "list" in r.verbs and (not only or r.plural in only)]
    return Candidates([(r.qualified, "") for r in listed])


def _entries(section: str, session: Session) -> Candidates:
    from kubelab.client.kubeconfig import KubeconfigError

    try:
        return Candidates([(name, "") for name in session.rules.load_or_new().names(section)])
    except KubeconfigError:
        return Candidates()


def _names(session: Session, resource: Resource[Message]) -> list[str]:
    """List the names of a type's objects; none when the cluster does not answer in time."""
    from kubelab.apimachinery.errors import ApiError
    from kubelab.client.kubeconfig import KubeconfigError
    from kubelab.kctl.session import Failed

    async def listed(client: Client) -> list[str]:
        from kubelab.api.meta.v1 import meta_pb2

        async with session.clock.timeout(SECONDS):
            table = await client.list_table(resource, session.namespace, limit=NAMES)
        return [meta_pb2.PartialObjectMetadata.FromString(row.object.value).metadata.name for row in table.rows]

    try:
        return session.run(listed)
    except (ApiError, Failed, KubeconfigError, TimeoutError, UsageProblem):
        return []


def _plugins(factory: Factory) -> list[tuple[str, str]]:
    from kubelab.kctl import plugins

    found = plugins.on_path(factory.environ.get("PATH", ""))
    names = dict.fromkeys(plugin.name.split("-", 1)[1].split("-")[0].replace("_", "-") for plugin in found)
    return [(name, "The command is a plugin installed by the user") for name in names if ROOT.child(name) is None]


def _starting(word: str, candidates: Candidates) -> Candidates:
    return Candidates([c for c in candidates.words if c[0].startswith(word)], candidates.directive)
