"""How volumes and mounts are described: kubectl 1.32's words and order."""

from __future__ import annotations

from kubelab.apimachinery.manifest.decode import decode
from kubelab.kctl.describe import pods

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default}
spec:
  containers:
  - name: app
    image: a
    volumeMounts:
    - {name: work, mountPath: /work, subPath: a/b}
    - {name: conf, mountPath: /etc/app, readOnly: true}
  volumes:
  - {name: work, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: disk, emptyDir: {}}
  - {name: conf, configMap: {name: app, optional: true}}
  - {name: keys, secret: {secretName: db}}
  - {name: host, hostPath: {path: /var, type: Directory}}
  - name: about
    downwardAPI:
      items:
      - {path: labels, fieldRef: {fieldPath: metadata.labels}}
      - {path: cpu, resourceFieldRef: {containerName: app, resource: limits.cpu}}
  - name: kube-api-access-x2k4q
    projected:
      sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
      - secret: {name: db, optional: true}
  - {name: claim, persistentVolumeClaim: {claimName: data}}
  - {name: share, nfs: {server: s, path: /}}
"""
MOUNTS = """\
    Mounts:
      /etc/app from conf (ro)
      /work from work (rw,path="a/b")
"""
VOLUMES = """\
Volumes:
  work:
    Type:       EmptyDir (a temporary directory that shares a pod's lifetime)
    Medium:     Memory
    SizeLimit:  1Mi
  disk:
    Type:       EmptyDir (a temporary directory that shares a pod's lifetime)
    Medium:     @
    SizeLimit:  <unset>
  conf:
    Type:      ConfigMap (a volume populated by a ConfigMap)
    Name:      app
    Optional:  true
  keys:
    Type:        Secret (a volume populated by a Secret)
    SecretName:  db
    Optional:    false
  host:
    Type:          HostPath (bare host directory volume)
    Path:          /var
    HostPathType:  Directory
  about:
    Type:  DownwardAPI (a volume populated by information about the pod)
    Items:
      metadata.labels -> labels
      limits.cpu -> cpu
  kube-api-access-x2k4q:
    Type:                    Projected (a volume that contains injected data from multiple sources)
    TokenExpirationSeconds:  3607
    ConfigMapName:           kube-root-ca.crt
    ConfigMapOptional:       <nil>
    DownwardAPI:             true
    SecretName:              db
    SecretOptionalName:      true
  claim:
    Type:       PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)
    ClaimName:  data
    ReadOnly:   false
  share:
    Type:        Nfs
QoS Class:       BestEffort
"""


def test_volumes_and_mounts_are_described_as_kubectl_does() -> None:
    (document,) = decode(POD, "pod.yml")
    told = pods.describe(document.obj, None, 0.0)  # type: ignore[arg-type]
    assert MOUNTS in told
    assert VOLUMES.replace("@", "") in told
