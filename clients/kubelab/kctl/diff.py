"""``kctl diff``: what an apply would change. Two folders of YAML, and a program that compares them.

Exit codes: 0 without a difference, 1 with one, more when kctl or the program failed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubelab.kctl.command import Command, unexpected
from kubelab.kctl.commonflags import KUSTOMIZE, RECURSIVE, SELECTOR, SHOW_MANAGED_FIELDS, ResourceOptions, require_files
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.apimachinery.manifest.decode import Document
    from kubelab.apimachinery.scheme import Resource
    from kubelab.client.client import Client

PROGRAM = "KUBECTL_EXTERNAL_DIFF"
RETRIES = 4  # when the object changes meanwhile; the last one does not look at that
FAILED = 2
_ARGUMENT = re.compile(r"[a-zA-Z0-9-=]+")
MASK, BEFORE, AFTER = "***", "*** (before)", "*** (after)"


@dataclass(frozen=True, slots=True)
class DiffOptions(ResourceOptions):
    concurrency: int
    field_manager: str
    force_conflicts: bool
    kustomize: str
    prune: bool
    prune_allowlist: tuple[str, ...]
    server_side: bool
    show_managed_fields: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """An object as it is and as an apply would leave it; None where it is not there."""

    name: str  # of the files
    live: dict[str, Any] | None
    merged: dict[str, Any] | None
    uid: str = ""


def _diff(session: Session, args: tuple[str, ...], options: DiffOptions) -> int:
    """Run the command; whatever goes wrong is an exit code above 1."""
    from kubelab.apimachinery.errors import ApiError
    from kubelab.apimachinery.terminal import escaped
    from kubelab.kctl import failures

    try:
        return _run(session, args, options)
    except UsageProblem as problem:
        message = problem.lines()
    except (Failed, ApiError) as err:
        message = failures.of_command(err, session.servers)
    sys.stdout.flush()
    print(escaped(message), file=sys.stderr)
    return FAILED


def _run(session: Session, args: tuple[str, ...], options: DiffOptions) -> int:
    from kubelab.kctl import builder, failures, files
    from kubelab.kctl.visitor import Errors, continue_on_error

    if options.force_conflicts and not options.server_side:
        raise UsageProblem("--force-conflicts only works with --server-side")
    require_files(options.filename, options.kustomize)
    unexpected(session, args)
    chosen = builder.requirements_of(options.selector)
    documents = [d for d in files.read(session, options) if chosen.matches(_labels_of(d))]
    from kubelab.kctl.apply import prune

    pruned = prune.resources_of(options.prune_allowlist) if options.prune else []
    pairs: list[Pair] = []

    async def compare_all(client: Client) -> Errors:
        async def compare(document: Document) -> None:
            pairs.append(await _pair(client, session, document, options))

        errors = await continue_on_error(documents, compare)
        if pruned and not errors:
            namespaces = {session.namespace, *(d.namespace for d in documents)}
            known = {pair.uid for pair in pairs}
            async for resource, obj in prune.left_over(client, pruned, namespaces, known, options.selector):
                pairs.append(_pair_of(resource, obj, None, options))
        return errors

    if errors := session.run(compare_all):
        failures.report(errors, session)
        return FAILED
    return _compare(pairs, session.factory.environ)


def _labels_of(document: Document) -> Mapping[str, str]:
    from kubelab.apimachinery.meta import meta_of

    return meta_of(document.obj).labels


async def _pair(client: Client, session: Session, document: Document, options: DiffOptions) -> Pair:
    """Read an object, and ask the server what it would be after an apply."""
    from kubelab.apimachinery.meta import meta_of

    resource = document.resource
    namespace = document.namespace or session.namespace if resource.namespaced else ""
    meta_of(document.obj).namespace = namespace
    live, merged = await _states(client, document, namespace, options)
    return _pair_of(resource, live, merged, options)


def _pair_of(resource: Resource[Message], live: Message | None, merged: Message | None, options: DiffOptions) -> Pair:
    from kubelab.apimachinery.manifest import encode
    from kubelab.apimachinery.meta import meta_of

    one = live if live is not None else merged
    assert one is not None
    meta = meta_of(one)
    group = f"{resource.group}." if resource.group else ""
    before = None if live is None else encode.to_dict(live)
    after = None if merged is None else encode.to_dict(merged)
    if not options.show_managed_fields:
        for state in (before, after):
            if state is not None:
                state["metadata"].pop("managedFields", None)
    if resource.kind == "Secret" and not resource.group:
        mask(before, after)
    return Pair(f"{group}{resource.version}.{resource.kind}.{meta.namespace}.{meta.name}", before, after, meta.uid)


async def _states(
    client: Client, document: Document, namespace: str, options: DiffOptions
) -> tuple[Message | None, Message]:
    """Give an object as it is, and as an apply would leave it: of one moment, if the object holds still."""
    from kubelab.apimachinery.errors import Conflict, NotFound

    attempt = 1
    while True:
        try:
            live = await client.get(document.resource, document.name, namespace)
        except NotFound:
            live = None
        try:
            return live, await _merged(client, document, namespace, live, options, locked=attempt < RETRIES)
        except Conflict as err:
            if options.server_side or attempt == RETRIES:
                raise Failed(f"error: {err.message}") from err
        attempt += 1


async def _merged(
    client: Client, document: Document, namespace: str, live: Message | None, options: DiffOptions, *, locked: bool
) -> Message:
    """Ask for the state after an apply, by a dry run. With ``locked``, Conflict when it is not ``live`` any more."""
    from kubelab.apimachinery.manifest import encode
    from kubelab.apimachinery.meta import meta_of
    from kubelab.apimachinery.patch.errors import PatchError
    from kubelab.apimachinery.patch.types import PatchType
    from kubelab.kctl import changes
    from kubelab.kctl.apply import lastapplied

    configuration = lastapplied.configuration_of(document, namespace)
    sent: dict[str, Any] = {"dry_run": True, "field_manager": options.field_manager}
    if options.server_side:
        data = json.dumps(configuration, ensure_ascii=False).encode()
        force = options.force_conflicts
        return await client.patch(
            document.resource, document.name, data, PatchType.APPLY, namespace, force=force, **sent
        )
    if live is None:
        meta_of(document.obj).ClearField("resourceVersion")
        return await client.create(document.obj, namespace, **sent)
    try:
        patch = changes.three_way(lastapplied.of(live), _bare(configuration), encode.to_dict(live), live)
    except (PatchError, ValueError) as err:
        raise Failed(f"error: {err}") from err
    if not patch:
        return live
    if locked:
        patch.setdefault("metadata", {})["resourceVersion"] = meta_of(live).resourceVersion
    data = json.dumps(patch, ensure_ascii=False).encode()
    return await client.patch(document.resource, document.name, data, changes.type_for(live), namespace, **sent)


def _bare(configuration: dict[str, Any]) -> dict[str, Any]:
    """Give a configuration without the annotation of an apply: a diff does not show how that would change."""
    from kubelab.kctl.apply import lastapplied

    return lastapplied.without(configuration)


def mask(before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
    """Hide a secret's values, and show which of them differ."""
    old: dict[str, Any] = (before or {}).get("data") or {}
    new: dict[str, Any] = (after or {}).get("data") or {}
    for key in {*old, *new}:
        changed = key in old and key in new and old[key] != new[key]
        if key in old:
            old[key] = BEFORE if changed else MASK
        if key in new:
            new[key] = AFTER if changed else MASK


