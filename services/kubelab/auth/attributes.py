"""The attributes of a request that authorisation decides on
(https://kubernetes.io/docs/reference/access-authn-authz/authorization/#review-your-request-attributes)."""

from __future__ import annotations

from dataclasses import dataclass

from kubelab.apimachinery import errors
from kubelab.apimachinery.fields import FieldSelector
from kubelab.auth.users import User

EVERYTHING = FieldSelector()


@dataclass(slots=True)
class Attributes:
    """One request. ``resource`` is the plural, empty for what is no resource; then ``path`` names it: ``/metrics``.

    ``name`` is the object's: from the path, of a new object from the object itself, of a list or watch from a field
    selector that requires ``metadata.name``. It is empty for a collection.
    """

    user: User
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    fields: FieldSelector = EVERYTHING
    path: str = ""

    @property
    def target(self) -> str:
        """As rules name it: ``pods``, ``pods/status``, ``leases.coordination.k8s.io``, ``/metrics``."""
        if not self.resource:
            return self.path
        qualified = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{qualified}/{self.subresource}" if self.subresource else qualified


def refusal(a: Attributes, why: str = "") -> errors.Forbidden:
    """Upstream's words: ``pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace
    "default"``."""
    if not a.resource:
        return errors.Forbidden(f'forbidden: User "{a.user.name}" cannot {a.verb} path "{a.path}"')
    target = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
    where = f'in the namespace "{a.namespace}"' if a.namespace else "at the cluster scope"
    message = f'User "{a.user.name}" cannot {a.verb} resource "{target}" in API group "{a.group}" {where}'
    return errors.forbidden(a.resource, a.name, f"{message}: {why}" if why else message, a.group)
