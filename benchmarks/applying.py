"""Apply of 100 objects by kctl over gRPC, beside kubectl over HTTPS on the same cluster: created, and applied again."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

import yaml

from benchmarks.bench import ROOT, Bench
from benchmarks.report import Figure

OBJECTS, ROUNDS = 100, 3
KUBECTL = ROOT / "build" / "clients" / "v32" / "kubectl"


def objects(name: str) -> Iterator[dict[str, object]]:
    """What a small application brings: config maps, services, deployments without pods."""
    for n in range(OBJECTS):
        metadata = {"name": f"{name}-{n:03}", "labels": {"app": "bench"}}
        if n % 10 == 0:
            container = {"name": "app", "image": "hello:v1"}
            template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
            spec = {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template}
            yield {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
        elif n % 10 == 1:
            spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
            yield {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        else:
            yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": "value"}}


def measure(bench: Bench) -> list[Figure]:
    """Take turns, so that a busy machine slows both; the ratio is what counts."""
    programs = {"kctl": "kctl", **({"kubectl": str(KUBECTL)} if KUBECTL.exists() else {})}
    took = {(name, what): list[float]() for name in programs for what in ("new", "again")}
    for number in range(ROUNDS):
        for name, program in programs.items():
            file = _written(bench.home, f"{name}-{number}")
            for what in ("new", "again"):
                took[name, what].append(bench.timed(program, "apply", "-f", str(file)))
            bench.run("kctl", "delete", "--wait=false", "-f", str(file))
    figures = [
        Figure(f"{name} apply of {OBJECTS} objects, {'new' if what == 'new' else 'unchanged'}", seconds, "s")
        for (name, what), each in took.items()
        for seconds in [statistics.median(each)]
    ]
    if "kubectl" in programs:
        for what, words in (("new", "new"), ("again", "unchanged")):
            ratio = statistics.median(took["kctl", what]) / statistics.median(took["kubectl", what])
            figures.append(Figure(f"kctl against kubectl, {words}", ratio, "ratio", 1))
    return figures


def _written(folder: Path, name: str) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump_all(objects(name)))
    return file
