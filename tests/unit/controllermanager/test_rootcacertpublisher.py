"""The publisher of the authority's certificate, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.scheme import CONFIG_MAPS
from kubelab.component.config import ConfigError
from kubelab.controllermanager.config import ControllerManagerConfig
from kubelab.controllermanager.rootcacertpublisher.controller import ANNOTATION, NAME, root_ca
from tests.support.apiserver import ApiServerInMemory
from tests.unit.controllermanager.conftest import Run

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    file = tmp_path / "ca.crt"
    file.write_text(PEM)
    return file


async def test_every_namespace_has_the_certificate_and_keeps_it(running: Run, ca: Path) -> None:
    server = ApiServerInMemory()
    async with running(server, "rootcacertpublisher", root_ca_file=ca), server.client() as client:
        await client.create(core_pb2.Namespace(metadata=meta_pb2.ObjectMeta(name="lab")))
        for namespace in ("default", "kube-system", "lab"):
            await server.until(lambda key=f"{namespace}/{NAME}": server.get(CONFIG_MAPS, key))
        made = server.get(CONFIG_MAPS, f"lab/{NAME}")
        assert made is not None
        assert dict(made.data) == {"ca.crt": PEM}
        assert made.metadata.annotations[ANNOTATION].startswith("Contains a CA bundle")
        made.data["ca.crt"], made.data["more"] = "forged", "1"
        await client.update(made)
        await server.until(lambda: dict((server.get(CONFIG_MAPS, f"lab/{NAME}") or made).data) == {"ca.crt": PEM})
        await client.delete(CONFIG_MAPS, NAME, "lab")
        await server.until(lambda: server.get(CONFIG_MAPS, f"lab/{NAME}"))


async def test_a_namespace_that_goes_gets_none(running: Run, ca: Path) -> None:
    server = ApiServerInMemory()
    going = core_pb2.Namespace(metadata=meta_pb2.ObjectMeta(name="lab"))
    going.metadata.deletionTimestamp.seconds = 1
    going.spec.finalizers.append("kubernetes")
    going.status.phase = "Terminating"
    server.add(going)
    async with running(server, "rootcacertpublisher", root_ca_file=ca):
        await server.until(lambda: server.get(CONFIG_MAPS, f"default/{NAME}"))
        await server.until(lambda: server.get(CONFIG_MAPS, f"kube-system/{NAME}"))
    assert not [call for call in server.calls_of("create", CONFIG_MAPS) if call.namespace == "lab"]


def test_the_certificate_is_the_files_or_the_kubeconfigs(ca: Path, tmp_path: Path) -> None:
    assert root_ca(ControllerManagerConfig(name="c", root_ca_file=ca)) == PEM
    with pytest.raises(ConfigError, match=r"rootCaFile: .*none"):
        root_ca(ControllerManagerConfig(name="c", root_ca_file=tmp_path / "none"))
