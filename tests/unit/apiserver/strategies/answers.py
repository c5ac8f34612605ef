"""What a resource's rules say to a manifest in which something was changed, written as people read it.

A change maps paths to values: ``{"spec.containers[0].name": "Web", "metadata.labels[a/b]": GONE}``. A number in
brackets is a place in a list (the one after the last appends), anything else there is a key.
"""

from __future__ import annotations

import copy
import enum
import itertools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest
import yaml
from google.protobuf.message import Message

from kubelab.api.core.v1 import serviceaccounts_pb2
from kubelab.apimachinery import scheme
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.manifest.decode import decode
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.admission.chain import AdmissionChain
from kubelab.apiserver.admission.pods import DefaultTolerationSeconds, ServiceAccount
from kubelab.apiserver.admission.priority import Priority
from kubelab.apiserver.resources.table import builtin
from kubelab.apiserver.strategies.base import Strategy
from kubelab.auth.attributes import Attributes
from kubelab.auth.roles import MASTERS
from kubelab.auth.users import User

Change = Mapping[str, object]


class Gone(enum.Enum):
    GONE = "the field is not there"


GONE: Final = Gone.GONE

RULES: dict[str, Any] = {
    storage.resource.plural: storage.strategy
    for storage in builtin()
    if storage.envelope is None  # of a kind in several versions the one that is stored
}
ADMISSION = AdmissionChain(
    [
        ServiceAccount(lambda _, name: serviceaccounts_pb2.ServiceAccount() if name == "default" else None),
        Priority(),
        DefaultTolerationSeconds(),
    ]
)
ADMIN = User("kubernetes-admin", frozenset({MASTERS}))
_STEP = re.compile(r"([^.\[\]]+)|\[([^\]]*)\]")

# What apimachinery says of names, from its util/validation.
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
RFC1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
CONFIG_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
PORT = "must be between 1 and 65535, inclusive"
NOT_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NEGATIVE = "must be greater than or equal to 0"


def table(*rows: tuple[Change, *tuple[str, ...]]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for each row: a change, and every message that it gives, in order."""
    params = [pytest.param(change, list(told), id=_name(change)) for change, *told in rows]
    return pytest.mark.parametrize(("change", "told"), params)


def _name(change: Change) -> str:
    told = (f"no {path}" if value is GONE else f"{path}={value}" for path, value in change.items())
    return (", ".join(told) or "unchanged")[:80].encode("ascii", "backslashreplace").decode()


def changed(manifest: str, *changes: Change) -> tuple[Message, Resource[Message]]:
    """The object of a manifest with these changes, in this order, as a client sends it."""
    tree: Any = yaml.safe_load(manifest)
    for change in changes:
        for path, value in change.items():
            _set(tree, [key or _place(place) for key, place in _STEP.findall(path)], copy.deepcopy(value))
    [document] = decode(json.dumps(tree), "test")
    return document.obj, document.resource


def _place(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


def _set(tree: Any, steps: list[str | int], value: object) -> None:
    for step, following in itertools.pairwise(steps):
        below: Any = [] if isinstance(following, int) else {}
        if isinstance(step, int) and step == len(tree):
            tree.append(below)
        elif not isinstance(step, int) and tree.get(step) is None:
            tree[step] = below
        tree = tree[step]
    last = steps[-1]
    if value is GONE:
        del tree[last]
    elif isinstance(last, int) and last == len(tree):
        tree.append(value)
    else:
        tree[last] = value


def admit(obj: Message, resource: Resource[Message], old: Message | None = None) -> None:
    """Let the admission plugins that every server has complete an object."""
    verb = "create" if old is None else "update"
    ADMISSION.of(Attributes(ADMIN, verb, resource.group, resource.plural)).admit(obj, old)


def stored(manifest: str, *changes: Change) -> Any:
    """The object as a create leaves it."""
    obj, rules = _begun(manifest, *changes)
    admit(obj, scheme.of_object(obj))
    rules.prepare_for_create(obj)
    return obj


def updated(manifest: str, change: Change, before: Change | None = None) -> tuple[Any, Any]:
    """An update of the object, as it is when it is judged, and the object before it."""
    old = stored(manifest, before or {})
    new, rules = _begun(manifest, before or {}, change)
    admit(new, scheme.of_object(new), old)
    rules.prepare_for_update(new, old)
    return new, old


def on_create(manifest: str, change: Change) -> list[str]:
    """What is said of a new object."""
    obj, rules = _begun(manifest, change)
    admit(obj, scheme.of_object(obj))
    rules.prepare_for_create(obj)
    return said(rules.validate(obj))


def on_update(manifest: str, change: Change, before: Change | None = None) -> list[str]:
    """What is said of a change of an object that was created with ``before``."""
    new, old = updated(manifest, change, before)
    return said(_rules(manifest).validate_update(new, old))


def on_status(manifest: str, change: Change, before: Change | None = None) -> list[str]:
    """What is said of a change of the status; ``before`` is another one before it."""
    old = stored(manifest)
    rules = _rules(manifest)
    for wanted in (before, change):
        if wanted is None:
            continue
        new, _ = _begun(manifest, wanted)
        rules.prepare_for_status_update(new, old)
        told = said(rules.validate_status_update(new, old))
        old = new
    return told


def said(causes: list[Cause]) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in causes]


def _rules(manifest: str) -> Strategy[Any]:
    return RULES[changed(manifest)[1].plural]


def _begun(manifest: str, *changes: Change) -> tuple[Any, Strategy[Any]]:
    obj, resource = changed(manifest, *changes)
    rules = RULES[resource.plural]
    rules.default(obj)
    return obj, rules
