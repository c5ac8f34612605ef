"""One request to the api-server, whichever front it came through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.admission.chain import NO_ADMISSION, Admission, AdmissionPlugin
from kubelab.apiserver.flowcontrol.gate import Flow, Ticket
from kubelab.apiserver.registry.fieldtracking import FieldTracking
from kubelab.apiserver.storage.observed import StoreTime
from kubelab.auth.attributes import Attributes
from kubelab.auth.users import User

M = TypeVar("M", bound=Message)


class Content(Protocol):
    """An object as a client sent it, in a form of its front's own. ``warnings`` are known once it is decoded."""

    @property
    def warnings(self) -> Sequence[str]: ...

    def decode(self, message: type[M], resource: Resource[Message], /) -> M:
        """Read it as a message of this type; BadRequest."""
        ...


class RequestPath(NamedTuple):
    """What a request is about. An empty ``version`` is the one that is served."""

    group: str = ""
    version: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""


@dataclass(slots=True, eq=False)
class Request:
    """A front makes it; the request handler and the endpoints fill in what they find out, also for the audit record.

    ``certificate`` is the client's, in PEM, as the TLS handshake verified it, empty where the client showed none.
    ``metadata`` are gRPC's metadata or HTTP's headers, with lower-case keys. ``content`` is the encoded object of a
    write.
    """

    verb: str
    path: RequestPath
    certificate: bytes
    metadata: Iterable[tuple[str, str | bytes]]
    content: AnyMessage | Content | None = None
    field_selector: str = ""

    user: User | None = None
    """As whom it is answered."""
    impersonator: User | None = None
    """Who sent it, where that is another."""
    attributes: Attributes = field(init=False)
    resource: Resource[Message] = field(init=False)
    known: bool = False
    """Whether the resource is one that is served."""
    obj: Message = field(init=False)
    """The object of a write, decoded."""
    admission: Admission = NO_ADMISSION
    policies: AdmissionPlugin | None = None
    """The policies that it must satisfy, which are a part of ``admission``."""
    tracking: FieldTracking | None = None
    """Notes in the object who manages what the request changes."""
    applying: bool = False
    """Whether a part of an object is applied: its managedFields are read with it, and replace those of the object."""
    dry_run: bool = False
    """Whether the request goes through all checks and stores nothing."""
    judged: bool = False
    """Whether its user was found to be one who may send it."""
    created: bool = False
    """Whether a patch has made an object that was not there."""
    limit: int = 0
    """Of a list that is read in pieces: how many objects of it are wanted."""
    flow: Flow | None = None
    """To which schema and priority level it belongs, once that is known."""
    ticket: Ticket | None = None
    """The seats that it has, or waits for."""
    stream: bool | None = None
    """Whether it is counted among its user's streams or among the requests; None: not counted."""
    unsent: int = 0
    """The bytes of its answer, while these are counted."""
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    detail: str = ""
    warnings: Sequence[str] = ()
    annotations: dict[str, str] = field(default_factory=dict[str, str])
    """What policies add to the audit record."""
    store: StoreTime = field(default_factory=StoreTime)

    @property
    def namespace(self) -> str:
        return self.path.namespace

    def wrote(self, obj: Message, revision: int) -> None:
        """Note what a write made."""
        m = meta_of(obj)
        self.name, self.uid, self.resource_version = m.name, m.uid, str(revision)
