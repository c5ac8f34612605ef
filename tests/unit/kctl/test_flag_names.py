"""The flags of every command against those of kubectl 1.32 (golden/kubectlflags.txt), by name."""

from __future__ import annotations

import pytest

from kubelab.kctl.command import GLOBAL_FLAGS, HELP
from tests.support.kubectlflags import golden
from tests.unit.kctl.test_options import COMMANDS

NOT_THERE = {  # commands that kctl does not have, in part because others are at work on them
    "debug": "there are no ephemeral containers",
    "kustomize": "no kept library builds kustomizations",
}
LEFT_OUT = {
    "run": ("kubectl does nothing with them", "filename kustomize recursive"),
    "logs": ("the api-server always checks the kubelet's certificate", "insecure-skip-tls-verify-backend"),
    "wait": ("waiting needs a server; kubectl's help speaks of annotations there", "local"),
}


@pytest.mark.parametrize("command", golden())
def test_the_flags_of_kubectl(command: str) -> None:
    known = COMMANDS.get(f"kctl {command}")
    flags = () if known is None else known.flags
    ours = {flag.long for flag in flags if flag not in GLOBAL_FLAGS and flag is not HELP and not flag.hidden}
    if command in NOT_THERE:
        assert not ours, "it is there, and has flags to compare"
        return
    assert known is not None
    kubectls = golden()[command]
    assert not ours - kubectls, "flags that kubectl does not have"
    assert not kubectls - ours - {*LEFT_OUT.get(command, ("", ""))[1].split()}, "flags of kubectl that are missing"


def test_a_kustomization_is_refused_by_name() -> None:
    """Every command that has ``-k`` says what to do with one."""
    with_files = [c for c, flags in golden().items() if "kustomize" in flags and c not in NOT_THERE and c != "run"]
    assert len(with_files) > 25
    assert all(any(flag.long == "kustomize" for flag in COMMANDS[f"kctl {c}"].flags) for c in with_files)
