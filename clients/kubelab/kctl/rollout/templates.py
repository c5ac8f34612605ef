"""Pod templates as ``kctl rollout`` prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2


def template_text(template: core_pb2.PodTemplateSpec) -> str:
    """Describe a pod template, with tabs where kubectl prints them."""
    from kubelab.kctl.describe import pods
    from kubelab.kctl.describe.writer import Writer

    w = Writer()
    pods.template(w, template)
    return w.raw()
