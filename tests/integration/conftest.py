"""What tests of one component on real neighbours share: a certificate authority and an etcd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import etcd as testing_etcd
from tests.support.etcd import Etcd
from tests.support.pki import TestAuthority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return TestAuthority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def etcd_server(tmp_path: Path, authority: TestAuthority) -> Iterator[Etcd]:
    """An empty etcd of the test's own."""
    if testing_etcd.missing():
        pytest.skip("no etcd on this machine")
    folder = tmp_path / "etcd"
    folder.mkdir()
    with testing_etcd.etcd(folder, authority) as running:
        yield running
