"""The contract against the facts of Kubernetes 1.32 in ``upstream-1.32.txt``, and the tables made of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2
from kubelab.api.apiextensions.v1 import apiextensions_pb2
from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.authentication.v1 import authentication_pb2
from kubelab.api.authorization.v1 import authorization_pb2
from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.api.autoscaling.v2 import autoscaling_pb2 as autoscaling_v2_pb2
from kubelab.api.batch.v1 import batch_pb2
from kubelab.api.certificates.v1 import certificates_pb2
from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.api.core.v1 import (
    componentstatuses_pb2,
    core_pb2,
    limits_pb2,
    persistentvolumes_pb2,
    podtemplates_pb2,
    probes_pb2,
    references_pb2,
    scheduling_pb2,
    serviceaccounts_pb2,
    volumes_pb2,
)
from kubelab.api.discovery.v1 import discovery_pb2
from kubelab.api.flowcontrol.v1 import flowcontrol_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.api.networking.v1 import networking_pb2
from kubelab.api.policy.v1 import policy_pb2
from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.api.scheduling.v1 import scheduling_pb2 as priorities_pb2
from kubelab.api.tables import immutability, marks, merging, schema, spelling

API = "kubelab.api."
FILES = (
    admissionregistration_pb2,
    apiextensions_pb2,
    apps_pb2,
    authentication_pb2,
    authorization_pb2,
    autoscaling_pb2,
    autoscaling_v2_pb2,
    batch_pb2,
    certificates_pb2,
    componentstatuses_pb2,
    coordination_pb2,
    core_pb2,
    discovery_pb2,
    flowcontrol_pb2,
    limits_pb2,
    meta_pb2,
    networking_pb2,
    persistentvolumes_pb2,
    podtemplates_pb2,
    policy_pb2,
    priorities_pb2,
    probes_pb2,
    rbac_pb2,
    references_pb2,
    scheduling_pb2,
    serviceaccounts_pb2,
    volumes_pb2,
)
TABLES: tuple[ModuleType, ...] = (immutability, marks, merging, schema, spelling)
NOT_SERVED = {"core.v1.PodLogOptions": {"insecureSkipTLSVerifyBackend", "stream"}}  # not acted on, and so not taken
SCALARS = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_STRING: "string",
}


class Fact(NamedTuple):
    """A field: its number, its type as ``upstream-1.32.txt`` writes it, and the words after that."""

    number: int
    type: str
    said: frozenset[str]


def facts() -> tuple[dict[str, dict[str, Fact]], frozenset[str]]:
    """Give the fields by message and name, and the messages that are atomic."""
    messages: dict[str, dict[str, Fact]] = {}
    atomic: set[str] = set()
    fields: dict[str, Fact] = {}
    for line in Path(__file__).with_name("upstream-1.32.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        if not line.startswith(" "):
            name, *words = line.split()
            fields = messages[name] = {}
            atomic |= {name} if words else set()
        else:
            number, name, kind, *words = line.split()
            fields[name] = Fact(int(number), kind, frozenset(words))
    return messages, frozenset(atomic)


UPSTREAM, ATOMIC = facts()


def messages() -> Iterator[Descriptor]:
    for file in FILES:
        yield from file.DESCRIPTOR.message_types_by_name.values()


def short(full_name: str) -> str:
    return full_name.removeprefix(API)


def type_of(field: FieldDescriptor) -> str:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return f"map<string,{type_of(kind.fields_by_name['value'])}>"
    name = short(kind.full_name) if kind is not None else SCALARS[field.type]
    if field.is_repeated:
        return f"repeated_{name}"
    return f"optional_{name}" if kind is None and field.has_presence else name


def said_of(field: FieldDescriptor) -> frozenset[str]:
    name = field.full_name
    flags = {
        "inline": spelling.INLINE,
        "always": spelling.ALWAYS,
        "required": schema.REQUIRED,
        "atomic": merging.ATOMIC,
    }
    said = {word for word, table in flags.items() if name in table}
    said |= {f"json={field.json_name}"} if field.json_name != field.name else set()
    for word, table in (("patch", merging.PATCH), ("key", merging.MERGE_KEY)):
        said |= {f"{word}={table[name]}"} if name in table else set()
    if name in merging.LIST_TYPE:
        keys = ",".join(merging.LIST_KEYS.get(name, ()))
        said.add(f"list={merging.LIST_TYPE[name]}" + (f":{keys}" if keys else ""))
    return frozenset(said)


OURS = {short(message.full_name): message for message in messages()}


@pytest.mark.parametrize("name", UPSTREAM)
def test_every_message_has_the_fields_of_upstream(name: str) -> None:
    ours = {f.name: Fact(f.number, type_of(f), said_of(f)) for f in OURS[name].fields}
    expected = {field: fact for field, fact in UPSTREAM[name].items() if field not in NOT_SERVED.get(name, ())}
    assert ours == expected
    assert (OURS[name].full_name in merging.ATOMIC_MESSAGE) == (name in ATOMIC)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_every_line_of_a_table_names_a_field_or_message_that_exists(table: ModuleType) -> None:
    known = {m.full_name for m in messages()} | {f.full_name for m in messages() for f in m.fields}
    for option, lines in vars(table).items():
        if option.isupper():
            assert set(lines) <= known, option
