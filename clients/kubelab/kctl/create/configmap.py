"""``kctl create configmap``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.kctl.command import Command, only_name
from kubelab.kctl.commonflags import GENERATE_FLAGS, GenerateOptions
from kubelab.kctl.flags import Flag
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2

APPEND_HASH = Flag("--append-hash", kind="bool", help="Append a hash of the configmap to its name.")
FROM_LITERAL = Flag(
    "--from-literal", kind="list", help="Specify a key and literal value to insert in configmap (i.e. mykey=somevalue)"
)
FROM_FILE = Flag(
    "--from-file",
    kind="csv",
    help="Key file can be specified using its file path, in which case file basename will be used as configmap key, or "
    "optionally with a key and file path, in which case the given key will be used.  Specifying a directory will "
    "iterate each named file in the directory whose basename is a valid configmap key.",
)
FROM_ENV_FILE = Flag(
    "--from-env-file",
    kind="csv",
    help="Specify the path to a file to read lines of key=val pairs to create a configmap.",
)


@dataclass(frozen=True, slots=True)
class DataOptions(GenerateOptions):
    """The values of the flags that config maps and secrets have in common."""

    append_hash: bool
    from_literal: tuple[str, ...]
    from_file: tuple[str, ...]
    from_env_file: tuple[str, ...]


def check_sources(options: DataOptions) -> None:
    """Refuse env files beside other sources. Raises Failed."""
    if options.from_env_file and (options.from_file or options.from_literal):
        raise Failed("error: from-env-file cannot be combined with from-file or from-literal")


def _create_config_map(session: Session, args: tuple[str, ...], options: DataOptions) -> int:
    from kubelab.api.core.v1 import core_pb2
    from kubelab.kctl.create import datasources, namehash
    from kubelab.kctl.create.generated import create_one

    obj = core_pb2.ConfigMap()
    obj.metadata.name = only_name(session, args)
    check_sources(options)

    def add(key: str, value: bytes, *, text: bool) -> None:
        _check_key(obj, key)
        try:
            obj.data[key] = value.decode(errors="strict")
        except UnicodeDecodeError:
            if text:
                raise Failed(f'error: the value of "{key}" is no UTF-8 text') from None
            obj.binaryData[key] = value

    for key, value in datasources.literals(options.from_literal):
        add(key, value, text=True)
    for key, value in datasources.files(options.from_file):
        add(key, value, text=False)
    for key, value in datasources.env_files(options.from_env_file, of="config"):
        add(key, value, text=True)
    if options.append_hash:
        obj.metadata.name += f"-{namehash.of_config_map(obj)}"
    return create_one(
        session,
        obj,
        options,
        failing=lambda message: f"error: failed to create configmap: {message}",
    )


def _check_key(obj: core_pb2.ConfigMap, key: str) -> None:
    from kubelab.apimachinery import names

    if problems := names.config_key(key):
        raise Failed(f'error: "{key}" is not a valid key name for a ConfigMap: {",".join(problems)}')
    for field in ("data", "binaryData"):
        if key in getattr(obj, field):
            raise Failed(
                f'error: cannot add key "{key}", another key by that name already exists in '
                f'{field[0].upper()}{field[1:]} for ConfigMap "{obj.metadata.name}"'
            )


CONFIG_MAP = Command(
    "configmap",
    run=_create_config_map,
    options=DataOptions,
    flags=(FROM_FILE, FROM_LITERAL, FROM_ENV_FILE, APPEND_HASH, *GENERATE_FLAGS),
    about="""\
Create a config map based on a file, directory, or specified literal value.

 A single config map may package one or more key/value pairs.

 When creating a config map based on a file, the key will default to the basename of the file, and the value will \
default to the file content.  If the basename is an invalid key, you may specify an alternate key.

 When creating a config map based on a directory, each file whose basename is a valid key in the directory will be \
packaged into the config map.  Any directory entries except regular files are ignored (e.g. subdirectories, symlinks, \
devices, pipes, etc).""",
    examples="""\
# Create a new config map named my-config based on folder bar
kctl create configmap my-config --from-file=path/to/bar

# Create a new config map named my-config with specified keys instead of file basenames on disk
kctl create configmap my-config --from-file=key1=/path/to/bar/file1.txt --from-file=key2=/path/to/bar/file2.txt

# Create a new config map named my-config with key1=config1 and key2=config2
kctl create configmap my-config --from-literal=key1=config1 --from-literal=key2=config2

# Create a new config map named my-config from an env file
kctl create configmap my-config --from-env-file=path/to/foo.env --from-env-file=path/to/bar.env
""",
    usage="kctl create configmap NAME [--from-file=[key=]source] [--from-literal=key1=value1] [--dry-run=client|none]",
)
