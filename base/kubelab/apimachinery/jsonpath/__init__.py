"""kubectl's dialect of JSONPath (client-go ``util/jsonpath``).

A template is text with actions in braces: ``{.metadata.name}``, ``{range .items[*]}{.metadata.name}{"\\n"}{end}``.
https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

from __future__ import annotations

from kubelab.apimachinery.jsonpath.evaluate import JSONPath
from kubelab.apimachinery.jsonpath.nodes import JSONPathError

__all__ = ["JSONPath", "JSONPathError"]
