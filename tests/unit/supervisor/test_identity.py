"""What rules know of a component is what it is started with."""

from __future__ import annotations

from pathlib import Path

from kubelab.supervisor.plan import plan
from kubelab.topology.components import GROUPS, PORTS
from kubelab.topology.record import Record


def test_every_component_runs_in_its_group_and_listens_where_rules_expect_it() -> None:
    record = Record(Path("/home"), "lab", "00000000", ("cp-1", "node-1"), (4000,))
    for spec in plan(record).specs:
        assert spec.request.group == GROUPS.get(spec.component, 0)
        if spec.component in PORTS:
            assert int(spec.target.address.rpartition(":")[2]) in PORTS[spec.component]
        else:
            assert spec.target.address.startswith("unix:"), "what no packet can cut has no port"
