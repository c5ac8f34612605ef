"""Requests for methods: sensible ones with a few changes, made-up ones, and bytes that are none.

The n-th request of a seed depends on the seed, on n, and on the names that answers have brought so far.
"""

from __future__ import annotations

import contextlib
import io
import random
import tarfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message

from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import scheme
from kubelab.apimachinery.messages import deep_copy
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as api
from kubelab.rpc.runtime.v1 import images_pb2
from tests.fuzz.messages import Maker
from tests.fuzz.objects import SEEDS
from tests.fuzz.rpcs import Rpc
from tests.fuzz.values import HOSTILE

DOCKERFILES = (
    'FROM host\nCOPY f /f\nCMD ["cat", "/f"]\n',
    "FROM host\nRUN true\nWORKDIR /srv\nENV A=b\n",
    "ARG A=b\nFROM host AS one\nFROM one\nCOPY --from=one /etc /etc\n",
    "FROM host\nRUN <<EOF\necho\nEOF\n",
    "FROM nothing:here\n",
)
IMAGE = "fuzz-base:1"  # one that is there
_IDS = ("pod_sandbox_id", "container_id")
SHOWN = "/usr/share"  # of the machine, in containers, read-only
_NAMES = ("id", "pod_sandbox_id", "container_id", "image_ref", "name", "uid")  # fields of answers worth asking about


@dataclass
class Memory:
    """Names that answers have brought: of sandboxes and containers, and whole objects by their kind."""

    names: deque[str] = field(default_factory=lambda: deque[str](maxlen=200))
    ids: dict[str, deque[str]] = field(default_factory=lambda: {name: deque[str](maxlen=8) for name in _IDS})
    objects: dict[str, deque[Message]] = field(default_factory=dict[str, deque[Message]])

    def learn(self, answer: Message) -> None:
        for part in _parts(answer, 3):
            if isinstance(part, AnyMessage):
                self._keep(part)
            for name in _NAMES:
                value = getattr(part, name, None)
                if isinstance(value, str) and value:
                    self.names.append(value)
                    if name in self.ids:
                        self.ids[name].append(value)

    def _keep(self, part: AnyMessage) -> None:
        resource = scheme.by_type_url(part.type_url)
        if resource is not None:
            with contextlib.suppress(DecodeError):
                obj: Any = resource.message.FromString(part.value)
                obj.metadata.resourceVersion = ""
                self.objects.setdefault(resource.plural, deque(maxlen=20)).append(obj)

    def id(self, name: str, pick: random.Random) -> str:
        """The latest of a field, mostly."""
        ids = self.ids[name] if pick.random() < 0.9 else self.names
        return pick.choice(ids) if ids else "none"

    def one_of(self, plural: str, pick: random.Random) -> Message:
        """An object of this kind: one that is there, or was, or the seed."""
        objects = self.objects.get(plural)
        return pick.choice(objects) if objects and pick.random() < 0.7 else SEEDS[plural]


def _parts(message: Any, depth: int) -> Iterator[Any]:
    yield message
    if depth == 0:
        return
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None or descriptor.message_type.GetOptions().map_entry:
            continue
        for part in list(value)[:20] if descriptor.is_repeated else [value]:
            yield from _parts(part, depth - 1)


