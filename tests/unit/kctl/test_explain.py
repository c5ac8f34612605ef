"""``kctl explain``, in the layout of kubectl's template."""

from __future__ import annotations

import pytest

from tests.unit.kctl.conftest import Shell


def test_a_kind(shell: Shell) -> None:
    lines = shell("explain", "pods").stdout.splitlines()
    assert lines[:4] == ["KIND:       Pod", "VERSION:    v1", "", "DESCRIPTION:"]
    assert lines[5:8] == ["    ", "FIELDS:", "  apiVersion\t<string>"]
    assert "  spec\t<PodSpec>" in lines


def test_a_group(shell: Shell) -> None:
    assert shell("explain", "leases.coordination.k8s.io.spec").stdout.startswith(
        "GROUP:      coordination.k8s.io\nKIND:       Lease\nVERSION:    v1\n\nFIELD: spec <LeaseSpec>\n\n\n"
    )


def test_a_field_of_a_list(shell: Shell) -> None:
    text = shell("explain", "rc.spec.template.spec.containers").stdout
    assert "FIELD: containers <[]Container>\n\n\nDESCRIPTION:\n" in text
    assert "\n  name\t<string> -required-\n" in text
    assert "\n  ports\t<[]ContainerPort>\n" in text


def test_a_plain_field_has_no_fields(shell: Shell) -> None:
    text = shell("explain", "pod.spec.serviceAccount").stdout
    assert text == (
        "KIND:       Pod\nVERSION:    v1\n\nFIELD: serviceAccount <string>\n\n\nDESCRIPTION:\n"
        "    The older name of serviceAccountName.\n    \n\n"
    )


def test_recursive(shell: Shell) -> None:
    text = shell("explain", "svc", "--recursive").stdout
    assert "  metadata\t<ObjectMeta>\n    annotations\t<map[string]string>\n" in text
    assert "\n    ports\t<[]ServicePort>\n      appProtocol\t<string>\n" in text
    assert "      targetPort\t<IntOrString>\n" in text


def test_another_version(shell: Shell) -> None:
    assert "<[]MetricSpec>" in shell("explain", "hpa.spec").stdout
    text = shell("explain", "hpa.spec", "--api-version=autoscaling/v1").stdout
    assert "VERSION:    v1\n" in text
    assert "  targetCPUUtilizationPercentage\t<integer>\n" in text


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("", 'error: You must specify the type of resource to explain. Use "kctl api-resources" for a complete list'),
        ("po svc", "error: We accept only this format: explain RESOURCE\n"),
        ("spoons", 'the server doesn\'t have a resource type "spoons"\n'),
        ("pods -o xml", "error: unrecognized format: xml\n"),
        ("pods --api-version=v2", 'error: couldn\'t find resource for "v2, Resource=pods"\n'),
    ],
)
def test_refused(shell: Shell, words: str, error: str) -> None:
    outcome = shell("explain", *words.split())
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith(error)


@pytest.mark.parametrize("path", ["pods.spec.nope", "pods.spec.hostname.nope"])
def test_a_field_that_is_not_there_is_found_missing_after_the_head(shell: Shell, path: str) -> None:
    outcome = shell("explain", path)
    assert (outcome.code, outcome.stdout) == (1, "KIND:       Pod\nVERSION:    v1\n\n")
    assert outcome.stderr == 'error: field "nope" does not exist\n'
