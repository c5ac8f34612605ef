"""What a user has set is found where each kind of cluster keeps it."""

from __future__ import annotations

import pytest

from kubelab.topology.settings import changed, flag, look_up, parse_settings

GRACE = "nodeLifecycle.nodeMonitorGracePeriod"


@pytest.mark.parametrize(
    ("words", "key", "expected"),
    [
        ([f"controller-manager.{GRACE}=4s"], GRACE, "4s"),
        ([f"controller-manager.{GRACE}=4"], GRACE, "4"),
        (["controller-manager.nodeLifecycle.other=4s"], GRACE, None),
        (["controller-manager.nodeLifecycle=4s"], GRACE, None),
        ([], GRACE, None),
    ],
)
def test_settings_of_a_local_cluster(words: list[str], key: str, expected: str | None) -> None:
    assert look_up(parse_settings(words).get("controller-manager", {}), key) == expected


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ([], {"kubelet": {"maxPods": 20}, "scheduler": {"a": {"b": 1, "c": 2}}}),
        (["kubelet.maxPods=30"], {"kubelet": {"maxPods": 30}, "scheduler": {"a": {"b": 1, "c": 2}}}),
        (["kubelet.maxPods="], {"scheduler": {"a": {"b": 1, "c": 2}}}),
        (["kubelet.maxPods=null", "scheduler.a.b="], {"scheduler": {"a": {"c": 2}}}),
        (["scheduler.a="], {"kubelet": {"maxPods": 20}}),
        (["api-server.never="], {"kubelet": {"maxPods": 20}, "scheduler": {"a": {"b": 1, "c": 2}}}),
    ],
)
def test_a_setting_without_a_value_has_its_default_again(words: list[str], left: dict[str, object]) -> None:
    before = {"kubelet": {"maxPods": 20}, "scheduler": {"a": {"b": 1, "c": 2}}}
    assert changed(before, parse_settings(words)) == left


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("kubelab.controllermanager --node-lifecycle-node-monitor-grace-period=5s", "5s"),
        ("-m x --node-lifecycle-node-monitor-grace-period=5s --node-lifecycle-node-monitor-grace-period=6s", "6s"),
        ("kubelab.controllermanager --node-lifecycle-node-monitor-grace=5s", None),
        ("", None),
    ],
)
def test_flags_of_a_container(command: str, expected: str | None) -> None:
    assert flag(command.split(), GRACE) == expected
