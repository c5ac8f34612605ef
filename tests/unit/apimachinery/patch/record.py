"""Record what kubectl makes of patches: ``python -m tests.unit.apimachinery.patch.record KUBECTL > …/kubectl.jsonl``.

Each line is a case: the type, the object's name in OBJECTS, the patch, and the patched object or kubectl's error.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "labels": {"app": "a", "tier": "b"}, "finalizers": ["a.io/b", "c.io/d"]},
    "spec": {
        "nodeSelector": {"disk": "ssd"},
        "containers": [
            {
                "name": "a",
                "image": "one",
                "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}],
                "ports": [{"containerPort": 80}],
            },
            {"name": "b", "image": "two", "command": ["sh", "-c", "x"]},
            {"name": "c", "image": "three", "resources": {"requests": {"cpu": "1"}}},
        ],
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "hostPath": {"path": "/x"}}],
        "tolerations": [{"key": "a", "operator": "Exists"}],
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "annotations": {"note": "x"}},
    "spec": {
        "selector": {"app": "a"},
        "ports": [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "tls", "port": 443}],
        "externalIPs": ["1.1.1.1", "2.2.2.2"],
    },
}
OBJECTS: dict[str, dict[str, Any]] = {"pod": POD, "service": SERVICE}

Patch = dict[str, Any]


def containers(rng: random.Random) -> list[Patch]:
    """Elements of a list of containers: changes, additions, deletions, replacements, and wrong ones."""
    elements: list[Patch] = []
    for name in rng.sample(["a", "b", "c", "n", "m"], rng.randint(0, 3)):
        match rng.randint(0, 9):
            case 0 | 1:
                elements.append({"name": name, "$patch": "delete"})
            case 2:
                elements.append({"name": name, "image": None})
            case 3:
                elements.append({"name": name, "command": ["new"], "resources": {"limits": {"cpu": "2"}}})
            case 4:
                env = [{"name": v, "value": "9"} for v in rng.sample(["X", "Y", "Z"], 2)]
                elements.append({"name": name, "env": env, "ports": [{"containerPort": 80, "name": "http"}]})
            case 5:
                elements.append({"name": name, "env": [{"name": "X", "$patch": "delete"}, {"name": "W", "value": "0"}]})
            case _:
                elements.append({"name": name, "image": f"new-{name}"})
    match rng.randint(0, 14):
        case 0:
            elements.insert(rng.randint(0, len(elements)), {"$patch": "replace"})
        case 1:
            elements.append({"image": "without-a-name"})
        case 2:
            elements.append({"name": "a", "$patch": "nonsense"})
        case _:
            pass
    return elements


def strategic(rng: random.Random) -> tuple[str, Patch]:
    """A strategic merge patch of a pod or a service."""
    if rng.random() < 0.25:
        ports = [{"port": p, "name": f"p{p}"} for p in rng.sample([80, 443, 8080, 9090], rng.randint(1, 3))]
        spec: Patch = {"ports": ports}
        if rng.random() < 0.3:
            spec["$setElementOrder/ports"] = [{"port": p} for p in rng.sample([80, 443, 8080, 9090], 4)]
        if rng.random() < 0.3:
            spec["externalIPs"] = ["3.3.3.3"]
        if rng.random() < 0.3:
            spec["selector"] = rng.choice([{"$patch": "replace", "x": "y"}, {"app": None, "z": "q"}, None])
        return "service", {"spec": spec}
    spec = {}
    metadata: Patch = {}
    if rng.random() < 0.8:
        spec["containers"] = containers(rng)
    if rng.random() < 0.25:
        order = rng.sample(["a", "b", "c", "n", "m"], rng.randint(2, 5))
        spec["$setElementOrder/containers"] = [{"name": name} for name in order]
    if rng.random() < 0.25:
        spec["volumes"] = rng.choice(
            [
                [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/y"}}],
                [{"name": "v", "$retainKeys": ["name"], "hostPath": {"path": "/y"}}],
                [{"name": "w", "$patch": "delete"}, {"name": "z", "emptyDir": {"medium": "Memory"}}],
            ]
        )
    if rng.random() < 0.2:
        spec["tolerations"] = [{"key": "b"}]
    if rng.random() < 0.2:
        spec["nodeSelector"] = rng.choice(
            [{"$patch": "delete"}, {"$patch": "replace", "q": "r"}, {"disk": None}, {"p": "q"}]
        )
    if rng.random() < 0.25:
        metadata["labels"] = rng.choice([{"app": None}, {"new": "x"}, None, {"tier": "c", "gone": None}])
    if rng.random() < 0.25:
        metadata |= rng.choice(
            [
                {"finalizers": ["e.io/f"]},
                {"$deleteFromPrimitiveList/finalizers": ["a.io/b"]},
                {
                    "$setElementOrder/finalizers": ["c.io/d", "e.io/f", "a.io/b"],
                    "finalizers": ["e.io/f"],
                },
                {"$deleteFromPrimitiveListfinalizers": ["a.io/b"]},
            ]
        )
    return "pod", {**({"metadata": metadata} if metadata else {}), "spec": spec}


def merge(rng: random.Random) -> tuple[str, Patch]:
    """A merge patch: the same without directives."""
    name, patch = strategic(rng)
    return name, json.loads(json.dumps(patch).replace("$patch", "directive"))


def json_patch(rng: random.Random) -> tuple[str, list[Patch]]:
    """A JSON patch of a pod: some of its steps do not apply."""
    paths = [
        "/metadata/labels/app",
        "/metadata/labels/none",
        "/metadata/labels/a~1b",
        "/spec/containers/0/image",
        "/spec/containers/1",
        "/spec/containers/7",
        "/spec/containers/-",
        "/spec/containers/-1/name",
        "/spec/containers/x",
        "/spec/nothing/below",
        "/spec/tolerations/0",
    ]
    steps: list[Patch] = []
    for _ in range(rng.randint(1, 3)):
        op = rng.choice(["add", "remove", "replace", "test", "move", "copy", "add", "replace"])
        step: Patch = {"op": op, "path": rng.choice(paths)}
        if op in ("add", "replace", "test"):
            step["value"] = rng.choice(["a", "one", {"name": "z", "image": "i"}, None, 5])
        if op in ("move", "copy"):
            step["from"] = rng.choice(paths)
        steps.append(step)
    return "pod", steps


def cases(rng: random.Random) -> Iterator[tuple[str, str, Any]]:
    """Cases of each type: the type, the object's name, the patch."""
    for kind, make, count in (("strategic", strategic, 120), ("merge", merge, 20), ("json", json_patch, 70)):
        for _ in range(count):
            name, patch = make(rng)
            yield kind, name, patch


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, obj in OBJECTS.items():
            (Path(folder) / name).with_suffix(".json").write_text(json.dumps(obj))
        for kind, name, patch in cases(random.Random(7)):
            file = (Path(folder) / name).with_suffix(".json")
            command = [sys.argv[1], "patch", "--local", "-f", str(file), f"--type={kind}", "-p", json.dumps(patch)]
            done = subprocess.run([*command, "-o", "json"], capture_output=True, text=True, check=False)
            case: Patch = {"type": kind, "object": name, "patch": patch}
            if done.returncode == 0:
                case["result"] = json.loads(done.stdout)
            else:
                case["error"] = done.stderr.strip()
            sys.stdout.write(json.dumps(case, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
