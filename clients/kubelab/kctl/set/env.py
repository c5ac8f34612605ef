"""``kctl set env``: environment variables of containers, given, read from standard input, or from a config map."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from google.protobuf.message import Message

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import SELECTOR
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.podspecs import containers_of, pod_spec_of
from kubelab.kctl.session import Failed, Session
from kubelab.kctl.set import envlist, updating
from kubelab.kctl.set.envlist import Listing
from kubelab.kctl.set.flags import POD_TEMPLATES, flags_of
from kubelab.kctl.set.updating import SetOptions, Update

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2

_ARGUMENT = re.compile(r".+=.*", re.DOTALL)
_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_NAME_MESSAGE = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not "
    "start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is "
    "'[-._a-zA-Z][-._a-zA-Z0-9]*')"
)
_NO_NAME = re.compile(r"[^a-zA-Z0-9_]")


@dataclass(frozen=True, slots=True)
class EnvOptions(SetOptions):
    containers: str
    env: tuple[str, ...]
    from_source: str
    keys: tuple[str, ...]
    list: bool
    overwrite: bool
    prefix: str
    resolve: bool
    selector: str


@dataclass(frozen=True, slots=True)
class EnvChanges:
    """Variables to set, in their order, and names to remove."""

    variables: tuple[core_pb2.EnvVar, ...]
    remove: tuple[str, ...]


def _env(session: Session, args: tuple[str, ...], options: EnvOptions) -> int:
    if options.all and options.selector:
        raise UsageProblem(updating.ALL_AND_SELECTOR)
    resources, pairs = _split(args)
    if not options.filename and not resources:
        raise UsageProblem("one or more resources must be specified as <resource> <name> or <resource>/<name>")
    if options.list and options.output:
        raise UsageProblem("--list and --output may not be specified together")
    if options.keys and not options.from_source:
        raise UsageProblem("when specifying --keys, a configmap or secret must be provided with --from")
    changes = _parse(session, (*options.env, *pairs))
    if options.from_source:
        changes = replace(changes, variables=(*changes.variables, *_imported(session, options)))
    for variable in changes.variables:
        variable.name = options.prefix + variable.name

    listings: list[Listing] = []
    update = Update(
        "env updated",
        "failed to patch env update to pod template: ",
        lambda obj: _change(obj, changes, options, listings),
        quiet=options.list,
    )
    code = updating.run(session, resources, options, update, selector=options.selector)
    if options.list and not envlist.show(session, listings, resolve=options.resolve):
        raise Failed("error: failed to retrieve valueFrom references")
    return code


def _split(args: Sequence[str]) -> tuple[list[str], list[str]]:
    resources: list[str] = []
    pairs: list[str] = []
    for arg in args:
        if _ARGUMENT.fullmatch(arg) or arg.endswith("-"):
            pairs.append(arg)
        elif pairs:
            raise UsageProblem(f"all resources must be specified before environment changes: {' '.join(args)}")
        else:
            resources.append(arg)
    return resources, pairs


def _parse(session: Session, pairs: Sequence[str]) -> EnvChanges:
    """Read ``KEY=VALUE``, ``KEY-`` and ``-``, which stands for the lines of standard input."""
    from kubelab.api.core.v1 import core_pb2

    variables: list[core_pb2.EnvVar] = []
    remove: list[str] = []
    given: set[str] = set()
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if pair == "-":
            lines = session.factory.stdin().decode(errors="replace").splitlines()
            read = (line.partition("#")[0].partition("=") for line in lines)
            variables += [core_pb2.EnvVar(name=name, value=text) for name, equals, text in read if equals]
        elif separator:
            if not _NAME.fullmatch(key):
                raise UsageProblem(f'"{key}" is not a valid key name: {_NAME_MESSAGE}')
            given.add(key)
            variables.append(core_pb2.EnvVar(name=key, value=value))
        elif pair.endswith("-"):
            remove.append(pair.removesuffix("-"))
        else:
            raise UsageProblem(f"unknown environment variable: {pair}")
    if given.intersection(remove):
        raise UsageProblem("can not both modify and remove the same environment variable in the same command")
    return EnvChanges(tuple(variables), tuple(remove))


def _imported(session: Session, options: EnvOptions) -> list[core_pb2.EnvVar]:
    """Give a reference to each chosen key of the config map or secret that ``--from`` names."""
    from kubelab.api.core.v1 import core_pb2
    from kubelab.apimachinery import scheme
    from kubelab.kctl import resource

    if options.local:
        raise UsageProblem(updating.LOCAL_RESOURCE)
    [*items] = resource.parse([options.from_source]).items
    if any(item.name is None for item in items):
        raise UsageProblem("resource(s) were provided, but no name was specified")
    variables: list[core_pb2.EnvVar] = []
    for item in items:
        if item.resource not in (scheme.CONFIG_MAPS, scheme.SECRETS):
            raise Failed("error: unsupported resource specified in --from")
        source = cast(Any, session.run(lambda c, i=item: c.get(i.resource, i.name or "", session.namespace)))
        for key in sorted(source.data):
            if options.keys and key not in options.keys:
                continue
            variable = core_pb2.EnvVar(name=_NO_NAME.sub("_", key).upper())
            is_secret = item.resource is scheme.SECRETS
            reference = variable.valueFrom.secretKeyRef if is_secret else variable.valueFrom.configMapKeyRef
            reference.localObjectReference.name, reference.key = source.metadata.name, key
            variables.append(variable)
    return variables


def _change(obj: Message, changes: EnvChanges, options: EnvOptions, listings: list[Listing]) -> Sequence[str]:
    kind, name = obj.DESCRIPTOR.name, cast(Any, obj).metadata.name
    containers = containers_of(pod_spec_of(obj), options.containers)
    if not containers:
        warning = f'Warning: {kind}/{name} does not have any containers matching "{options.containers}"'
        print(escaped(warning), file=sys.stderr)
    for container in containers:
        if not options.overwrite:
            _require_new(container, changes)
        updated = _updated(container.env, changes)
        del container.env[:]
        container.env.extend(updated)
        listings.append(Listing(obj, container.name, tuple(container.env)))
    return ()


def _require_new(container: core_pb2.Container, changes: EnvChanges) -> None:
    present = {variable.name: variable.value for variable in reversed(container.env)}
    for variable in changes.variables:
        if present.get(variable.name, variable.value) != variable.value:
            raise Failed(f"'{variable.name}' already has a value ({present[variable.name]}), and --overwrite is false")


def _updated(present: Sequence[core_pb2.EnvVar], changes: EnvChanges) -> list[core_pb2.EnvVar]:
    """Give a container's variables after the change: those that it had keep their places."""
    newer = {variable.name: variable for variable in reversed(changes.variables)}
    after: list[core_pb2.EnvVar] = []
    done = set(changes.remove)
    for variable in present:
        if variable.name in done:
            continue
        if variable.name in newer:
            done.add(variable.name)
        after.append(newer.get(variable.name, variable))
    after += [variable for name, variable in _first_of_each(changes.variables).items() if name not in done]
    return [_copy(variable) for variable in after]


