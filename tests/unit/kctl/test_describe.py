"""``kctl describe`` against what kubectl 1.32 printed for the same objects at the same moment (golden/)."""

from __future__ import annotations

import re

import pytest

from kubelab.api.policy.v1 import policy_pb2
from kubelab.api.scheduling.v1 import scheduling_pb2
from kubelab.apimachinery import intstr
from kubelab.apimachinery.manifest.decode import decode
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import NAMESPACES
from kubelab.apiserver.resources.core.namespaces import SYSTEM_NAMESPACES
from kubelab.kctl.describe import nodes, others
from kubelab.kctl.describe.writer import align
from tests.unit.kctl.conftest import GOLDEN, NOON, Shell

OBJECTS = (GOLDEN / "objects.yaml").read_text()
DESCRIBED = dict(
    re.findall(r"^\$ (describe .*)\n((?:(?!\$ ).*\n)*)", (GOLDEN / "describe.txt").read_text(), re.MULTILINE)
)
GENERIC = ("describe event web.1", "describe lease -n kube-node-lease")  # they show what only a real server sets


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize("command", sorted(DESCRIBED.keys() - set(GENERIC)))
def test_as_kubectl(shell: Shell, command: str) -> None:
    for name in SYSTEM_NAMESPACES:  # the golden file was made where there is one namespace
        shell.server.remove(NAMESPACES, name)
    shell.add(OBJECTS)
    described = shell(*command.split())
    assert described.stderr == ""
    # The real server has its own words for the group; everything else is the same, to the space.
    assert described.stdout.replace('leases.coordination.k8s.io "', 'leases "') == DESCRIBED[command]
    assert described.code == 0


@pytest.mark.usefixtures("utc")
def test_any_kind_by_its_fields() -> None:
    lease = next(d.obj for d in decode(OBJECTS, "objects") if d.resource.kind == "Lease")
    assert others.generic(lease, [], NOON) == DESCRIBED["describe lease -n kube-node-lease"]


def test_nothing_to_describe(shell: Shell) -> None:
    assert shell("describe", "pods").stderr == "No resources found in default namespace.\n"
    missing = shell("describe", "pod", "nope")
    assert (missing.code, missing.stderr) == (1, 'Error from server (NotFound): pods "nope" not found\n')
    assert "You must specify the type of resource to describe" in shell("describe").stderr


@pytest.mark.usefixtures("utc")
def test_a_pod_that_terminates(shell: Shell) -> None:
    pod = next(d.obj for d in decode(OBJECTS, "objects") if meta_of(d.obj).name == "elsewhere")
    meta_of(pod).deletionTimestamp.seconds = int(NOON) - 90
    meta_of(pod).deletionGracePeriodSeconds = 30
    shell.server.add(pod)
    described = shell("describe", "pod", "elsewhere", "-n", "user-namespace").stdout
    assert re.search(r"^Status: +Terminating \(lasts 90s\)$", described, re.MULTILINE)
    assert re.search(r"^Termination Grace Period: +30s$", described, re.MULTILINE)


def test_columns_end_with_the_run_of_lines_that_have_them() -> None:
    assert align("a\tb\nlonger\tc\nalone\nx\ty\n") == "a       b\nlonger  c\nalone\nx  y\n"
    assert align("a\tb\tc\nlong\tlonger\tc\nq\tr\n") == "a     b       c\nlong  longer  c\nq     r\n"


@pytest.mark.parametrize(
    ("amounts", "total"),
    [(["64Mi", "1Gi"], "1088Mi"), (["250m", "1"], "1250m"), (["1", "1"], "2"), (["1Gi", "1Gi"], "2Gi"), ([], "0")],
)
def test_sums_keep_their_form(amounts: list[str], total: str) -> None:
    from kubelab.apimachinery import quantity

    assert nodes.total(sum((quantity.parse(a) for a in amounts), quantity.parse("")), (amounts or [""])[0]) == total


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("creationTimestamp", "Creation Timestamp"),
        ("uid", "UID"),
        ("apiVersion", "API Version"),
        ("podCIDR", "Pod CIDR"),
    ],
)
def test_labels_of_fields(key: str, label: str) -> None:
    assert others.label_of(key) == label


def test_a_namespace_with_its_quotas_and_limit_ranges(shell: Shell) -> None:
    shell.add(LIMITS)
    described = shell("describe", "namespace", "bounded").stdout
    assert described == DESCRIBED_NAMESPACE
    assert shell("describe", "quota", "q", "-n", "bounded").stdout == DESCRIBED_QUOTA
    assert shell("describe", "limits", "-n", "bounded").stdout == DESCRIBED_LIMITS


