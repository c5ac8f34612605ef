"""What each resource gets by default, for a create and for an update: upstream's SetDefaults and its strategies'
PrepareForCreate and PrepareForUpdate, whole objects."""

from __future__ import annotations

from typing import cast

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.manifest.encode import to_dict
from kubelab.apiserver.admission.pods import DefaultTolerationSeconds
from tests.unit.apiserver.strategies.answers import GONE, Change, changed, stored, updated

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default}
spec: {containers: [{name: web, image: nginx}]}
"""
TOLERATIONS = """
  tolerations:
  - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 300}
  - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 300}
"""
STORED_POD = f"""
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: default}}
spec:
  containers:
  - name: web
    image: nginx
    imagePullPolicy: Always
    terminationMessagePath: /dev/termination-log
    terminationMessagePolicy: File
  dnsPolicy: ClusterFirst
  enableServiceLinks: true
  preemptionPolicy: PreemptLowerPriority
  priority: 0
  restartPolicy: Always
  schedulerName: default-scheduler
  securityContext: {{}}
  serviceAccount: default
  serviceAccountName: default
  terminationGracePeriodSeconds: 30
{TOLERATIONS}
status: {{phase: Pending, qosClass: BestEffort}}
"""
CREATED = {
    "pod": (POD, STORED_POD),
    "replication controller": (
        """
apiVersion: v1
kind: ReplicationController
metadata: {name: rc, namespace: default}
spec:
  template:
    metadata: {labels: {app: web}}
    spec:
      hostNetwork: true
      containers: [{name: web, image: "nginx:1", ports: [{containerPort: 80}], resources: {limits: {cpu: 0.5}}}]
""",
        """
apiVersion: v1
kind: ReplicationController
metadata: {name: rc, namespace: default, generation: 1, labels: {app: web}}
spec:
  replicas: 1
  selector: {app: web}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1
        imagePullPolicy: IfNotPresent
        ports: [{containerPort: 80, protocol: TCP}]
        resources: {limits: {cpu: 500m}}
        terminationMessagePath: /dev/termination-log
        terminationMessagePolicy: File
      dnsPolicy: ClusterFirst
      hostNetwork: true
      restartPolicy: Always
      schedulerName: default-scheduler
      securityContext: {}
      terminationGracePeriodSeconds: 30
""",
    ),
    "service": (
        """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {ports: [{port: 80}, {name: b, port: 53, protocol: UDP, targetPort: dns}]}
status: {loadBalancer: {ingress: [{ip: 10.0.0.1}]}}
""",
        """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  internalTrafficPolicy: Cluster
  ports:
  - {port: 80, protocol: TCP, targetPort: 80}
  - {name: b, port: 53, protocol: UDP, targetPort: dns}
  sessionAffinity: None
  type: ClusterIP
""",
    ),
    "load balancer": (
        """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {type: LoadBalancer, clusterIP: 10.96.0.17, ports: [{port: 80}]}
""",
        """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  allocateLoadBalancerNodePorts: true
  clusterIP: 10.96.0.17
  clusterIPs: [10.96.0.17]
  externalTrafficPolicy: Cluster
  internalTrafficPolicy: Cluster
  ports: [{port: 80, protocol: TCP, targetPort: 80}]
  sessionAffinity: None
  type: LoadBalancer
""",
    ),
    "external name": (
        """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {type: ExternalName, externalName: example.com}
""",
        """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {externalName: example.com, sessionAffinity: None, type: ExternalName}
""",
    ),
    "endpoints": (
        """
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: default}
subsets: [{addresses: [{ip: 10.244.0.2}], ports: [{port: 80}, {name: b, port: 53, protocol: UDP}]}]
""",
        """
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: default}
subsets:
- addresses: [{ip: 10.244.0.2}]
  ports: [{port: 80, protocol: TCP}, {name: b, port: 53, protocol: UDP}]
