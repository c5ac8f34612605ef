"""Bindings: not stored; creating one binds a pod, as its subresource does."""

from __future__ import annotations

from kubelab.apimachinery.scheme import BINDINGS
from kubelab.apiserver.resources.core.pods.binding import BINDING
from kubelab.apiserver.resources.storage import PassedThrough

RESOURCE = PassedThrough(BINDINGS, BINDING)
