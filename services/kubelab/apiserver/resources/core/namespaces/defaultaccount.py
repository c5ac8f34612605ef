"""The service account ``default`` of a new namespace, which the transaction that creates the namespace writes too.

Upstream leaves it to a controller, and the first pods of a namespace may be refused. The controller is here as well: it
brings the account back where it was deleted.
"""

from __future__ import annotations

import uuid

from kubelab.api.core.v1 import core_pb2, serviceaccounts_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.scheme import SERVICE_ACCOUNTS
from kubelab.apiserver.resources.claims import NO_CLAIMS, Claims
from kubelab.apiserver.storage.store import Absent, Put
from kubelab.apiserver.storage.wire import Envelope

NAME = "default"
_ENVELOPE = Envelope(SERVICE_ACCOUNTS)


class DefaultAccount:
    """An allocator of one record: the account."""

    def keep(self, new: core_pb2.Namespace, old: core_pb2.Namespace) -> None:
        """Leave an update as it is."""

    def claim(self, new: core_pb2.Namespace, old: core_pb2.Namespace | None, taken: set[str]) -> Claims:
        """Write the account along with a new namespace, unless there is one already."""
        key = f"/registry/{SERVICE_ACCOUNTS.plural}/{new.metadata.name}/{NAME}"
        if old is not None or key in taken:
            return NO_CLAIMS
        account = serviceaccounts_pb2.ServiceAccount(
            metadata=meta_pb2.ObjectMeta(
                name=NAME,
                namespace=new.metadata.name,
                uid=str(uuid.uuid4()),
                creationTimestamp=new.metadata.creationTimestamp,
            )
        )
        value = _ENVELOPE.seal(account.SerializeToString(deterministic=True))
        return Claims((Absent(key),), (Put(key, value),))

    def release(self, namespace: core_pb2.Namespace) -> Claims:
        """Leave the account to the namespace controller, which has emptied the namespace by now."""
        del namespace
        return NO_CLAIMS
