"""The autoscaler controller, in a whole controller-manager over an api-server in memory: bounds, and no metrics."""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.api.autoscaling.v2 import autoscaling_pb2 as pb
from kubelab.apimachinery.scheme import HORIZONTAL_POD_AUTOSCALERS, REPLICA_SETS
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock
from tests.unit.controllermanager.conftest import Run


def autoscaler(kind: str = "ReplicaSet", low: int = 2, high: int = 4) -> pb.HorizontalPodAutoscaler:
    hpa = pb.HorizontalPodAutoscaler()
    hpa.metadata.name, hpa.metadata.namespace, hpa.metadata.uid = "web", "default", "u"
    hpa.spec.scaleTargetRef.apiVersion, hpa.spec.scaleTargetRef.kind = "apps/v1", kind
    hpa.spec.scaleTargetRef.name = "web"
    hpa.spec.minReplicas, hpa.spec.maxReplicas = low, high
    return hpa


def conditions(server: ApiServerInMemory) -> Mapping[str, tuple[str, str, str]]:
    hpa = server.get(HORIZONTAL_POD_AUTOSCALERS, "default/web")
    return {c.type: (c.status, c.reason, c.message) for c in hpa.status.conditions} if hpa else {}


def replicas(server: ApiServerInMemory) -> int:
    found = server.get(REPLICA_SETS, "default/web")
    return found.spec.replicas if found else -1


async def test_bounds_hold_without_metrics(running: Run) -> None:
    server, clock = ApiServerInMemory(), FakeClock()
    server.add(make.replica_set("web", replicas=9), autoscaler(), defaults=True)
    async with running(server, "horizontalpodautoscaler", clock=clock):
        await clock.settle()
        assert replicas(server) == 4
        assert conditions(server)["AbleToScale"] == (
            "True",
            "SucceededRescale",
            "the HPA controller was able to update the target scale to 4",
        )
        await clock.advance(16)
        assert conditions(server)["ScalingActive"] == (
            "False",
            "FailedGetResourceMetric",
            "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for "
            "resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested "
            "resource (get pods.metrics.k8s.io)",
        )
        assert conditions(server)["AbleToScale"][1] == "SucceededGetScale"
        async with server.client() as client:
            scale = await client.get_scale(REPLICA_SETS, "web", "default")
            scale.spec.replicas = 1
            await client.update_scale(REPLICA_SETS, "web", "default", scale)
        await clock.advance(16)
        assert replicas(server) == 2
        hpa = server.get(HORIZONTAL_POD_AUTOSCALERS, "default/web")
        assert hpa is not None
        assert (hpa.status.currentReplicas, hpa.status.desiredReplicas) == (1, 2)
        assert hpa.status.HasField("lastScaleTime")
        async with server.client() as client:
            scale = await client.get_scale(REPLICA_SETS, "web", "default")
            scale.spec.replicas = 0
            await client.update_scale(REPLICA_SETS, "web", "default", scale)
        await clock.advance(16)
        assert replicas(server) == 0
        assert conditions(server)["ScalingActive"][1] == "ScalingDisabled"


async def test_a_target_that_is_not_there(running: Run) -> None:
    server, clock = ApiServerInMemory(), FakeClock()
    server.add(autoscaler(), defaults=True)
    async with running(server, "horizontalpodautoscaler", clock=clock):
        await clock.settle()
        assert conditions(server)["AbleToScale"] == (
            "False",
            "FailedGetScale",
            'the HPA controller was unable to get the target\'s current scale: replicasets.apps "web" not found',
        )


async def test_a_kind_that_has_no_scale(running: Run) -> None:
    server, clock = ApiServerInMemory(), FakeClock()
    server.add(autoscaler("Pod"), defaults=True)
    async with running(server, "horizontalpodautoscaler", clock=clock):
        await clock.settle()
        assert conditions(server)["AbleToScale"][2].endswith('no matches for kind "Pod" in version "apps/v1"')
