"""The service account controller, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.scheme import NAMESPACES, SERVICE_ACCOUNTS
from tests.support.apiserver import ApiServerInMemory
from tests.unit.controllermanager.conftest import Run


async def test_the_default_account_comes_back(running: Run) -> None:
    server = ApiServerInMemory()
    server.remove(SERVICE_ACCOUNTS, "kube-system/default")  # as in a cluster of an earlier version
    async with running(server, "serviceaccount"):
        await server.until(lambda: server.get(SERVICE_ACCOUNTS, "kube-system/default"))
        server.remove(SERVICE_ACCOUNTS, "default/default")
        await server.until(lambda: server.get(SERVICE_ACCOUNTS, "default/default"))


async def test_a_namespace_that_goes_gets_no_account(running: Run) -> None:
    server = ApiServerInMemory()
    namespace = core_pb2.Namespace(metadata=meta_pb2.ObjectMeta(name="lab"))
    namespace.metadata.deletionTimestamp.seconds = 1
    namespace.status.phase = "Terminating"
    server.add(namespace)
    server.remove(SERVICE_ACCOUNTS, "lab/default")
    async with running(server, "serviceaccount", "namespace"):
        namespace.spec.finalizers.append("kubernetes")
        server.add(namespace)
        await server.until(lambda: server.get(NAMESPACES, "lab") is None)
    assert not [call for call in server.calls_of("create", SERVICE_ACCOUNTS) if call.namespace == "lab"]
