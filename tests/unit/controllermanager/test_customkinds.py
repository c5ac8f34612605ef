"""Which kinds of definitions controllers follow; what they do with their objects is in tests/clients."""

from __future__ import annotations

from kubelab.api.apiextensions.v1 import apiextensions_pb2 as pb
from kubelab.controllermanager.customkinds import resource_of


def definition(*, established: bool = True, scope: str = "Namespaced") -> pb.CustomResourceDefinition:
    crd = pb.CustomResourceDefinition()
    crd.metadata.name, crd.metadata.uid = "gadgets.example.com", "of-gadgets"
    crd.spec.group, crd.spec.scope = "example.com", scope
    names = pb.CustomResourceDefinitionNames(plural="gadgets", singular="gadget", kind="Gadget", listKind="GadgetList")
    crd.spec.names.CopyFrom(names)
    crd.status.acceptedNames.CopyFrom(names)
    for name, stored in (("v1alpha1", False), ("v1", True)):
        version = crd.spec.versions.add(name=name, served=True, storage=stored)
        version.schema.openAPIV3Schema.type = "object"
    crd.status.storedVersions.append("v1")
    crd.status.conditions.add(type="NamesAccepted", status="True")
    crd.status.conditions.add(type="Established", status=str(established))
    return crd


def test_a_kind_is_followed_in_the_version_that_is_stored() -> None:
    found = resource_of(definition())
    assert found is not None
    assert (found.api_version, found.plural, found.kind, found.namespaced) == (
        "example.com/v1",
        "gadgets",
        "Gadget",
        True,
    )
    assert resource_of(definition(established=False)) is None
    terminating = definition()
    terminating.metadata.deletionTimestamp.seconds = 1
    assert resource_of(terminating) is None
