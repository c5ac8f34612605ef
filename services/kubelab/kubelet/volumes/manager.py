"""One pod's volumes: set up before its containers start, kept current while they run.

Part of a pod's worker: never in two tasks for one pod, except that :meth:`PodVolumes.prepare` runs beside the making of
the sandbox, which the worker awaits as well. What is parallel: the volumes of the pod.

::

    prepare ─▶ all set up ◀─ an object changed, the pod changed, a token is due ─┐
       │ something is missing        │ everything written                       │
       ▼                             ▼                                          │
    FailedMount, tried again   containers start, or go on ──────────────────────┘
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TypeVar, cast

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.backoff import ExponentialBackoff
from kubelab.apimachinery.core.podreferences import volume_config_map_names, volume_secret_names
from kubelab.apimachinery.scheme import CONFIG_MAPS, SECRETS, Resource
from kubelab.kubelet.dependencies import Dependencies
from kubelab.kubelet.pods.state import PodState, WorkerLoop
from kubelab.kubelet.volumes import atomicwriter, emptydir, hostpath, ownership, payloads, subpaths
from kubelab.kubelet.volumes.errors import VolumeError
from kubelab.kubelet.volumes.objects import Reference
from kubelab.kubelet.volumes.payloads import FILES, Given
from kubelab.kubelet.volumes.tokens import Tokens

T = TypeVar("T", bound=Message)
RETRY = ExponentialBackoff(0.5, 122.0)
FOLDER_MODE = 0o777


class NotMounted(Exception):
    """The pod's containers have to wait for a volume; it is tried again at ``retry_at``, seconds since the epoch."""

    def __init__(self, retry_at: float) -> None:
        super().__init__("volumes are not mounted")
        self.retry_at = retry_at


class PodVolumes:
    """See the module."""

    def __init__(self, state: PodState, deps: Dependencies, loop: WorkerLoop) -> None:
        self._state, self._deps, self._loop = state, deps, loop
        self._tokens = Tokens(deps.client, deps.clock)
        self._folders: dict[str, Path] = {}
        self._failures = 0
        self._retry_at = 0.0
        self._complete = False
        self._dirty = False
        self._of_version = ""
        self._shown: tuple[dict[str, str], dict[str, str]] = {}, {}

    def changed(self) -> None:
        """Something that a volume shows may be another now: look before anything else is done."""
        self._dirty = True

    async def prepare(self) -> None:
        """Set up what is not, or is not current; what fails is told as an event and kept for :meth:`folders`."""
        pod, now = self._pod, self._deps.clock.time()
        if pod.metadata.resourceVersion != self._of_version:
            self._of_version = pod.metadata.resourceVersion
            labels, annotations = dict(pod.metadata.labels), dict(pod.metadata.annotations)
            if (labels, annotations) != self._shown:  # all that may change of what a volume shows of its pod
                self._shown = labels, annotations
                self._dirty |= any(_shows_pod(volume.volumeSource) for volume in pod.spec.volumes)
        due = self._tokens.refresh_at
        missing = not self._complete or (due is not None and now >= due)
        if not self._dirty and not (missing and now >= self._retry_at):
            return
        self._dirty = False
        try:
            await self._set_up_all(pod, now)
        except BaseException:  # cancelled, where the sandbox failed: it is looked at again
            self._dirty = True
            raise

    async def _set_up_all(self, pod: core_pb2.Pod, now: float) -> None:
        mounted = _mounted(pod)
        volumes = [v for v in pod.spec.volumes if v.name in mounted and (not self._complete or _kind(v) in FILES)]
        if volumes:
            self._deps.objects.use(pod.metadata.uid, _references(pod, mounted))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._try(pod, volume), name=f"volume {volume.name}") for volume in volumes]
        self._settle(all(task.result() for task in tasks), now)

    def _settle(self, succeeded: bool, now: float) -> None:
        if succeeded:
            self._complete, self._failures, self._retry_at = True, 0, 0.0
        else:
            self._failures += 1
            self._retry_at = now + RETRY.delay(self._failures)
        wake_at = self._tokens.refresh_at if succeeded else self._retry_at
        if wake_at is not None:
            self._loop.wake(self._state.ref.uid, max(wake_at - now, 0.0))

    async def folders(self) -> Mapping[str, Path]:
        """The folder of each volume that a container mounts, by name. NotMounted where one is not there."""
        await self.prepare()
        if not self._complete:
            raise NotMounted(self._retry_at)
        return self._folders

    async def sub_paths(self, container: core_pb2.Container, paths: Mapping[int, str]) -> Mapping[int, Path]:
        """Mount the parts of volumes that a container asks for. ``paths`` and the answer are by the number of the
        container's mount. VolumeError, OSError."""
        uid, found = self._pod.metadata.uid, dict[int, Path]()
        for number, path in paths.items():
            name = container.volumeMounts[number].name
            place = self._deps.folders.sub_path(uid, name, container.name, number)
            if name not in self._folders:
                raise VolumeError(f'cannot find volume "{name}" to mount into container "{container.name}"')
            work = functools.partial(subpaths.bind, self._folders[name], path, place)
            await asyncio.to_thread(self._deps.machine.do, work)
            found[number] = place
        return found

    async def tear_down(self) -> None:
        """Take everything away. OSError."""
        uid = self._state.ref.uid
        self._deps.objects.use(uid, ())
        await asyncio.to_thread(self._deps.folders.tear_down, uid, self._deps.machine)

    async def _try(self, pod: core_pb2.Pod, volume: core_pb2.Volume) -> bool:
        try:
            self._folders[volume.name] = await self._set_up(pod, volume)
        except (VolumeError, errors.ApiError, OSError, ValueError) as err:
            text = f'MountVolume.SetUp failed for volume "{volume.name}" : {err}'
            self._deps.events.mount_failed(pod, text)
            self._deps.log.warning("volume is not mounted", pod=pod.metadata.name, volume=volume.name, error=str(err))
            return False
        return True

    async def _set_up(self, pod: core_pb2.Pod, volume: core_pb2.Volume) -> Path:
        deps, kind, uid = self._deps, _kind(volume), pod.metadata.uid
        source = volume.volumeSource
        if kind == "hostPath":
            path = source.hostPath.path
            check = functools.partial(hostpath.set_up, path, source.hostPath.type)
            await asyncio.to_thread(deps.machine.do, check)
            return Path(path)
        await asyncio.to_thread(deps.folders.make, uid)
        if kind == "emptyDir":
            folder = deps.folders.volume(uid, kind, volume.name)
            ready = deps.folders.ready(uid, kind, volume.name)
            await asyncio.to_thread(emptydir.set_up, folder, ready, pod, source.emptyDir, deps.machine)
            return folder
        if kind not in FILES:
            raise VolumeError(f"kubelab mounts no volumes of the type {kind}")
        folder = deps.folders.volume(uid, kind, volume.name)
        files = payloads.files_of(source, await self._given(pod, volume))
        await asyncio.to_thread(_write, folder, files, pod, _nested(pod, volume.name), deps.clock.time())
        return folder

    async def _given(self, pod: core_pb2.Pod, volume: core_pb2.Volume) -> Given:
        """Read what a volume shows. ApiErrors; VolumeError."""
        source = volume.volumeSource
        try:
            async with asyncio.TaskGroup() as group:
                run = group.create_task
                config_maps = {n: run(self._find(CONFIG_MAPS, n)) for n in volume_config_map_names(source)}
                secrets = {n: run(self._find(SECRETS, n)) for n in volume_secret_names(source)}
                tokens = {
                    number: run(self._tokens.get(pod, volume.name, number, part.serviceAccountToken))
                    for number, part in enumerate(source.projected.sources)
                    if part.HasField("serviceAccountToken")
                }
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        return Given(
            pod,
            {name: found for name, task in config_maps.items() if (found := task.result()) is not None},
            {name: found for name, task in secrets.items() if (found := task.result()) is not None},
            {number: task.result() for number, task in tokens.items()},
            self._deps.node.allocatable,
            ownership.user_of(pod),
            ownership.group_of(pod),
        )

    async def _find(self, resource: Resource[T], name: str) -> T | None:
        reference = Reference(cast("Resource[Message]", resource), self._pod.metadata.namespace, name)
        return cast("T | None", await self._deps.objects.get(reference))

    @property
    def _pod(self) -> core_pb2.Pod:
        assert self._state.pod is not None, "only a pod that the api-server has gets volumes"
        return self._state.pod


