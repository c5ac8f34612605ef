"""The hash that ``--append-hash`` puts behind a name (kubectl ``pkg/util/hash``): equal content has an equal name."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from kubelab.api.core.v1 import core_pb2

_ALPHABET = str.maketrans("013ae", "ghkmt")  # no vowels, and nothing that looks like another
_GO_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def of_config_map(obj: core_pb2.ConfigMap) -> str:
    """Hash kind, name and data of a config map."""
    content: dict[str, Any] = {"kind": "ConfigMap", "name": obj.metadata.name, "data": dict(obj.data)}
    if obj.binaryData:
        content["binaryData"] = _encoded(obj.binaryData)
    return _hash(content)


def of_secret(obj: core_pb2.Secret) -> str:
    """Hash kind, type, name and data of a secret."""
    return _hash({"kind": "Secret", "type": obj.type, "name": obj.metadata.name, "data": _encoded(obj.data)})


def _encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def _hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":")).translate(_GO_ESCAPES)
    return hashlib.sha256(text.encode()).hexdigest()[:10].translate(_ALPHABET)
