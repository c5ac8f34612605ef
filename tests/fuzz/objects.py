"""Objects of every kind: as a user writes them, as the api-server would accept them, and as etcd might hold them."""

from __future__ import annotations

import random
from typing import Any

from google.protobuf.message import Message

from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.manifest.decode import decode
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.resources.table import builtin
from kubelab.apiserver.strategies import wellformed
from tests.fuzz.messages import Maker

_PREFERRED = [storage for storage in builtin() if storage.resource in scheme.ALL]  # of each kind one version
RULES = {storage.resource.plural: storage.strategy for storage in _PREFERRED}
KINDS: tuple[Resource[Message], ...] = tuple(storage.resource for storage in _PREFERRED)
TEXT = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default, labels: {app: web}, annotations: {a: b}}
spec:
  nodeName: node-1
  containers:
  - name: main
    image: host
    command: [sleep, "60"]
    ports: [{name: http, containerPort: 8080, protocol: TCP}]
    env:
    - {name: A, value: "1"}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: K, valueFrom: {configMapKeyRef: {name: web, key: a}}}
    resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 200m}}
  tolerations: [{key: a, operator: Exists, effect: NoExecute, tolerationSeconds: 5}]
status:
  phase: Running
  hostIP: 192.168.49.3
  podIP: 10.244.1.5
  podIPs: [{ip: 10.244.1.5}]
  startTime: "2026-01-01T00:00:00Z"
  conditions: [{type: Ready, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"}]
  containerStatuses:
  - name: main
    image: host
    imageID: ""
    ready: true
    restartCount: 1
    state: {running: {startedAt: "2026-01-01T00:00:00Z"}}
    lastState: {terminated: {exitCode: 1, reason: Error, finishedAt: "2026-01-01T00:00:00Z"}}
---
apiVersion: v1
kind: Node
metadata: {name: node-1, labels: {kubernetes.io/hostname: node-1}}
spec: {podCIDR: 10.244.1.0/24, podCIDRs: [10.244.1.0/24], taints: [{key: a, effect: NoSchedule}]}
status:
  capacity: {cpu: "4", memory: 8Gi, pods: "110"}
  allocatable: {cpu: "4", memory: 8Gi, pods: "110"}
  addresses: [{type: InternalIP, address: 192.168.49.3}, {type: Hostname, address: node-1}]
  conditions: [{type: Ready, status: "True", lastHeartbeatTime: "2026-01-01T00:00:00Z"}]
  daemonEndpoints: {kubeletEndpoint: {Port: 10250}}
  nodeInfo: {kubeletVersion: v1.32.0}
  images: [{names: [host], sizeBytes: 5}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  type: NodePort
  clusterIP: 10.96.0.17
  selector: {app: web}
  externalIPs: [203.0.113.4]
  ports: [{name: http, port: 80, targetPort: http, nodePort: 30001}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: default}
subsets:
- addresses: [{ip: 10.244.1.5, nodeName: node-1, targetRef: {kind: Pod, name: web, namespace: default}}]
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Namespace
metadata: {name: lab}
spec: {finalizers: [kubernetes]}
status: {phase: Active, conditions: [{type: A, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"}]}
---
apiVersion: v1
kind: ReplicationController
metadata: {name: web, namespace: default, labels: {app: web}}
spec:
  replicas: 2
  selector: {app: web}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: host, ports: [{containerPort: 80}]}]}
status: {replicas: 2, conditions: [{type: ReplicaFailure, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"}]}
---
apiVersion: v1
kind: Event
metadata: {name: web.1, namespace: default}
involvedObject: {kind: Pod, name: web, namespace: default, uid: u}
reason: Started
message: Started container main
source: {component: kubelet, host: node-1}
firstTimestamp: "2026-01-01T00:00:00Z"
lastTimestamp: "2026-01-01T00:00:00Z"
count: 2
type: Normal
series: {count: 3, lastObservedTime: "2026-01-01T00:00:00.000001Z"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web, namespace: default}
data: {a: b}
binaryData: {c: AAEC}
---
apiVersion: v1
kind: Secret
metadata: {name: web, namespace: default}
type: Opaque
data: {a: AAEC}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: default
  annotations: {deployment.kubernetes.io/revision: "2"}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}, matchExpressions: [{key: tier, operator: NotIn, values: [a, b]}]}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 1}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: host, ports: [{containerPort: 80}]}]}
