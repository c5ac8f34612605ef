"""Build hook: make the Python modules of the contract from ``protos/``.

The result goes to ``build/protos`` (an editable install finds it there, a wheel gets a copy) and is made anew only
when a ``.proto`` file or the generator changed.
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
SHIPPED = ("experiments", "examples/tutorial/00000")  # in the wheel, where kubelab.chaos.shipped finds them


def fingerprint() -> str:
    """Say in one line what the generated code depends on: every source's bytes and the generator's version."""
    digest = hashlib.sha256(version("grpcio-tools").encode())
    for path in sorted(SOURCE.rglob("*.proto")):
        digest.update(str(path.relative_to(SOURCE)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def generate() -> None:
    """Run protoc over every file of the contract; raise SystemExit when it refuses one."""
    if STAMP.exists() and STAMP.read_text() == fingerprint():
        return
    from grpc_tools import protoc

    scripts = Path(sys.executable).parent
    mypy = shutil.which("protoc-gen-mypy", path=str(scripts)) or shutil.which("protoc-gen-mypy")
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    arguments = [
        "protoc",
        f"-I{SOURCE}",
        f"-I{files('grpc_tools') / '_proto'}",
        f"--python_out={TARGET}",
        f"--grpc_python_out={TARGET}",
    ]
    if mypy:  # stubs make the editor and pyright understand the messages; nothing at run time needs them
        arguments += [f"--plugin=protoc-gen-mypy={mypy}", f"--mypy_out=quiet:{TARGET}"]
        grpc_plugin = shutil.which("protoc-gen-mypy_grpc", path=str(scripts)) or shutil.which("protoc-gen-mypy_grpc")
        if grpc_plugin:
            arguments += [f"--plugin=protoc-gen-mypy_grpc={grpc_plugin}", f"--mypy_grpc_out=quiet:{TARGET}"]
    arguments += [str(path) for path in sorted(SOURCE.rglob("*.proto"))]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc refused the contract; see its message above")
    STAMP.write_text(fingerprint())


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand, `python hatch_build.py`, in an environment without hatchling
    BuildHookInterface = None

if BuildHookInterface is not None:

    class ProtoBuildHook(BuildHookInterface):  # pyright: ignore[reportMissingTypeArgument, reportUntypedBaseClass]
        """Called by hatchling before it collects files."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            generate()
            if version != "editable":
                build_data["force_include"][str(TARGET / "kubelab")] = "kubelab"
                for folder in SHIPPED:
                    build_data["force_include"][str(ROOT / folder)] = f"kubelab/chaos/{folder}"


if __name__ == "__main__":
    generate()
