"""Build hook: make the Python modules of the contract from ``protos/``.

The result goes to ``build/protos`` (an editable install finds it there, a wheel gets a copy) and is made anew only
when a ``.proto`` file or the generator changed.

The field options of ``kubelab/api/options.proto`` become the modules of ``kubelab.api.tables``, and the messages are
generated without them: a process then loads neither the options nor protobuf's descriptor of descriptors, which would
weigh 0.8 MB in each.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
SOURCE = ROOT / "protos"
TARGET = ROOT / "build" / "protos"
STAMP = TARGET / ".stamp"
OPTIONS = "kubelab/api/options.proto"
TABLES = TARGET / "kubelab" / "api" / "tables"
BUNDLED = ("experiments", "examples/tutorial/00000")  # in the wheel, where kubelab.chaos.bundled finds them


def fingerprint() -> str:
    """Say in one line what the generated code depends on: every source's bytes, this file and protoc's version."""
    digest = hashlib.sha256(version("grpcio-tools").encode())
    digest.update(Path(__file__).read_bytes())
    for path in sorted(SOURCE.rglob("*.proto")):
        digest.update(str(path.relative_to(SOURCE)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def generate() -> None:
    """Run protoc over every file of the contract; raise SystemExit when it refuses one."""
    if STAMP.exists() and STAMP.read_text() == fingerprint():
        return
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    described = TARGET / "described.binpb"
    _protoc(
        f"-I{SOURCE}",
        f"-I{files('grpc_tools') / '_proto'}",
        "--include_imports",
        "--include_source_info",
        f"--descriptor_set_out={described}",
        *map(str, sorted(SOURCE.rglob("*.proto"))),
    )
    plain, tables = _split(described.read_bytes())
    described.write_bytes(plain)
    _protoc(f"--descriptor_set_in={described}", *_outputs(), *_names())
    described.unlink()
    _write_tables(tables)
    STAMP.write_text(fingerprint())


def _protoc(*arguments: str) -> None:
    from grpc_tools import protoc  # pyright: ignore[reportMissingImports]

    if protoc.main(["protoc", *arguments]) != 0:
        raise SystemExit("protoc refused the contract; see its message above")


def _names() -> list[str]:
    """Give the files that become Python, as protoc names them."""
    return [name for p in sorted(SOURCE.rglob("*.proto")) if (name := str(p.relative_to(SOURCE))) != OPTIONS]


def _outputs() -> list[str]:
    scripts = Path(sys.executable).parent
    arguments = [f"--python_out={TARGET}", f"--grpc_python_out={TARGET}"]
    # Stubs make the editor and pyright understand the messages; nothing at run time needs them.
    for plugin, output in (("protoc-gen-mypy", "mypy"), ("protoc-gen-mypy_grpc", "mypy_grpc")):
        if program := shutil.which(plugin, path=str(scripts)) or shutil.which(plugin):
            arguments += [f"--plugin={plugin}={program}", f"--{output}_out=quiet:{TARGET}"]
    return arguments


Tables = dict[str, dict[str, Any]]


def _split(described: bytes) -> tuple[bytes, Tables]:
    """Part the contract from its options.

    Gives the contract's FileDescriptorSet without options, and the options: name of the option → full name of the
    field or message → value. The comments of the objects are one of these tables, ``description``.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(described).file:
        pool.Add(file)
    known = pool.FindMessageTypeByName("google.protobuf.FileDescriptorSet")
    extensions = pool.FindFileByName(OPTIONS).extensions_by_name
    contract: Any = message_factory.GetMessageClass(known).FromString(described)
    tables: Tables = {name: {} for name in extensions}
    tables["description"] = {}

    def take(node: Any, full_name: str) -> None:
        for option, value in node.options.ListFields():
            if option.is_extension and option.file.name == OPTIONS:
                tables[option.name][full_name] = list(value) if option.is_repeated else value
                node.options.ClearExtension(option)
        if not node.options.ListFields():
            node.ClearField("options")

    def visit(message: Any, full_name: str) -> None:
        take(message, full_name)
        for field in message.field:
            take(field, f"{full_name}.{field.name}")
        for nested in message.nested_type:
            visit(nested, f"{full_name}.{nested.name}")

    for file in contract.file:
        if OPTIONS in file.dependency:
            file.dependency.remove(OPTIONS)
        for message in file.message_type:
            visit(message, f"{file.package}.{message.name}")
        if file.package.startswith("kubelab.api"):
            tables["description"].update(_comments(file))
    kept = [file for file in contract.file if file.name != OPTIONS]
    return type(contract)(file=kept).SerializeToString(), tables