class Requests:
    """Makes the bytes of requests."""

    def __init__(self, pick: random.Random, memory: Memory) -> None:
        self._pick, self._memory = pick, memory
        self._maker = Maker(
            pick, wild=pick.choice((0.05, 0.3, 0.7)), dense=pick.choice((0.3, 0.6)), fill=self._fill, names=self.text
        )

    def make(self, rpc: Rpc) -> list[bytes]:
        """The messages of one call, encoded, or what stands in their place."""
        count = self._pick.choice((1, 1, 2, 3, 5)) if rpc.many_requests else 1
        messages = [self._message(rpc, n) for n in range(count)]
        for message in messages:
            _keep_inside(message)
        raw = [message.SerializeToString() for message in messages]
        if self._pick.random() < 0.12:
            n = self._pick.randrange(len(raw))
            raw[n] = broken(raw[n], self._pick)
        return raw

    def _message(self, rpc: Rpc, n: int) -> Message:
        if rpc.request is images_pb2.BuildRequest and self._pick.random() < 0.9:
            return self._build(n)
        if rpc.request is images_pb2.LoadRequest and self._pick.random() < 0.9:
            return images_pb2.LoadRequest(chunk=archive(self._pick))
        seeds = cri_request(rpc.request, self._pick, self._memory)
        if seeds is not None and self._pick.random() < 0.7:
            return self._of_a_kubelet(seeds)
        seeds = seeds or sensible(rpc.request, self._pick, self._memory)
        if seeds is None or self._pick.random() < 0.15:
            return self._maker.make(rpc.request)
        if isinstance(seeds, api.CreateRequest | api.UpdateRequest) and self._pick.random() < 0.8:
            seeds.object.CopyFrom(self._packed(seeds.object))  # and the rest stays as it should be
            return seeds
        return self._maker.change(seeds, self._pick.randrange(0, 6))

    def _of_a_kubelet(self, request: Any) -> Message:
        """Change a request's configuration alone: the names are those of what is there."""
        if hasattr(request, "config"):
            request.config.CopyFrom(self._maker.change(request.config, self._pick.randrange(0, 4)))
        elif hasattr(request, "cmd") and self._pick.random() < 0.5:
            request.cmd[:] = self._pick.choices(HOSTILE, k=self._pick.randrange(3))
        return request

    def _build(self, n: int) -> Message:
        if n:
            return images_pb2.BuildRequest(context_chunk=archive(self._pick))
        text = self._pick.choice(DOCKERFILES)
        if self._pick.random() < 0.5:
            at = self._pick.randrange(len(text))
            text = text[:at] + self._pick.choice(HOSTILE) + text[at + self._pick.randrange(4) :]
        return images_pb2.BuildRequest(plan=images_pb2.BuildRequest.Plan(dockerfile=text, tags=["fuzz:1"]))

    def _fill(self, message: Any) -> bool:
        """Fill the messages that mean nothing when they are made up field by field."""
        kind = message.DESCRIPTOR.full_name
        if kind == AnyMessage.DESCRIPTOR.full_name:
            message.CopyFrom(self._packed(message))
        elif kind == api.ResourcePath.DESCRIPTOR.full_name and self._pick.random() < (0.3 if message.resource else 0.8):
            message.CopyFrom(path_of(SEEDS[self._pick.choice([*SEEDS])]))
        else:
            return False
        return True

    def _packed(self, before: AnyMessage) -> AnyMessage:
        """An object as a request carries it, mostly of the kind that was there, or what should be one."""
        resource = scheme.by_type_url(before.type_url)
        obj: Message = SEEDS[self._pick.choice([*SEEDS])]
        if resource is not None and self._pick.random() < 0.9:
            with contextlib.suppress(DecodeError):
                obj = resource.message.FromString(before.value)
        packed = scheme.pack(self._maker.change(obj, self._pick.randrange(0, 6)))
        match self._pick.randrange(12):
            case 0:
                packed.value = broken(packed.value, self._pick)
            case 1:
                packed.type_url = self._pick.choice((*HOSTILE, scheme.PODS.type_url))
            case _:
                pass
        return packed

    def text(self, name: str) -> str | None:
        """A name that an answer has brought, for a field that asks for one."""
        if self._memory.names and name.endswith(("id", "name", "image", "process")) and self._pick.random() < 0.5:
            return self._pick.choice(self._memory.names)
        return None


