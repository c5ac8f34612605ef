"""Keep the service account ``default`` in every active namespace."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2, serviceaccounts_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.errors import NAMESPACE_TERMINATING, AlreadyExists, ApiError, NotFound, has_cause
from kubelab.apimachinery.meta import is_terminating
from kubelab.apimachinery.scheme import NAMESPACES, SERVICE_ACCOUNTS
from kubelab.client.controller import Reconciler
from kubelab.controllermanager.context import ControllerContext

NAME = "default"


class ServiceAccountController(Reconciler[str]):
    """Own the default account of every namespace. One key is one namespace."""

    name = "serviceaccount"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._namespaces = context.informers.of(NAMESPACES)
        self._accounts = context.informers.of(SERVICE_ACCOUNTS)
        self._namespaces.add_handler(on_add=self._enqueue, on_update=lambda _, new: self._enqueue(new))
        self._accounts.add_handler(on_delete=self._account_gone)

    def enqueue_all(self) -> None:
        """Look at every namespace."""
        for namespace in self._namespaces.list():
            self._enqueue(namespace)

    def _enqueue(self, namespace: core_pb2.Namespace) -> None:
        self._queue.add(namespace.metadata.name)

    def _account_gone(self, account: serviceaccounts_pb2.ServiceAccount) -> None:
        if account.metadata.name == NAME:
            self._queue.add(account.metadata.namespace)

    async def sync(self, key: str) -> None:
        """Create one namespace's account, if it is not there."""
        namespace = self._namespaces.get(key)
        if namespace is None or is_terminating(namespace) or self._accounts.get(f"{key}/{NAME}") is not None:
            return
        account = serviceaccounts_pb2.ServiceAccount(metadata=meta_pb2.ObjectMeta(name=NAME, namespace=key))
        try:
            await self._client.create(account)
        except (AlreadyExists, NotFound):
            return  # another one was faster, or the namespace is gone
        except ApiError as err:
            if not has_cause(err, NAMESPACE_TERMINATING):
                raise
