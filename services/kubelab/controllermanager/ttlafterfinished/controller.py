"""Delete each Job that ended when its ``ttlSecondsAfterFinished`` are over
(https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/)."""

from __future__ import annotations

from kubelab.api.batch.v1 import batch_pb2
from kubelab.apimachinery.batch.jobs import finished
from kubelab.apimachinery.errors import NotFound
from kubelab.apimachinery.meta import is_terminating
from kubelab.apimachinery.scheme import JOBS
from kubelab.apimachinery.timestamps import from_time
from kubelab.client.controller import Reconciler
from kubelab.client.informer import key_of
from kubelab.controllermanager.context import ControllerContext
from kubelab.rpc import tracing


class TTLAfterFinishedController(Reconciler[str]):
    """Delete Jobs that ended, with all that they own."""

    name = "ttlafterfinished"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client, self._clock = context.client, context.clock
        self._jobs = context.informers.of(JOBS)
        self._jobs.add_handler(on_add=self._changed, on_update=lambda _, new: self._changed(new))

    def enqueue_all(self) -> None:
        """Look at every Job that ended."""
        for job in self._jobs.list():
            self._changed(job)

    def _changed(self, job: batch_pb2.Job) -> None:
        if expires_in(job, self._clock.time()) is not None:
            self._queue.add(key_of(job))

    async def sync(self, key: str) -> None:
        """Delete one Job, or wait until its time is over."""
        job = self._jobs.get(key)
        if job is None or (left := expires_in(job, self._clock.time())) is None:
            return
        if left > 0:
            self._queue.add_after(key, left)
            return
        meta = job.metadata
        with tracing.cause(meta.resourceVersion):
            try:
                live = await self._client.get(JOBS, meta.name, meta.namespace)
                left = expires_in(live, self._clock.time())
                if live.metadata.uid != meta.uid or left is None or left > 0:
                    return  # its time was made longer: the cache will show it
                await self._client.delete(
                    JOBS, meta.name, meta.namespace, uid=meta.uid, propagation_policy="Foreground"
                )
            except NotFound:
                return


def expires_in(job: batch_pb2.Job, now: float) -> float | None:
    """Give the seconds until a Job is to be deleted; None where it has not ended, has no such time, or goes already.
    ``now`` is wall time in seconds."""
    end = finished(job)
    if end is None or not job.spec.HasField("ttlSecondsAfterFinished") or is_terminating(job):
        return None
    return from_time(end.lastTransitionTime) + job.spec.ttlSecondsAfterFinished - now