""",
    ),
    "namespace": (
        "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {kubernetes.io/metadata.name: x}}}",
        """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {kubernetes.io/metadata.name: shop}}
spec: {finalizers: [kubernetes]}
status: {phase: Active}
""",
    ),
    "node": (
        """
apiVersion: v1
kind: Node
metadata: {name: node-1}
spec: {podCIDR: 10.244.1.0/24, taints: [{key: node.kubernetes.io/not-ready, effect: NoSchedule}]}
status: {capacity: {cpu: 2000m, memory: 8192Mi}}
""",
        """
apiVersion: v1
kind: Node
metadata: {name: node-1}
spec:
  podCIDR: 10.244.1.0/24
  podCIDRs: [10.244.1.0/24]
  taints: [{key: node.kubernetes.io/not-ready, effect: NoSchedule}]
status: {allocatable: {cpu: "2", memory: 8Gi}, capacity: {cpu: "2", memory: 8Gi}}
""",
    ),
    "node with a list of networks": (
        "{apiVersion: v1, kind: Node, metadata: {name: node-1}, "
        "spec: {podCIDRs: [10.244.1.0/24], taints: [{key: node.kubernetes.io/not-ready, effect: NoSchedule}]}}",
        """
apiVersion: v1
kind: Node
metadata: {name: node-1}
spec:
  podCIDR: 10.244.1.0/24
  podCIDRs: [10.244.1.0/24]
  taints: [{key: node.kubernetes.io/not-ready, effect: NoSchedule}]
