"""kctl on admission policies."""

from __future__ import annotations

from pathlib import Path

from tests.unit.kctl.conftest import Shell

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "policy" / "replicas.yml"


def test_the_example(shell: Shell) -> None:
    made = shell("create", "-f", str(EXAMPLE))
    assert made.stderr == ""
    assert made.stdout == (
        "validatingadmissionpolicy.admissionregistration.k8s.io/replicas.example.com created\n"
        "configmap/replicas created\n"
        "validatingadmissionpolicybinding.admissionregistration.k8s.io/replicas-of-tests.example.com created\n"
    )
    assert shell("apply", "-f", str(EXAMPLE), "--dry-run=server").code == 0
    shell("label", "namespace", "default", "environment=test")
    refused = shell("create", "deployment", "web", "--image=host", "--replicas=6")
    assert (refused.code, refused.stdout) == (1, "")
    assert refused.stderr == (
        'error: failed to create deployment: deployments.apps "web" is forbidden: ValidatingAdmissionPolicy '
        "'replicas.example.com' with binding 'replicas-of-tests.example.com' denied request: "
        "object.spec.replicas must be no greater than 5\n"
    )
    assert shell("create", "deployment", "web", "--image=host", "--replicas=5").code == 0
    patched = shell("patch", "deployment", "web", "-p", '{"spec":{"replicas":6}}')
    assert patched.stderr.startswith('The deployments "web" is invalid: : ValidatingAdmissionPolicy ')
    described = shell("describe", "validatingadmissionpolicy", "replicas.example.com").stdout
    assert "Name:         replicas.example.com\n" in described
    assert "    Expression:          object.spec.replicas <= variables.most\n" in described
    assert "Observed Generation:  1\n" in described
    assert "variables\t<[]Variable>" in shell("explain", "validatingadmissionpolicy.spec").stdout