LIMITS = """
apiVersion: v1
kind: Namespace
metadata: {name: bounded}
status: {phase: Active}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: q, namespace: bounded}
spec: {hard: {pods: "5", cpu: "2"}, scopes: [NotTerminating]}
status: {hard: {pods: "5", cpu: "2"}, used: {pods: "1", cpu: 500m}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: bounds, namespace: bounded}
spec:
  limits:
  - {type: Container, max: {cpu: "2"}, default: {cpu: 500m, memory: 64Mi}, defaultRequest: {cpu: 100m}}
  - {type: Pod, max: {cpu: "4"}, min: {cpu: 10m}, maxLimitRequestRatio: {cpu: "10"}}
"""
DESCRIBED_NAMESPACE = """\
Name:         bounded
Labels:       <none>
Annotations:  <none>
Status:       Active

Resource Quotas
  Name:    q
  Scopes:  NotTerminating
  * Matches all pods that do not have an active deadline. These pods usually include long running pods whose container \
command is not expected to terminate.
  Resource  Used  Hard
  --------  ---   ---
  cpu       500m  2
  pods      1     5

Resource Limits
 Type       Resource  Min  Max  Default Request  Default Limit  Max Limit/Request Ratio
 ----       --------  ---  ---  ---------------  -------------  -----------------------
 Container  cpu       -    2    100m             500m           -
 Container  memory    -    -    -                64Mi           -
 Pod        cpu       10m  4    -                -              10
"""
DESCRIBED_QUOTA = """\
Name:       q
Namespace:  bounded
Scopes:     NotTerminating
 * Matches all pods that do not have an active deadline. These pods usually include long running pods whose container \
command is not expected to terminate.
Resource  Used  Hard
--------  ----  ----
cpu       500m  2
pods      1     5
"""
DESCRIBED_LIMITS = """\
Name:       bounds
Namespace:  bounded
Type        Resource  Min  Max  Default Request  Default Limit  Max Limit/Request Ratio
----        --------  ---  ---  ---------------  -------------  -----------------------
Container   cpu       -    2    100m             500m           -
Container   memory    -    -    -                64Mi           -
Pod         cpu       10m  4    -                -              10
"""


def test_a_service_account_with_its_secrets(shell: Shell) -> None:
    shell.add(ACCOUNT)
    assert shell("describe", "sa", "robot").stdout == DESCRIBED_ACCOUNT
    assert shell("describe", "sa", "default").stdout == DESCRIBED_DEFAULT


ACCOUNT = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot, namespace: default, uid: u-1, labels: {app: web}}
imagePullSecrets: [{name: registry}, {name: nowhere}]
---
apiVersion: v1
kind: Secret
metadata: {name: registry, namespace: default}
---
apiVersion: v1
kind: Secret
metadata:
  name: token
  namespace: default
  annotations: {kubernetes.io/service-account.name: robot, kubernetes.io/service-account.uid: u-1}
type: kubernetes.io/service-account-token
"""
DESCRIBED_ACCOUNT = """\
Name:                robot
Namespace:           default
Labels:              app=web
Annotations:         <none>
Image pull secrets:  registry
                     nowhere (not found)
Mountable secrets:   <none>
Tokens:              token
Events:              <none>
"""
DESCRIBED_DEFAULT = """\
Name:                default
Namespace:           default
Labels:              <none>
Annotations:         <none>
Image pull secrets:  <none>
Mountable secrets:   <none>
Tokens:              <none>
Events:              <none>
"""


@pytest.mark.usefixtures("utc")
def test_ingresses_and_network_policies(shell: Shell) -> None:
    shell.add(NETWORKING)
    assert shell("describe", "ingress", "web").stdout == DESCRIBED_INGRESS
    assert shell("describe", "netpol", "allow").stdout == DESCRIBED_POLICY


NETWORKING = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: default}
subsets: [{addresses: [{ip: 10.244.1.2}], ports: [{name: http, port: 8080}]}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: default, annotations: {a: b}}
spec:
  tls: [{hosts: [example.com], secretName: cert}]
  rules:
  - host: example.com
    http:
      paths:
      - {path: /a, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
      - {path: /b, pathType: Prefix, backend: {service: {name: nope, port: {name: http}}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow, namespace: default, creationTimestamp: "2024-05-01T11:00:00Z"}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from:
    - {podSelector: {matchLabels: {a: b}}, namespaceSelector: {}}
    - {ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}
    ports: [{port: 80, protocol: TCP}]
  - {}
"""
DESCRIBED_INGRESS = """\
Name:             web
Labels:           <none>
Namespace:        default
Address:          \n\
Ingress Class:    <none>
Default backend:  <default>
TLS:
  cert terminates example.com
Rules:
  Host         Path  Backends
  ----         ----  --------
  example.com  \n\
               /a   web:80 (10.244.1.2:8080)
               /b   nope:http (<error: services "nope" not found>)
Annotations:   a: b
Events:        <none>
"""
DESCRIBED_POLICY = """\
Name:         allow
Namespace:    default
Created on:   2024-05-01 11:00:00 +0000 UTC
Labels:       <none>
Annotations:  <none>
Spec:
  PodSelector:     app=web
  Allowing ingress traffic:
    To Port: 80/TCP
    From:
      NamespaceSelector: <none>
      PodSelector: a=b
    From:
      IPBlock:
        CIDR: 10.0.0.0/8
        Except: 10.1.0.0/16
    ----------
    To Port: <any> (traffic allowed to all ports)
    From: <any> (traffic not restricted by source)
  Allowing egress traffic:
    <none> (Selected pods are isolated for egress connectivity)
  Policy Types: Ingress, Egress
"""
PRIORITY_CLASS = """\
Name:              high
Value:             1000
GlobalDefault:     false
PreemptionPolicy:  PreemptLowerPriority
Description:       for what matters
Annotations:       <none>
Events:            <none>
"""
BUDGET = """\
Name:           web
Namespace:      default
Min available:  50%
Selector:       app=web
Status:
    Allowed disruptions:  1
    Current:              3
    Desired:              2
    Total:                3
Events:                   <none>
"""