def _comments(file: Any) -> dict[str, str]:
    """Give the comments of a file's messages and fields, those above and those behind them, by full name.

    A place is the path of field numbers through FileDescriptorProto: 4 are the messages, 2 in these the fields.
    """
    comments: dict[str, str] = {}
    for location in file.source_code_info.location:
        words = " ".join(f"{location.leading_comments} {location.trailing_comments}".split())
        path = list(location.path)
        if not words or path[0] != 4 or len(path) not in (2, 4) or path[2:3] not in ([], [2]):
            continue
        message = file.message_type[path[1]]
        field = f".{message.field[path[3]].name}" if len(path) == 4 else ""
        comments[f"{file.package}.{message.name}{field}"] = words[0].upper() + words[1:] + "." * (words[-1] not in ".:")
    return comments


def _write_tables(tables: Tables) -> None:
    """Write a module for each use of the options, so that a process loads those alone that it reads."""
    uses = {
        "spelling": ("How JSON spells the fields of messages.", ("inline", "always")),
        "merging": (
            "How fields are merged by patches and by apply.",
            ("patch", "merge_key", "list_type", "list_keys", "atomic", "atomic_message"),
        ),
        "marks": ("Which fields kubelab does not act on.", ("stored", "refused")),
        "immutability": ("Which fields never change once they are stored.", ("immutable",)),
        "schema": ("What OpenAPI says of fields beside their types.", ("required",)),
        "descriptions": ("What messages and fields are, in the words of their comments.", ("description",)),
    }
    TABLES.mkdir(parents=True)
    (TABLES / "__init__.py").write_text('"""What the contract\'s options say, made by hatch_build.py."""\n')
    for module, (purpose, options) in uses.items():
        lines = [f'"""{purpose} Made by hatch_build.py from protos/{OPTIONS}: change the options there."""', ""]
        for option in options:
            table = tables.pop(option)
            if all(value is True for value in table.values()):
                lines += [
                    f"{option.upper()}: frozenset[str] = frozenset((",
                    *(f"    {n!r}," for n in sorted(table)),
                    "))",
                ]
                continue
            values = {n: tuple(v) if isinstance(v, list) else v for n, v in sorted(table.items())}
            kind = "tuple[str, ...]" if any(isinstance(v, tuple) for v in values.values()) else "str"
            lines += [
                f"{option.upper()}: dict[str, {kind}] = {{",
                *(f"    {n!r}: {v!r}," for n, v in values.items()),
                "}",
            ]
        (TABLES / f"{module}.py").write_text("\n".join(lines) + "\n")
    if tables:
        raise SystemExit(f"hatch_build.py puts these options into no table: {', '.join(tables)}")


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface  # pyright: ignore[reportMissingImports]
except ImportError:  # run by hand, `python hatch_build.py`, in an environment without hatchling
    BuildHookInterface = None

if BuildHookInterface is not None:

    class ProtoBuildHook(BuildHookInterface):  # pyright: ignore[reportMissingTypeArgument, reportUntypedBaseClass]
        """Called by hatchling before it collects files."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            generate()
            if version != "editable":
                build_data["force_include"][str(TARGET / "kubelab")] = "kubelab"
                for folder in BUNDLED:
                    build_data["force_include"][str(ROOT / folder)] = f"kubelab/chaos/{folder}"


if __name__ == "__main__":
    generate()