def sensible(kind: type[Message], pick: random.Random, memory: Memory) -> Message | None:
    """A request of this type that a well-meaning client would send; None where the fields say enough."""
    plural = pick.choice([*SEEDS])
    seed: Any = memory.one_of(plural, pick)
    if kind is api.CreateRequest:
        seed = _of_another_name(SEEDS[plural], pick) if pick.random() < 0.8 else SEEDS[plural]
    path = path_of(seed)
    make: dict[type[Message], Callable[[], Message]] = {
        api.GetRequest: lambda: api.GetRequest(path=path),
        api.ListRequest: lambda: _asking(api.ListRequest(path=_collection(path)), pick),
        api.WatchRequest: lambda: _asking(api.WatchRequest(path=_collection(path)), pick),
        api.CreateRequest: lambda: api.CreateRequest(path=_collection(path), object=scheme.pack(seed)),
        api.UpdateRequest: lambda: _update(path, seed, pick),
        api.DeleteRequest: lambda: api.DeleteRequest(path=path),
        api.DeleteCollectionRequest: lambda: api.DeleteCollectionRequest(path=_collection(path)),
        api.PodLogsRequest: lambda: api.PodLogsRequest(namespace="default", name="web"),
        api.AuditRecordsRequest: lambda: api.AuditRecordsRequest(resource="pods", namespace="default", name="web"),
    }
    return make[kind]() if kind in make else None


def cri_request(kind: type[Message], pick: random.Random, memory: Memory) -> Message | None:
    """A request that a kubelet would send to its runtime; None for one that is made of fields alone."""
    uid = f"u-{pick.randrange(10**6)}"
    sandbox = cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(name="web", uid=uid, namespace="default"),
        hostname="web",
        dns_config=cri.DNSConfig(servers=["10.96.0.10"], searches=["svc.cluster.local"]),
        linux=cri.LinuxPodSandboxConfig(cgroup_parent=f"kubepods/pod{uid}", sysctls={"net.core.somaxconn": "128"}),
    )
    container = cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name=f"main-{pick.randrange(1000)}"),
        image=cri.ImageSpec(image=IMAGE),
        command=["sleep", "2"],
        envs=[cri.KeyValue(key="A", value="b")],
        mounts=[cri.Mount(container_path="/mnt", host_path=SHOWN)],
        linux=cri.LinuxContainerConfig(
            resources=cri.LinuxContainerResources(cpu_shares=100, memory_limit_in_bytes=64 << 20),
            security_context=cri.LinuxContainerSecurityContext(
                capabilities=cri.Capability(drop_capabilities=["ALL"]), run_as_user=cri.Int64Value(value=1000)
            ),
        ),
    )
    pod, known = (memory.id(name, pick) for name in _IDS)
    make: dict[type[Message], Callable[[], Message]] = {
        cri.UpdateRuntimeConfigRequest: lambda: cri.UpdateRuntimeConfigRequest(
            runtime_config=cri.RuntimeConfig(network_config=cri.NetworkConfig(pod_cidr="10.244.9.0/24"))
        ),
        cri.RunPodSandboxRequest: lambda: cri.RunPodSandboxRequest(config=sandbox),
        cri.CreateContainerRequest: lambda: cri.CreateContainerRequest(
            pod_sandbox_id=pod, config=container, sandbox_config=sandbox
        ),
        cri.StartContainerRequest: lambda: cri.StartContainerRequest(container_id=known),
        cri.ExecSyncRequest: lambda: cri.ExecSyncRequest(container_id=known, cmd=["true"], timeout=2),
        cri.ContainerStatusRequest: lambda: cri.ContainerStatusRequest(container_id=known),
        cri.StopContainerRequest: lambda: cri.StopContainerRequest(container_id=known),
    }
    return make[kind]() if kind in make else None


def _keep_inside(message: Any) -> None:
    """A runtime does to the machine what its kubelet says: let it say only what leaves the machine as it is."""
    if isinstance(message, cri.RunPodSandboxRequest | cri.CreateContainerRequest):
        config = message.config
        for mount in getattr(config, "mounts", ()):
            mount.host_path, mount.readonly = SHOWN, True
        if isinstance(message, cri.RunPodSandboxRequest):
            message.config.log_directory = ""
        resources = config.linux.resources
        resources.cpu_period = 0
        if resources.cpu_quota > 0:  # with less of a processor a container's start takes longer than a call may
            resources.cpu_quota = max(resources.cpu_quota, 20_000)


def _of_another_name(obj: Any, pick: random.Random) -> Any:
    """The object under a name that is probably free."""
    copy = deep_copy(obj)
    copy.metadata.name = f"{obj.metadata.name}-{pick.randrange(10**6)}"
    if "clusterIP" in getattr(copy, "spec", core_pb2.PodSpec()).DESCRIPTOR.fields_by_name:
        copy.spec.ClearField("clusterIP")
        copy.spec.ports[0].nodePort = 0
    return copy


