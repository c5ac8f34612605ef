"""``kctl create secret``: a command for each use of a secret."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kubelab.kctl.command import Command, CommandEntry, only_name
from kubelab.kctl.commonflags import GENERATE_FLAGS, GenerateOptions
from kubelab.kctl.create.configmap import DataOptions, check_sources
from kubelab.kctl.flags import Flag
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2

DOCKER_CONFIG_JSON, TLS = "kubernetes.io/dockerconfigjson", "kubernetes.io/tls"
DOCKER_CONFIG_KEY = ".dockerconfigjson"

SECRET = Command(
    "secret",
    children=(
        CommandEntry(
            "docker-registry", "Create a secret for use with a Docker registry", "create.secret:DOCKER_REGISTRY"
        ),
        CommandEntry(
            "generic", "Create a secret from a local file, directory, or literal value", "create.secret:GENERIC"
        ),
        CommandEntry("tls", "Create a TLS secret", "create.secret:TLS_SECRET"),
    ),
    about="""\
Create a secret with specified type.

 A docker-registry type secret is for accessing a container registry.

 A generic type secret indicate an Opaque secret type.

 A tls type secret holds TLS certificate and its associated key.""",
    usage="kctl create secret (docker-registry | generic | tls)",
)

APPEND_HASH = Flag("--append-hash", kind="bool", help="Append a hash of the secret to its name.")
FROM_FILE = Flag(
    "--from-file",
    kind="csv",
    help="Key files can be specified using their file path, in which case a default name will be given to them, or "
    "optionally with a name and file path, in which case the given name will be used.  Specifying a directory will "
    "iterate each named file in the directory that is a valid secret key.",
)


@dataclass(frozen=True, slots=True)
class GenericOptions(DataOptions):
    type: str


@dataclass(frozen=True, slots=True)
class DockerRegistryOptions(GenerateOptions):
    append_hash: bool
    docker_server: str
    docker_username: str
    docker_password: str
    docker_email: str
    from_file: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TLSOptions(GenerateOptions):
    append_hash: bool
    cert: str
    key: str


def _secret(session: Session, args: tuple[str, ...], kind: str) -> core_pb2.Secret:
    from kubelab.api.core.v1 import core_pb2

    obj = core_pb2.Secret(type=kind)
    obj.metadata.name = only_name(session, args)
    return obj


def _add(obj: core_pb2.Secret, pairs: Iterable[tuple[str, bytes]]) -> None:
    from kubelab.apimachinery import names

    for key, value in pairs:
        if problems := names.config_key(key):
            raise Failed(f'error: "{key}" is not valid key name for a Secret {";".join(problems)}')
        if key in obj.data:
            raise Failed(f"error: cannot add key {key}, another key by that name already exists")
        obj.data[key] = value


def _create(
    session: Session,
    obj: core_pb2.Secret,
    options: GenericOptions | DockerRegistryOptions | TLSOptions,
    what: str = "secret",
) -> int:
    from kubelab.kctl.create import namehash
    from kubelab.kctl.create.generated import create_one

    if options.append_hash:
        obj.metadata.name += f"-{namehash.of_secret(obj)}"
    return create_one(
        session,
        obj,
        options,
        failing=lambda message: f"error: failed to create {what} {message}",
    )


def _create_generic(session: Session, args: tuple[str, ...], options: GenericOptions) -> int:
    from kubelab.kctl.create import datasources

    obj = _secret(session, args, options.type)
    check_sources(options)
    _add(obj, datasources.literals(options.from_literal))
    _add(obj, datasources.files(options.from_file))
    _add(obj, datasources.env_files(options.from_env_file, of="secret"))
    return _create(session, obj, options)


def _create_docker_registry(session: Session, args: tuple[str, ...], options: DockerRegistryOptions) -> int:
    from kubelab.kctl.create import datasources

    obj = _secret(session, args, DOCKER_CONFIG_JSON)
    user, password, server = options.docker_username, options.docker_password, options.docker_server
    if options.from_file:
        named = [one if "=" in one or Path(one).is_dir() else f"{DOCKER_CONFIG_KEY}={one}" for one in options.from_file]
        _add(obj, datasources.files(named))
    elif user and password and server:
        entry = {"username": user, "password": password, "email": options.docker_email}
        entry["auth"] = base64.b64encode(f"{user}:{password}".encode()).decode()
        config = {"auths": {server: {key: value for key, value in entry.items() if value}}}
        obj.data[DOCKER_CONFIG_KEY] = json.dumps(config, ensure_ascii=False, separators=(",", ":")).encode()
    else:
        raise Failed(
            "error: either --from-file or the combination of --docker-username, --docker-password and --docker-server "
            "is required"
        )
    return _create(session, obj, options, "secret docker-registry")


def _create_tls(session: Session, args: tuple[str, ...], options: TLSOptions) -> int:
    from kubelab.kctl.create import keypair

    obj = _secret(session, args, TLS)
    if not options.cert or not options.key:
        raise Failed("error: key and cert must be specified")
    certificate, key = _read(options.cert), _read(options.key)
    if problem := keypair.problem(certificate, key):
        raise Failed(f"error: {problem}")
    obj.data["tls.crt"], obj.data["tls.key"] = certificate, key
    return _create(session, obj, options, "secret tls")


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as err:
        why = err.strerror.lower() if isinstance(err, OSError) and err.strerror else str(err)
        raise Failed(f"error: Cannot read file {path}, open {path}: {why}") from err


GENERIC = Command(
    "generic",
    run=_create_generic,
    options=GenericOptions,
    flags=(
        FROM_FILE,
        Flag(
            "--from-literal",
            kind="list",
            help="Specify a key and literal value to insert in secret (i.e. mykey=somevalue)",
        ),
        Flag(
            "--from-env-file",
            kind="csv",
            help="Specify the path to a file to read lines of key=val pairs to create a secret.",
        ),
        Flag("--type", help="The type of secret to create"),
        APPEND_HASH,
        *GENERATE_FLAGS,
    ),
    about="""\