def _first_of_each(variables: Sequence[core_pb2.EnvVar]) -> dict[str, core_pb2.EnvVar]:
    first: dict[str, core_pb2.EnvVar] = {}
    for variable in variables:
        first.setdefault(variable.name, variable)
    return first


def _copy(variable: core_pb2.EnvVar) -> core_pb2.EnvVar:
    copied = type(variable)()
    copied.CopyFrom(variable)
    return copied


ENV = Command(
    "env",
    run=_env,
    options=EnvOptions,
    flags=(
        *flags_of("env"),
        Flag(
            "--containers",
            "-c",
            default="*",
            help="The names of containers in the selected pod templates to change - may use wildcards",
        ),
        Flag(
            "--env",
            "-e",
            kind="list",
            help="Specify a key-value pair for an environment variable to set into each container.",
        ),
        Flag("--from", "from_source", help="The name of a resource from which to inject environment variables"),
        Flag("--keys", kind="csv", help="Comma-separated list of keys to import from specified resource"),
        Flag("--list", kind="bool", help="If true, display the environment and any changes in the standard format."),
        Flag(
            "--overwrite",
            kind="bool",
            default=True,
            help="If true, allow environment to be overwritten, otherwise reject updates that overwrite existing "
            "environment.",
        ),
        Flag("--prefix", help="Prefix to append to variable names"),
        Flag("--resolve", kind="bool", help="If true, show secret or configmap references when listing variables"),
        SELECTOR,
    ),
    about=f"""\
Update environment variables on a pod template.

 List environment variable definitions in one or more pods, pod templates. Add, update, or remove container \
environment variable definitions in one or more pod templates (within replication controllers or deployment \
configurations). View or modify the environment variable definitions on all containers in the specified pods or pod \
templates, or just those that match a wildcard.

 If "--env -" is passed, environment variables can be read from STDIN using the standard env syntax.

 Possible resources include (case insensitive):

        {POD_TEMPLATES}""",
    examples="""\
# Update deployment 'registry' with a new environment variable
kctl set env deployment/registry STORAGE_DIR=/local

# List the environment variables defined on all pods
kctl set env pods --all --list

# Update all containers in all replication controllers in the project to have ENV=prod
kctl set env rc --all ENV=prod

# Import environment from a secret
kctl set env --from=secret/mysecret deployment/myapp

# Import environment from a config map with a prefix
kctl set env --from=configmap/myconfigmap --prefix=MYSQL_ deployment/myapp

# Import specific keys from a config map
kctl set env --keys=my-example-key --from=configmap/myconfigmap deployment/myapp

# Remove the environment variable ENV from container 'c1' in all deployments
kctl set env deployments --all --containers="c1" ENV-

# Set some of the local shell environment into a deployment on the server
env | grep RAILS_ | kctl set env -e - deployment/registry
""",
    usage="kctl set env RESOURCE/NAME KEY_1=VAL_1 ... KEY_N=VAL_N",
)