def path_of(obj: Any, subresource: str = "") -> api.ResourcePath:
    resource = scheme.of_object(obj)
    return api.ResourcePath(
        group=resource.group,
        version=resource.version,
        resource=resource.plural,
        namespace=obj.metadata.namespace,
        name=obj.metadata.name,
        subresource=subresource,
    )


def _collection(path: api.ResourcePath) -> api.ResourcePath:
    copy = deep_copy(path)
    copy.name = ""
    return copy


def _asking(request: Any, pick: random.Random) -> Any:
    options = request.options
    match pick.randrange(5):
        case 0:
            options.labelSelector = pick.choice(("app=web", "app in (a,b),!c", "a!=b", "a>1"))
        case 1:
            options.fieldSelector = pick.choice(("metadata.name=web", "status.phase!=Running", "spec.nodeName="))
        case 2:
            options.limit = 1
        case 3:
            request.table.SetInParent()
        case _:
            pass
    return request


def _update(path: api.ResourcePath, seed: Any, pick: random.Random) -> Message:
    resource = scheme.of_object(seed)
    path.subresource = pick.choice(("", *resource.subresources))
    if path.subresource == "scale":
        scale = autoscaling_pb2.Scale(spec=autoscaling_pb2.ScaleSpec(replicas=1))
        scale.metadata.name = path.name
        return api.UpdateRequest(path=path, object=scheme.pack(scale))
    return api.UpdateRequest(path=path, object=scheme.pack(seed))


def archive(pick: random.Random) -> bytes:
    """A small tar, whole or not."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for _ in range(pick.randrange(4)):
            name = pick.choice(("f", "manifest.json", "index.json", "oci-layout", "a/b", *HOSTILE)).replace("\0", "")
            entry = tarfile.TarInfo(name[:90] or "e")
            entry.type = pick.choice((tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE))
            content = pick.choice((b"[]", b"{}", b'[{"Config": "c", "Layers": ["../l"]}]', b"x"))
            if entry.type == tarfile.REGTYPE:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
            else:
                entry.linkname = pick.choice(("f", "../../x", "/etc"))
                tar.addfile(entry)
    raw = out.getvalue()
    return broken(raw, pick) if pick.random() < 0.3 else raw


def broken(raw: bytes, pick: random.Random) -> bytes:
    """Bytes near a message: flipped, cut, doubled, prefixed, nested, or made up."""
    data = bytearray(raw)
    match pick.randrange(7):
        case 0:
            for _ in range(pick.randrange(1, 8)):
                if data:
                    data[pick.randrange(len(data))] = pick.randrange(256)
        case 1:
            del data[pick.randrange(len(data) + 1) :]
        case 2:
            at = pick.randrange(len(data) + 1)
            data[at:at] = data[pick.randrange(len(data) + 1) :][:200]
        case 3:
            data[:0] = b"\x0a\xff\xff\xff\xff\x0f"  # a field that is longer than everything
        case 4:
            data = bytearray(nested(pick.choice((50, 99, 100, 101, 500, 5000))))
        case 5:
            data = bytearray(pick.randbytes(pick.choice((0, 1, 16, 300))))
        case _:
            data += b"\x0a\x03\xed\xa0\x80"  # half of a surrogate pair, which no UTF-8 has
    return bytes(data)


def nested(depth: int) -> bytes:
    """Field 1 in field 1 in field 1 …"""
    raw = b""
    for _ in range(depth):
        raw = b"\x0a" + _varint(len(raw)) + raw
    return raw


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def metadata(pick: random.Random) -> Sequence[tuple[str, str | bytes]]:
    """Headers that a client might send, mostly none."""
    if pick.random() < 0.8:
        return ()
    keys = ("traceparent", "kubelab-caller", "kubelab-cause", "kubelab-fence", "x-odd", "grpc-timeout-x")
    values = ("", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "00-x-y-z", "a" * 2000, "1/2/3", "~" * 100, "{}")
    return [(pick.choice(keys), pick.choice(values)), ("odd-bin", pick.randbytes(8))]
