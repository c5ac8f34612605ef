"""The label selectors that objects have as a message, ``matchLabels`` and ``matchExpressions``.

After apimachinery's ``LabelSelectorAsSelector`` and ``FormatLabelSelector`` (``pkg/apis/meta/v1/helpers.go``,
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#resources-that-support-set-based-requirements).
An empty selector takes everything; one that is not set takes nothing, which callers see by ``HasField``.
"""

from __future__ import annotations

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.labels import Requirement, Selector, SelectorError

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
_NOTHING = Selector((Requirement("", "in"),))


def as_selector(selector: meta_pb2.LabelSelector) -> Selector:
    """Give the requirements of a selector, by key. Raises SelectorError for an operator that there is not."""
    requirements = [Requirement(key, "=", (value,)) for key, value in selector.matchLabels.items()]
    for expression in selector.matchExpressions:
        operator = _OPERATORS.get(expression.operator)
        if operator is None:
            raise SelectorError(f'"{expression.operator}" is not a valid label selector operator')
        requirements.append(Requirement(expression.key, operator, tuple(expression.values)))
    return Selector(tuple(sorted(requirements, key=lambda requirement: requirement.key)))


def of_stored(selector: meta_pb2.LabelSelector) -> Selector:
    """Give the requirements of a stored object's selector; one that no api-server would store selects nothing."""
    try:
        return as_selector(selector)
    except SelectorError:
        return _NOTHING


def text(selector: meta_pb2.LabelSelector) -> str:
    """``app=web,tier in (a,b)``, as people and list options read it; ``<none>`` for an empty one."""
    try:
        return str(as_selector(selector)) or "<none>"
    except SelectorError:
        return "<error>"