def command(environ: Mapping[str, str], folders: Sequence[str]) -> list[str]:
    """Give the program that compares two folders; of the user's, only plain arguments are taken, as in kubectl."""
    program, *arguments = (environ.get(PROGRAM) or "diff -u -N").split(" ")
    return [program, *(a for a in arguments if _ARGUMENT.fullmatch(a)), *folders]


def _compare(pairs: Sequence[Pair], environ: Mapping[str, str]) -> int:
    from kubelab.apimachinery.manifest import encode

    with tempfile.TemporaryDirectory(prefix="LIVE-") as live, tempfile.TemporaryDirectory(prefix="MERGED-") as merged:
        for pair in pairs:
            for folder, state in ((live, pair.live), (merged, pair.merged)):
                if state is not None:
                    (Path(folder) / pair.name).write_text(encode.to_yaml(state), encoding="utf-8")
        words = command(environ, (live, merged))
        sys.stdout.flush()
        try:
            done = subprocess.run(words, capture_output=True, check=False, env={**os.environ, **environ})
        except OSError as err:
            raise Failed(f'error: failed to run "{words[0]}": {(err.strerror or str(err)).lower()}') from err
    sys.stdout.write(done.stdout.decode(errors="replace"))
    sys.stdout.flush()
    sys.stderr.write(done.stderr.decode(errors="replace"))
    if done.returncode > 1 or done.returncode < 0:
        raise Failed(f'error: failed to run "{words[0]}": exit status {done.returncode}')
    return done.returncode


DIFF = Command(
    "diff",
    run=_diff,
    options=DiffOptions,
    flags=(
        Flag(
            "--concurrency",
            kind="int",
            default=1,
            help="Number of objects to process in parallel when diffing against the live version. kctl takes one after "
            "the other.",
        ),
        Flag(
            "--field-manager",
            default="kubectl-client-side-apply",
            help="Name of the manager used to track field ownership.",
        ),
        Flag(
            "--filename",
            "-f",
            kind="csv",
            help="Filename, directory, or URL to files contains the configuration to diff",
        ),
        Flag(
            "--force-conflicts",
            kind="bool",
            help="If true, server-side apply will force the changes against conflicts.",
        ),
        KUSTOMIZE,
        Flag(
            "--prune",
            kind="bool",
            help="Include resources that would be deleted by pruning. Can be used with -l and default shows all "
            "resources would be pruned",
        ),
        Flag(
            "--prune-allowlist",
            kind="list",
            help="Overwrite the default allowlist with <group/version/kind> for --prune",
        ),
        RECURSIVE,
        SELECTOR,
        Flag("--server-side", kind="bool", help="If true, apply runs in the server instead of the client."),
        SHOW_MANAGED_FIELDS,
    ),
    about="""\
Diff configurations specified by file name or stdin between the current online configuration, and the configuration as \
it would be if applied.

 The output is always YAML.

 KUBECTL_EXTERNAL_DIFF environment variable can be used to select your own diff command. Users can use external \
commands with params too, example: KUBECTL_EXTERNAL_DIFF="colordiff -N -u"

 By default, the "diff" command available in your path will be run with the "-u" (unified diff) and "-N" (treat absent \
files as empty) options.

 Exit status: 0 No differences were found. 1 Differences were found. >1 kctl or diff failed with an error.

 Note: KUBECTL_EXTERNAL_DIFF, if used, is expected to follow that convention.""",
    examples="""\
# Diff resources included in pod.yml
kctl diff -f pod.yml

# Diff file read from stdin
cat service.yml | kctl diff -f -
""",
    usage="kctl diff -f FILENAME",
)
