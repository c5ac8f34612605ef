"""What others wrote acts on no terminal: names of services and images, what probes of an experiment answer."""

from __future__ import annotations

import logging

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import terminal
from kubelab.chaos import runner
from kubelab.cli import image, service

EVIL = "a\x1b]0;owned\x07\x9b2J\u202eb"
SHOWN = "a^[]0;owned^G\\u009b2J\\u202eb"


def test_the_table_of_a_service_lines_up_around_what_is_escaped() -> None:
    made = core_pb2.Service()
    made.metadata.name, made.metadata.namespace = "web", "default"
    made.spec.ports.add(name=EVIL, port=80, nodePort=30080)
    table = service.node_port_table(made, "192.168.49.2")
    assert not terminal.acts(table)
    assert f"| {SHOWN}/80 |" in table
    assert len({len(line) for line in table.splitlines()}) == 1


def test_names_of_images() -> None:
    assert image.loaded(EVIL) == f"Loaded image: {SHOWN}"


def test_the_log_of_an_experiment() -> None:
    record = logging.LogRecord("chaostoolkit", logging.INFO, "", 0, "answered %s", (EVIL,), None)
    assert runner.Escaped("%(message)s").format(record) == f"answered {SHOWN}"
