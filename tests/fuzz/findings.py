"""What the fuzzer found, as a file that can be sent again."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Input:
    """One call: the bytes of its messages, and its headers."""

    server: str
    path: str
    shape: str
    messages: Sequence[bytes]
    headers: Sequence[tuple[str, str | bytes]] = ()
    name: str = ""  # seed/number

    def to_json(self) -> dict[str, Any]:
        return {
            "server": self.server,
            "path": self.path,
            "shape": self.shape,
            "messages": [base64.b64encode(raw).decode() for raw in self.messages],
            "headers": [[key, value if isinstance(value, str) else value.hex()] for key, value in self.headers],
            "name": self.name,
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Input:
        headers = [(key, bytes.fromhex(value) if key.endswith("-bin") else value) for key, value in body["headers"]]
        raw = [base64.b64decode(text) for text in body["messages"]]
        return cls(body["server"], body["path"], body["shape"], raw, headers, body["name"])


@dataclass(frozen=True, slots=True)
class Finding:
    """A promise that was broken; ``inputs`` are what was under way, the likely one first."""

    what: str
    inputs: Sequence[Input] = ()

    def save(self, folder: Path, number: int) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"finding-{number}.json"
        body = {"what": self.what, "inputs": [one.to_json() for one in self.inputs]}
        path.write_text(json.dumps(body, indent=1))
        return path


def read(path: Path) -> list[Input]:
    """The inputs of a file."""
    return [Input.from_json(body) for body in json.loads(path.read_text())["inputs"]]