""",
    ),
    "secret": (
        """
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: default}
data: {a: YQ==, b: Yg==}
stringData: {b: c}
""",
        """
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: default}
data: {a: YQ==, b: Yw==}
type: Opaque
""",
    ),
    **{
        kind: (f"{{apiVersion: {version}, kind: {kind}, metadata: {{name: a, namespace: default}}}}",) * 2
        for version, kind in (("v1", "ConfigMap"), ("v1", "Event"), ("coordination.k8s.io/v1", "Lease"))
    },
}


@pytest.mark.parametrize(("sent", "kept"), CREATED.values(), ids=CREATED.keys())
def test_a_create(sent: str, kept: str) -> None:
    assert to_dict(stored(sent)) == to_dict(changed(kept)[0])


@pytest.mark.parametrize(("sent", "kept"), CREATED.values(), ids=CREATED.keys())
def test_an_update_that_says_no_more_changes_nothing(sent: str, kept: str) -> None:
    new, old = updated(sent, {})
    assert to_dict(new) == to_dict(old) == to_dict(changed(kept)[0])


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("localhost:5000/a/b", "Always"),
        ("localhost:5000/a/b:1", "IfNotPresent"),
        ("nginx:1.27", "IfNotPresent"),
        ("nginx@sha256:" + "0" * 64, "IfNotPresent"),
        ("nginx:latest@sha256:" + "0" * 64, "Always"),
        ("", "IfNotPresent"),  # what is no image has no tag
        ("Nginx", "IfNotPresent"),
    ],
)
def test_when_an_image_is_pulled(image: str, policy: str) -> None:
    pod = stored(POD, {"spec.containers[0].image": image})
    assert pod.spec.containers[0].imagePullPolicy == policy


@pytest.mark.parametrize(
    ("change", "requests", "qos"),
    [
        ({}, {}, "BestEffort"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, {"cpu": "1", "memory": "1Gi"}, "Guaranteed"),
        ({"limits": {"cpu": "1"}}, {"cpu": "1"}, "Burstable"),
        ({"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}}, {"cpu": "500m"}, "Burstable"),
        ({"requests": {"memory": "1024Mi"}}, {"memory": "1Gi"}, "Burstable"),
        ({"requests": {"cpu": "0"}}, {"cpu": "0"}, "BestEffort"),
        ({"requests": {"ephemeral-storage": "1Gi"}}, {"ephemeral-storage": "1Gi"}, "BestEffort"),
        ({"requests": {"cpu": "0.0001"}}, {"cpu": "1m"}, "Burstable"),  # no finer than thousandths, rounded up
    ],
)
def test_a_pod_asks_for_its_limits(change: Change, requests: dict[str, str], qos: str) -> None:
    pod = stored(POD, {"spec.containers[0].resources": change})
    asked = {name: amount.string for name, amount in pod.spec.containers[0].resources.requests.items()}
    assert (asked, pod.status.qosClass) == (requests, qos)


def test_no_pod_is_scheduled_to_a_new_node_before_it_is_seen_to_be_ready() -> None:
    node = stored(
        "{apiVersion: v1, kind: Node, metadata: {name: node-1}}",
        {"spec.taints": [{"key": "gpu", "effect": "NoExecute"}]},
    )
    found = [(taint.key, taint.effect) for taint in node.spec.taints]
    assert found == [("gpu", "NoExecute"), ("node.kubernetes.io/not-ready", "NoSchedule")]
    new, _ = updated("{apiVersion: v1, kind: Node, metadata: {name: node-1}}", {})
    assert not new.spec.taints


def test_a_pod_on_the_nodes_network_has_its_ports_there() -> None:
    ports = {"spec.containers[0].ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 81}]}
    assert [port.hostPort for port in stored(POD, ports).spec.containers[0].ports] == [0, 81]
    on_node = stored(POD, {**ports, "spec.hostNetwork": True})
    assert [port.hostPort for port in on_node.spec.containers[0].ports] == [80, 81]


def test_fields_are_of_the_first_version() -> None:
    pod = stored(
        POD, {"spec.containers[0].env[0]": {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}}
    )
    assert pod.spec.containers[0].env[0].valueFrom.fieldRef.apiVersion == "v1"


@pytest.mark.parametrize(("asked", "kept"), [(GONE, 30), (0, 0), (5, 5), (-1, 1)])
def test_grace(asked: object, kept: int) -> None:
    change = {} if asked is GONE else {"spec.terminationGracePeriodSeconds": asked}
    assert stored(POD, change).spec.terminationGracePeriodSeconds == kept


@pytest.mark.parametrize(
    ("name", "priority"),
    [("", 0), ("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)],
)
def test_priorities(name: str, priority: int) -> None:
    assert stored(POD, {"spec.priorityClassName": name}).spec.priority == priority


@pytest.mark.parametrize(
    ("own", "added"),
    [
        ({"operator": "Exists"}, []),
        ({"key": "node.kubernetes.io/not-ready", "operator": "Exists"}, ["node.kubernetes.io/unreachable"]),
        (
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoSchedule"},
            ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"],
        ),
    ],
)
def test_how_long_a_pod_stays_on_a_node_without_health(own: Change, added: list[str]) -> None:
    pod = stored(POD, {"spec.tolerations[0]": own})
    assert [toleration.key for toleration in pod.spec.tolerations[1:]] == added


def test_a_cluster_may_have_other_seconds() -> None:
    pod = cast("core_pb2.Pod", changed(POD)[0])
    DefaultTolerationSeconds({"node.kubernetes.io/unreachable": 3}).complete(pod, None)
    assert [(t.key, t.tolerationSeconds) for t in pod.spec.tolerations] == [("node.kubernetes.io/unreachable", 3)]


def test_an_update_keeps_the_status_and_the_priority() -> None:
    new, old = updated(POD, {"status.phase": "Failed"}, {"spec.priorityClassName": "system-node-critical"})
    assert (new.status.phase, new.spec.priority) == ("Pending", old.spec.priority)


def test_only_controllers_count_their_changes() -> None:
    assert stored(POD, {"metadata.generation": 7}).metadata.generation == 0
    assert updated(POD, {"spec.hostname": "a"})[0].metadata.generation == 0
