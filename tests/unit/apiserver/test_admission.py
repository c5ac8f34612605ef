"""The admission chain: which plugins see a request, in which order, and what they may do."""

from __future__ import annotations

from typing import ClassVar

import pytest
from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.meta import meta_of
from kubelab.apiserver.admission.chain import NO_ADMISSION, AdmissionChain, AdmissionPlugin
from kubelab.auth.attributes import Attributes
from kubelab.auth.users import User

USER = User("somebody", frozenset())


class Labels(AdmissionPlugin):
    """Labels new config maps, and refuses one that somebody else has labelled differently since."""

    name: ClassVar[str] = "Labels"

    def __init__(self, key: str, calls: list[str]) -> None:
        self._key, self._calls = key, calls

    def handles(self, a: Attributes) -> bool:
        return a.resource == "configmaps" and a.verb == "create"

    def admit(self, a: Attributes, new: Message | None, old: Message | None) -> None:
        assert new is not None
        self._calls.append(f"admit {self._key}")
        meta_of(new).labels[self._key] = str(len(self._calls))

    def validate(self, a: Attributes, new: Message | None, old: Message | None) -> None:
        assert new is not None
        self._calls.append(f"validate {self._key}")
        if len(meta_of(new).labels) != 2:
            raise errors.forbidden(a.resource, a.name, "a label is missing")


def test_every_plugin_admits_before_the_first_one_validates() -> None:
    calls: list[str] = []
    chain = AdmissionChain([Labels("first", calls), Labels("second", calls)])
    admission = chain.of(Attributes(USER, "create", resource="configmaps"))
    obj = core_pb2.ConfigMap()
    admission.admit(obj, None)
    admission.validate(obj, None)
    assert calls == ["admit first", "admit second", "validate first", "validate second"]
    assert dict(obj.metadata.labels) == {"first": "1", "second": "2"}


def test_a_plugin_refuses_what_would_be_stored() -> None:
    chain = AdmissionChain([Labels("only", [])])
    admission = chain.of(Attributes(USER, "create", resource="configmaps", name="c"))
    obj = core_pb2.ConfigMap()
    admission.admit(obj, None)
    with pytest.raises(errors.Forbidden, match='configmaps "c" is forbidden: a label is missing'):
        admission.validate(obj, None)


@pytest.mark.parametrize(("verb", "resource"), [("get", "configmaps"), ("update", "configmaps"), ("create", "secrets")])
def test_a_request_that_no_plugin_handles_has_no_admission(verb: str, resource: str) -> None:
    assert AdmissionChain([Labels("a", [])]).of(Attributes(USER, verb, resource=resource)) is NO_ADMISSION