def test_priority_classes_and_disruption_budgets(shell: Shell) -> None:
    priority_class = scheduling_pb2.PriorityClass(
        value=1000, description="for what matters", preemptionPolicy="PreemptLowerPriority"
    )
    priority_class.metadata.name = "high"
    budget = policy_pb2.PodDisruptionBudget()
    budget.metadata.name, budget.metadata.namespace = "web", "default"
    budget.spec.minAvailable.CopyFrom(intstr.from_string("50%"))
    budget.spec.selector.matchLabels["app"] = "web"
    status = budget.status
    status.disruptionsAllowed, status.currentHealthy, status.desiredHealthy, status.expectedPods = 1, 3, 2, 3
    shell.server.add(priority_class, budget)
    assert shell("describe", "pc", "high").stdout == PRIORITY_CLASS
    described = shell("describe", "pdb", "web").stdout
    assert "\n".join(line.rstrip() for line in described.split("\n")) == BUDGET


def test_roles_and_bindings(shell: Shell) -> None:
    shell.add(RBAC)
    assert shell("describe", "clusterrole", "reader").stdout == DESCRIBED_ROLE
    described = shell("describe", "rolebinding", "read").stdout
    assert "\n".join(line.rstrip() for line in described.split("\n")) == DESCRIBED_BINDING


RBAC = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules:
- {apiGroups: ["", apps], resources: [pods, deployments/scale], verbs: [get, list]}
- {apiGroups: [""], resources: [pods], verbs: [list, watch]}
- {nonResourceURLs: [/metrics], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: read, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects:
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: jane}
- {kind: ServiceAccount, name: bot, namespace: kube-system}
"""
DESCRIBED_ROLE = """\
Name:         reader
Labels:       <none>
Annotations:  <none>
PolicyRule:
  Resources               Non-Resource URLs  Resource Names  Verbs
  ---------               -----------------  --------------  -----
  pods                    []                 []              [get list watch]
  deployments/scale       []                 []              [get list]
  deployments.apps/scale  []                 []              [get list]
  pods.apps               []                 []              [get list]
                          [/metrics]         []              [get]
"""
DESCRIBED_BINDING = """\
Name:         read
Labels:       <none>
Annotations:  <none>
Role:
  Kind:  ClusterRole
  Name:  reader
Subjects:
  Kind            Name  Namespace
  ----            ----  ---------
  User            jane
  ServiceAccount  bot   kube-system
"""


@pytest.mark.usefixtures("utc")
def test_an_autoscaler(shell: Shell) -> None:
    shell.add(AUTOSCALER)
    assert shell("describe", "hpa", "web").stdout == DESCRIBED_AUTOSCALER


AUTOSCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: default, creationTimestamp: "2024-05-01T11:00:00Z"}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
status:
  currentReplicas: 2
  desiredReplicas: 2
  conditions: [{type: AbleToScale, status: "True", reason: SucceededGetScale, message: it can}]
"""
DESCRIBED_AUTOSCALER = """\
Name:                                                  web
Namespace:                                             default
Labels:                                                <none>
Annotations:                                           <none>
CreationTimestamp:                                     Wed, 01 May 2024 11:00:00 +0000
Reference:                                             Deployment/web
Metrics:                                               ( current / target )
  resource cpu on pods  (as a percentage of request):  <unknown> / 50%
Min replicas:                                          1
Max replicas:                                          3
Deployment pods:                                       2 current / 2 desired
Conditions:
  Type         Status  Reason             Message
  ----         ------  ------             -------
  AbleToScale  True    SucceededGetScale  it can
Events:        <none>
"""