status:
  replicas: 3
  conditions: [{type: Progressing, status: "True", reason: New, lastUpdateTime: "2026-01-01T00:00:00Z"}]
---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: web-1
  namespace: default
  annotations: {deployment.kubernetes.io/desired-replicas: "3", deployment.kubernetes.io/max-replicas: "4"}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: host, ports: [{containerPort: 80}]}]}
status: {replicas: 2, conditions: [{type: ReplicaFailure, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"}]}
---
apiVersion: v1
kind: LimitRange
metadata: {name: bounds, namespace: default}
spec: {limits: [{type: Container, max: {cpu: "2"}, default: {cpu: "1"}, maxLimitRequestRatio: {memory: "2"}}]}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: quota, namespace: default}
spec:
  hard: {pods: "5", requests.cpu: "2"}
  scopeSelector: {matchExpressions: [{scopeName: NotBestEffort, operator: Exists}]}
status: {hard: {pods: "5", requests.cpu: "2"}, used: {pods: "1", requests.cpu: 100m}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: default}
secrets: [{name: web}]
imagePullSecrets: [{name: web}]
automountServiceAccountToken: false
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints:
- addresses: [10.244.1.5]
  conditions: {ready: true, serving: true, terminating: false}
  nodeName: node-1
  zone: a
  targetRef: {kind: Pod, name: web, namespace: default}
ports: [{name: http, port: 8080, protocol: TCP}]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: default}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
  behavior: {scaleUp: {policies: [{type: Pods, value: 1, periodSeconds: 15}]}}
status:
  currentReplicas: 1
  desiredReplicas: 1
  conditions: [{type: AbleToScale, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"}]
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: outside}
spec: {controller: example.com/ingress, parameters: {apiGroup: a.b, kind: K, name: web, scope: Cluster}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: default}
spec:
  ingressClassName: outside
  defaultBackend: {service: {name: web, port: {name: http}}}
  tls: [{hosts: [example.com], secretName: web}]
  rules:
  - host: "*.example.com"
    http: {paths: [{path: /a, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: default}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from: [{podSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]
    ports: [{port: 80, endPort: 90}]
  egress: [{to: [{namespaceSelector: {matchExpressions: [{key: a, operator: Exists}]}}], ports: [{port: http}]}]
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: node-1, namespace: kube-node-lease}
spec: {holderIdentity: node-1, leaseDurationSeconds: 40, renewTime: "2026-01-01T00:00:00.000000Z"}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: default}
spec:
  selector: {matchLabels: {app: agent}}
  updateStrategy: {rollingUpdate: {maxUnavailable: 10%}}
  template:
    metadata: {labels: {app: agent}}
    spec: {nodeSelector: {disk: ssd}, containers: [{name: agent, image: host}]}
status: {desiredNumberScheduled: 3, currentNumberScheduled: 3, numberReady: 2, numberMisscheduled: 0}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: default}
spec:
  serviceName: db
  replicas: 3
  ordinals: {start: 1}
  selector: {matchLabels: {app: db}}
  updateStrategy: {rollingUpdate: {partition: 1}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: host}]}
