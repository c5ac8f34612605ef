"""The compose files say of every worker, and of every control plane, the same."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from hatch_build import BUNDLED

from kubelab.pki import layout

ROOT = Path(__file__).resolve().parents[3]
PARTS = ("node", "runtime", "kubelet", "kube-proxy")


def load(text: str) -> dict[str, Any]:
    return cast(dict[str, Any], yaml.safe_load(text))


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    return load((ROOT / "docker-compose.yml").read_text())["services"]


def workers(number: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "deploy/compose/workers", number], capture_output=True, text=True, check=False)


def renumbered(service: dict[str, Any], old: int, new: int) -> dict[str, Any]:
    """A worker's container as it would be with another number."""
    text = yaml.safe_dump(service)
    text = re.sub(rf"-{old}\b", f"-{new}", text)
    return load(re.sub(rf"\.10{old}\b", f".10{new}", text))


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("part", PARTS)
def test_workers_differ_by_their_number_only(services: dict[str, dict[str, Any]], part: str, number: int) -> None:
    first = {key: value for key, value in services[f"{part}-1"].items() if key != "build"}
    assert services[f"{part}-{number}"] == renumbered(first, 1, number)


def test_more_workers_are_like_the_others(services: dict[str, dict[str, Any]]) -> None:
    printed = load(workers("5").stdout)
    for number in (4, 5):
        for part in PARTS:
            assert printed["services"][f"{part}-{number}"] == renumbered(services[f"{part}-3"], 3, number)
    assert set(printed["volumes"]) == {"node-4", "node-5"}
    for service in ("pki", "certificates"):
        assert printed["services"][service]["volumes"] == ["node-4:/pki/node-4", "node-5:/pki/node-5"]
        assert printed["services"][service]["command"].endswith("--workers=5")


def test_certificates_are_renewed_as_they_were_made(services: dict[str, dict[str, Any]]) -> None:
    """By a container that is there as long as the cluster, and that reaches no network."""
    once, kept = services["pki"], services["certificates"]
    assert kept["command"] == once["command"].replace("kubelab.pki", "kubelab.pki --keep")
    assert kept["volumes"] == once["volumes"]
    assert (kept["restart"], kept["network_mode"]) == ("unless-stopped", "none")
    both = [load(workers("7").stdout)["services"][service]["command"] for service in ("pki", "certificates")]
    assert both[1] == both[0].replace("kubelab.pki", "kubelab.pki --keep")


@pytest.mark.parametrize("number", ["", "3", "many", "-1", "100"])
def test_a_number_of_workers_that_makes_no_sense_is_refused(number: str) -> None:
    done = workers(number)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "usage: deploy/compose/workers NUMBER, from 4 to 99\n"


@pytest.mark.parametrize("component", layout.COMPONENTS)
def test_addresses_are_those_in_the_certificates(services: dict[str, dict[str, Any]], component: str) -> None:
    for number in (1, 2, 3):
        name = layout.service(component, number)
        address = services[name]["networks"]["cluster"]["ipv4_address"]
        assert address == f"${{KUBELAB_NETWORK:-192.168.49}}.{layout.HOSTS[component] + number - 1}"
        assert services[name].get("profiles", []) == ([] if number == 1 else ["ha"])
        assert f"{component}@cp-{number}" in yaml.safe_dump(services[name])


def test_nothing_is_published_to_other_machines(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert not [port for port in ports if not port.startswith("127.0.0.1:")]


def test_no_container_is_privileged_and_only_pki_has_the_authorities_keys(services: dict[str, dict[str, Any]]) -> None:
    assert not [name for name, service in services.items() if service.get("privileged")]
    holders = [name for name, service in services.items() if "authority" in yaml.safe_dump(service.get("volumes", []))]
    assert holders == ["pki", "certificates"]
    assert services["certificates"]["network_mode"] == "none"


SOURCES = ("protos", "base", "clients", "services", "hatch_build.py", "pyproject.toml", *BUNDLED)


@pytest.mark.parametrize("path", SOURCES)
def test_image_builds_get_all_that_a_wheel_is_made_of(path: str) -> None:
    """Without wheels, images are built from these files alone; with them, the files say whether they are stale."""
    assert f"!{path}" in (ROOT / ".dockerignore").read_text().splitlines()
    assert path in (ROOT / "deploy/images/wheels").read_text()


def test_images_are_never_anothers(services: dict[str, dict[str, Any]]) -> None:
    """Without this, compose asks a public registry for the names before it builds."""
    assert {service["pull_policy"] for service in services.values()} == {"never"}


def test_no_log_grows_for_ever(services: dict[str, dict[str, Any]]) -> None:
    limits = [service.get("logging", {}).get("options") for service in services.values()]
    assert all(limit == {"max-size": "10m", "max-file": "2"} for limit in limits), limits


def test_the_control_plane_has_no_capability_but_that_which_bounds_connections(
    services: dict[str, dict[str, Any]],
) -> None:
    allowed = [name for name, service in services.items() if service.get("cap_drop") != ["ALL"]]
    assert allowed == [f"{part}-{number}" for number in (1, 2, 3) for part in PARTS]
    added = {name: service.get("cap_add", []) for name, service in services.items() if name not in allowed}
    bounded = {layout.service(component, number) for component in layout.COMPONENTS for number in (1, 2, 3)}
    assert {name for name, capabilities in added.items() if capabilities == ["NET_ADMIN"]} == bounded
    assert {name for name, capabilities in added.items() if capabilities} - bounded == {"pki", "certificates"}


def test_etcd_can_note_beside_its_certificates_that_it_has_begun(services: dict[str, dict[str, Any]]) -> None:
    """Everybody else has them read-only."""
    mounts = {
        name: volume
        for name, service in services.items()
        for volume in service.get("volumes", [])
        if volume.startswith("control-plane:/etc/kubelab")
    }
    writers = [name for name, volume in mounts.items() if not volume.endswith(":ro")]
    assert writers == ["etcd", "etcd-2", "etcd-3"]


def test_everybody_says_how_they_are(services: dict[str, dict[str, Any]]) -> None:
    without = [name for name, service in services.items() if "healthcheck" not in service]
    assert without == ["pki", "certificates"], "one is there once, the other ends when it fails"


def test_nobody_waits_for_another_to_be_well(services: dict[str, dict[str, Any]]) -> None:
    """Of three members of etcd that were stopped together, none is well before two of them are back."""
    assert "service_healthy" not in yaml.safe_dump(services)


def test_each_image_is_built_once(services: dict[str, dict[str, Any]]) -> None:
    builders = {service["image"]: name for name, service in services.items() if "build" in service}
    assert sorted(builders.values()) == ["etcd", "haproxy", "node-1", "pki"]
    assert {service["image"] for service in services.values()} == set(builders)