Create a secret based on a file, directory, or specified literal value.

 A single secret may package one or more key/value pairs.

 When creating a secret based on a file, the key will default to the basename of the file, and the value will default \
to the file content. If the basename is an invalid key or you wish to chose your own, you may specify an alternate key.

 When creating a secret based on a directory, each file whose basename is a valid key in the directory will be \
packaged into the secret. Any directory entries except regular files are ignored (e.g. subdirectories, symlinks, \
devices, pipes, etc).""",
    examples="""\
# Create a new secret named my-secret with keys for each file in folder bar
kctl create secret generic my-secret --from-file=path/to/bar

# Create a new secret named my-secret with specified keys instead of names on disk
kctl create secret generic my-secret --from-file=ssh-privatekey=path/to/id_rsa \
--from-file=ssh-publickey=path/to/id_rsa.pub

# Create a new secret named my-secret with key1=supersecret and key2=topsecret
kctl create secret generic my-secret --from-literal=key1=supersecret --from-literal=key2=topsecret

# Create a new secret named my-secret from env files
kctl create secret generic my-secret --from-env-file=path/to/foo.env --from-env-file=path/to/bar.env
""",
    usage="kctl create secret generic NAME [--type=string] [--from-file=[key=]source] [--from-literal=key1=value1] "
    "[--dry-run=client|none]",
)
DOCKER_REGISTRY = Command(
    "docker-registry",
    run=_create_docker_registry,
    options=DockerRegistryOptions,
    flags=(
        Flag("--docker-server", default="https://index.docker.io/v1/", help="Server location for Docker registry"),
        Flag("--docker-username", help="Username for Docker registry authentication"),
        Flag("--docker-password", help="Password for Docker registry authentication"),
        Flag("--docker-email", help="Email for Docker registry"),
        FROM_FILE,
        APPEND_HASH,
        *GENERATE_FLAGS,
    ),
    about="""\
Create a new secret for use with Docker registries.

 Dockercfg secrets are used to authenticate against Docker registries.

 In order for the nodes to pull images on your behalf, they must have the credentials. You can provide this \
information by creating a dockercfg secret and attaching it to your service account.""",
    examples="""\
# If you do not already have a .dockercfg file, create a dockercfg secret directly
kctl create secret docker-registry my-secret --docker-server=DOCKER_REGISTRY_SERVER --docker-username=DOCKER_USER \
--docker-password=DOCKER_PASSWORD --docker-email=DOCKER_EMAIL

# Create a new secret named my-secret from ~/.docker/config.json
kctl create secret docker-registry my-secret --from-file=path/to/.docker/config.json
""",
    usage="kctl create secret docker-registry NAME --docker-username=user --docker-password=password "
    "--docker-email=email [--docker-server=string] [--from-file=[key=]source] [--dry-run=client|none]",
)
TLS_SECRET = Command(
    "tls",
    run=_create_tls,
    options=TLSOptions,
    flags=(
        Flag("--cert", help="Path to PEM encoded public key certificate."),
        Flag("--key", help="Path to private key associated with given certificate."),
        APPEND_HASH,
        *GENERATE_FLAGS,
    ),
    about="""\
Create a TLS secret from the given public/private key pair.

 The public/private key pair must exist beforehand. The public key certificate must be .PEM encoded and match the \
given private key.""",
    examples="""\
# Create a new TLS secret named tls-secret with the given key pair
kctl create secret tls tls-secret --cert=path/to/tls.crt --key=path/to/tls.key
""",
    usage="kctl create secret tls NAME --cert=path/to/cert/file --key=path/to/key/file [--dry-run=client|none]",
)