status: {replicas: 3, readyReplicas: 2, currentRevision: db-1, updateRevision: db-2, collisionCount: 0}
---
apiVersion: apps/v1
kind: ControllerRevision
metadata: {name: db-1, namespace: default}
revision: 1
data: {spec: {template: {$patch: replace}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: hello, namespace: default}
spec:
  schedule: "*/5 1-3 * jan,mar ?"
  timeZone: Asia/Seoul
  startingDeadlineSeconds: 60
  jobTemplate:
    metadata: {labels: {app: hello}}
    spec: {template: {spec: {restartPolicy: OnFailure, containers: [{name: hello, image: host}]}}}
status:
  lastScheduleTime: "2026-01-01T00:00:00Z"
  active: [{kind: Job, name: hello-1, namespace: default, uid: u-1, apiVersion: batch/v1}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: pi, namespace: default}
spec:
  completions: 3
  parallelism: 2
  completionMode: Indexed
  backoffLimitPerIndex: 1
  podFailurePolicy: {rules: [{action: FailIndex, onExitCodes: {operator: In, values: [1, 42]}}]}
  successPolicy: {rules: [{succeededIndexes: "0,2", succeededCount: 1}]}
  manualSelector: true
  selector: {matchLabels: {app: pi}, matchExpressions: [{key: tier, operator: DoesNotExist}]}
  template:
    metadata: {labels: {app: pi}}
    spec: {restartPolicy: Never, containers: [{name: pi, image: host}]}
status:
  startTime: "2026-01-01T00:00:00Z"
  active: 1
  completedIndexes: "1"
  uncountedTerminatedPods: {failed: [u-1]}
  conditions: [{type: Suspended, status: "False", lastTransitionTime: "2026-01-01T00:00:00Z"}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: default}
spec: {minAvailable: 50%, selector: {matchLabels: {app: web}}, unhealthyPodEvictionPolicy: AlwaysAllow}
status: {disruptedPods: {web-0: "2026-01-01T00:00:00Z"}, disruptionsAllowed: 1, expectedPods: 2}
---
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: jane}
spec:
  request: >-
    LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIWE1IOENBUUF3SFRFTU1Bb0dBMVVFQ2d3RFpHVjJNUTB3Q3dZ
    RFZRUUREQVJxWVc1bE1Ga3dFd1lIS29aSQp6ajBDQVFZSUtvWkl6ajBEQVFjRFFnQUU1cERVWU9iK2xsNmF6M1RlZFl6c0lvWVlQ
    NStsNjFFQjljZHJYbHg3Cnl4SzQ0bFdXamRmdVZUaDZPRnFDVzNJWUgyRlZqSGg1SFY3N3RzMHoyZW53b2FBQU1Bb0dDQ3FHU000
    OUJBTUMKQTBnQU1FVUNJRTVyajN2ZG5DM0Vmd0VUckJCWUowL2JMb28rUUZHdHpUUEFyeDgrNjcxZUFpRUFsZDVoSkt0MgpseVFz
    UllRVURWdUM2UHVUNElKYVUvbDZ3bk4wSnFQbWdFVT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==
  signerName: kubernetes.io/kube-apiserver-client
  usages: [client auth]
  expirationSeconds: 3600
  username: kubernetes-admin
  groups: [system:authenticated]
  extra: {a: [b]}
