"""The record of a compose cluster on disk: its docker compose project and its daemon.

The same file as a local cluster's, ``$KUBELAB_HOME/clusters/NAME/cluster.yaml``, with ``driver: compose`` in it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kubelab.files import atomicfile, statefile
from kubelab.topology.record import COMPOSE, REMEDY, RecordError, check_name, read_body


@dataclass(frozen=True, slots=True)
class ComposeRecord:
    """A compose cluster. ``docker_host`` is empty for the docker CLI's own choice (its context)."""

    home: Path
    name: str
    project: str
    directory: Path
    files: tuple[Path, ...]
    docker_host: str = ""

    @classmethod
    def load(cls, home: Path, name: str) -> ComposeRecord | None:
        """Read a record; None when there is none, or it is a local cluster's. Raises RecordError for a broken one."""
        body = read_body(home, name)
        if body is None or body.get("driver") != COMPOSE:
            return None
        return cls._of(home, name, body)

    @classmethod
    def _of(cls, home: Path, name: str, body: Mapping[str, Any]) -> ComposeRecord:
        try:
            return cls(
                home=home,
                name=name,
                project=str(body["project"]),
                directory=Path(str(body["projectDirectory"])),
                files=tuple(Path(str(file)) for file in body["files"]),
                docker_host=str(body.get("dockerHost") or ""),
            )
        except statefile.UNREADABLE as err:
            path = home / "clusters" / name / "cluster.yaml"
            raise RecordError(f"{path}: not a cluster's record ({err!r}); {REMEDY}") from err

    def save(self) -> None:
        """Write the record in one step. Raises RecordError for a name that cannot be one."""
        check_name(self.name)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        body: dict[str, Any] = {
            "name": self.name,
            "driver": COMPOSE,
            "project": self.project,
            "projectDirectory": str(self.directory),
            "files": [str(file) for file in self.files],
        }
        if self.docker_host:
            body["dockerHost"] = self.docker_host
        atomicfile.write(self.folder / "cluster.yaml", yaml.safe_dump(body, sort_keys=False))

    def remove(self) -> None:
        """Forget the cluster on this disk; its containers are docker's."""
        shutil.rmtree(self.folder)

    @property
    def folder(self) -> Path:
        return self.home / "clusters" / self.name