def _kind(volume: core_pb2.Volume) -> str:
    """The name of the volume's source; the api-server lets exactly one in."""
    return next((field.name for field, _ in volume.volumeSource.ListFields()), "emptyDir")


def _shows_pod(source: core_pb2.VolumeSource) -> bool:
    """Whether a volume has fields of its pod, which may change."""
    return source.HasField("downwardAPI") or any(part.HasField("downwardAPI") for part in source.projected.sources)


def _mounted(pod: core_pb2.Pod) -> set[str]:
    """The names of the volumes that a container mounts; others are left alone, as upstream leaves them."""
    return {mount.name for container in pod.spec.containers for mount in container.volumeMounts}


def _references(pod: core_pb2.Pod, mounted: set[str]) -> set[Reference]:
    found: set[Reference] = set()
    for volume in pod.spec.volumes:
        if volume.name in mounted:
            for resource, names in ((CONFIG_MAPS, volume_config_map_names), (SECRETS, volume_secret_names)):
                of_any = cast("Resource[Message]", resource)
                found |= {Reference(of_any, pod.metadata.namespace, name) for name in names(volume.volumeSource)}
    return found


def _nested(pod: core_pb2.Pod, name: str) -> set[str]:
    """Where in a volume other volumes are mounted: a container cannot make these places, it may only read here."""
    places: set[str] = set()
    for container in pod.spec.containers:
        paths = [(m.name, m.subPath or m.subPathExpr, PurePosixPath("/", m.mountPath)) for m in container.volumeMounts]
        for own in (path for volume, part, path in paths if volume == name and not part):
            inside = (p.relative_to(own) for _, _, p in paths if p != own and p.is_relative_to(own))
            places |= {str(place) for place in inside if ".." not in place.parts}
    return places


def _write(folder: Path, files: payloads.Files, pod: core_pb2.Pod, nested: set[str], now: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(FOLDER_MODE)
    group = ownership.group_of(pod)
    atomicwriter.write(folder, files, now, functools.partial(ownership.give, group=group, read_only=True))
    for place in nested:
        (folder / place).mkdir(parents=True, exist_ok=True)
