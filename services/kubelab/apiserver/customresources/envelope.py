"""How custom objects are stored: in one version, whatever version a request names (conversion ``None``: the objects of
all versions differ in nothing but their apiVersion)."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from kubelab.api.custom.custom_pb2 import CustomObject
from kubelab.apimachinery.patch.values import JSONObject
from kubelab.apimachinery.scheme import Resource
from kubelab.apimachinery.wireformat import delimited
from kubelab.apiserver.customresources.objects import body_of, set_body
from kubelab.apiserver.customresources.schema import Schema
from kubelab.apiserver.customresources.shaping import fill_defaults
from kubelab.apiserver.storage.wire import Envelope


class CustomEnvelope(Envelope):
    """Seals and opens what is stored of one version. ``stored`` is the apiVersion in the store."""

    def __init__(self, resource: Resource[CustomObject], stored: str, schema: Schema) -> None:
        super().__init__(resource)
        self._schema = schema
        # Of a field that is there twice, a reader of protobuf takes the last one.
        self._as_stored = b"" if stored == resource.api_version else delimited(2, stored.encode())
        self._as_served = delimited(2, resource.api_version.encode())

    def seal(self, raw: bytes) -> bytes:
        return super().seal(raw + self._as_stored)

    def open(self, value: bytes) -> bytes:
        """Give the encoded object, in this version, with the defaults that its schema has by now."""
        raw = super().open(value)
        if self._as_stored:
            raw += self._as_served
        return self._defaulted(raw) if self._schema.has_defaults else raw

    def _defaulted(self, raw: bytes) -> bytes:
        try:
            obj = CustomObject.FromString(raw)
            body: JSONObject = body_of(obj)
        except (DecodeError, ValueError) as err:
            raise ValueError(f"what is stored is no {self.resource.kind}: {err}") from err
        before = obj.content
        fill_defaults(body, self._schema)
        set_body(obj, body)
        return raw if obj.content == before else obj.SerializeToString(deterministic=True)
