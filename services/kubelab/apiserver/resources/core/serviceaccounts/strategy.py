"""Service accounts: only the names of their secrets are kept."""

from __future__ import annotations

from kubelab.api.core.v1 import references_pb2, serviceaccounts_pb2
from kubelab.apiserver.strategies.base import Strategy


class ServiceAccountStrategy(Strategy[serviceaccounts_pb2.ServiceAccount]):
    def prepare_for_create(self, obj: serviceaccounts_pb2.ServiceAccount) -> None:
        super().prepare_for_create(obj)
        _keep_names(obj)

    def prepare_for_update(
        self, obj: serviceaccounts_pb2.ServiceAccount, old: serviceaccounts_pb2.ServiceAccount
    ) -> None:
        super().prepare_for_update(obj, old)
        _keep_names(obj)


def _keep_names(account: serviceaccounts_pb2.ServiceAccount) -> None:
    for reference in account.secrets:
        reference.CopyFrom(references_pb2.ObjectReference(name=reference.name))
