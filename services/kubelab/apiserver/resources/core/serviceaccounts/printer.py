"""The cells of a row of service accounts, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.core.v1 import serviceaccounts_pb2
from kubelab.apiserver.printers.cells import age


def row(account: serviceaccounts_pb2.ServiceAccount, now: float) -> list[str]:
    return [account.metadata.name, str(len(account.secrets)), age(account.metadata.creationTimestamp, now)]