status: {conditions: [{type: Approved, status: "True", reason: ByHand, lastUpdateTime: "2026-01-01T00:00:00Z"}]}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {replicas: {type: integer}}}}}
    subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    additionalPrinterColumns: [{name: Replicas, type: integer, jsonPath: .spec.replicas}]
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: reports}
spec:
  priorityLevelConfiguration: {name: workload-low}
  matchingPrecedence: 8000
  distinguisherMethod: {type: ByNamespace}
  rules:
  - subjects:
    - {kind: ServiceAccount, serviceAccount: {namespace: default, name: reports}}
    resourceRules:
    - {verbs: [list], apiGroups: [""], resources: [pods, nodes], namespaces: ["*"], clusterScope: true}
    nonResourceRules:
    - {verbs: [get], nonResourceURLs: [/metrics, /openapi/*]}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: reports}
spec:
  type: Limited
  limited:
    nominalConcurrencyShares: 5
    lendablePercent: 50
    limitResponse: {type: Queue, queuing: {queues: 16, handSize: 4, queueLengthLimit: 10}}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: high}
value: 1000
preemptionPolicy: Never
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: defaults}
webhooks:
- name: pods.example.com
  clientConfig: {url: "https://127.0.0.1:9443/mutate", caBundle: Y2E=}
  rules: [{operations: [CREATE, UPDATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}]
  sideEffects: None
  admissionReviewVersions: [v1]
  reinvocationPolicy: IfNeeded
  failurePolicy: Ignore
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: rules}
webhooks:
- name: deployments.example.com
  clientConfig: {service: {namespace: default, name: rules, path: /validate}}
  rules: [{operations: ["*"], apiGroups: [apps], apiVersions: ["*"], resources: ["*/*"], scope: Namespaced}]
  namespaceSelector: {matchLabels: {checked: "yes"}}
  objectSelector: {matchExpressions: [{key: skip, operator: DoesNotExist}]}
  sideEffects: NoneOnDryRun
  admissionReviewVersions: [v1, v1beta1]
  timeoutSeconds: 5
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: replicas.example.com}
spec:
  paramKind: {apiVersion: v1, kind: ConfigMap}
  matchConstraints:
    resourceRules: [{operations: [CREATE, UPDATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}]
    excludeResourceRules:
    - {operations: ["*"], apiGroups: ["*"], apiVersions: ["*"], resources: ["*"], resourceNames: [free]}
  matchConditions: [{name: people, expression: "!request.userInfo.username.startsWith('system:')"}]
  variables: [{name: most, expression: "int(params.data.most)"}]
  validations:
  - expression: object.spec.replicas <= variables.most
    messageExpression: "'at most ' + params.data.most"
    reason: Forbidden
  auditAnnotations: [{key: replicas, valueExpression: string(object.spec.replicas)}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: replicas}
spec:
  policyName: replicas.example.com
  paramRef: {name: replicas, namespace: default, parameterNotFoundAction: Deny}
  matchResources: {namespaceSelector: {matchLabels: {checked: "yes"}}}
  validationActions: [Deny, Audit]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: default}
rules: [{apiGroups: [""], resources: [pods, pods/log], resourceNames: [web], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: monitor, labels: {aggregate: "true"}}
rules: [{nonResourceURLs: [/metrics, /api/*], verbs: [get]}, {apiGroups: [apps], resources: ["*"], verbs: ["*"]}]
aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}, {matchExpressions: [{key: c, operator: Exists}]}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: jane}, {kind: ServiceAccount, name: bot}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: monitor}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: monitor}
subjects:
- {kind: Group, apiGroup: rbac.authorization.k8s.io, name: ops}
- {kind: ServiceAccount, name: bot, namespace: default}
"""
SEEDS: dict[str, Message] = {document.resource.plural: document.obj for document in decode(TEXT, "seeds")}
assert SEEDS.keys() == {resource.plural for resource in KINDS}


def held(pick: random.Random, resource: Resource[Message]) -> Message:
    """An object as etcd might hold it, from an older version or a direct write."""
    maker = Maker(pick, wild=pick.choice((0.1, 0.5, 0.9)), dense=pick.choice((0.2, 0.6)))
    if pick.random() < 0.4:
        return maker.make(resource.message)
    return maker.change(SEEDS[resource.plural], pick.randrange(1, 8))


def accepted(pick: random.Random, resource: Resource[Message]) -> Message | None:
    """An object as the api-server leaves it in etcd after a create and an update of its status; None where it refuses
    the create. What makes the status be refused is left out."""
    maker = Maker(pick, wild=pick.choice((0.05, 0.3, 0.6)))
    obj = maker.change(SEEDS[resource.plural], pick.randrange(0, 6))
    status = maker.change(SEEDS[resource.plural], pick.randrange(0, 6))
    return _created(resource, obj, status)


def _created(resource: Resource[Message], obj: Any, status: Any) -> Message | None:
    rules = RULES[resource.plural]
    _stamp(obj, resource)
    try:
        if wellformed.validate(obj):
            return None
        rules.default(obj)
        rules.prepare_for_create(obj)
        if rules.validate(obj):
            return None
    except errors.ApiError:
        return None
    if "status" not in resource.subresources:
        return obj
    written = deep_copy(status)
    written.metadata.CopyFrom(obj.metadata)
    if wellformed.validate(written):
        return obj
    rules.prepare_for_status_update(written, obj)
    return obj if rules.validate_status_update(written, obj) else written


def _stamp(obj: Any, resource: Resource[Message]) -> None:
    """What the registry sets before the rules see an object."""
    m = obj.metadata
    m.uid = f"uid-{m.name}"
    m.resourceVersion = ""
    m.creationTimestamp.Clear()
    m.creationTimestamp.seconds = 1_780_000_000
    m.ClearField("deletionTimestamp")
    m.ClearField("deletionGracePeriodSeconds")
    if not resource.namespaced:
        m.ClearField("namespace")
