"""From the selectors of a request to a :class:`~kubelab.apiserver.watchcache.changes.Selection`."""

from __future__ import annotations

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, fields, labels
from kubelab.apiserver import limits
from kubelab.apiserver.watchcache.changes import Kind, Selection


def parse_selection(kind: Kind, namespace: str, options: meta_pb2.ListOptions) -> Selection:
    """Parse what a list or watch asks for; BadRequest for a bad selector or a field that cannot be selected."""
    limits.check_text(options.labelSelector)
    limits.check_text(options.fieldSelector)
    try:
        by_label = labels.parse(options.labelSelector) if options.labelSelector else None
        by_field = fields.parse(options.fieldSelector) if options.fieldSelector else None
    except (labels.SelectorError, fields.FieldSelectorError) as err:
        raise errors.BadRequest(str(err)) from err
    limits.check_terms(by_label, by_field)
    if by_field is not None:
        supported = kind.selectable_fields(kind.resource.new())
        for term in by_field.terms:
            if term.field not in supported:
                raise errors.BadRequest(fields.unsupported(term.field, supported))
    return Selection(namespace, by_label or None, by_field or None)
