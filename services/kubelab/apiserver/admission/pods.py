"""Two plugins that complete pods: DefaultTolerationSeconds, ServiceAccount
(https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, cast

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2, serviceaccounts_pb2
from kubelab.apimachinery import errors, names
from kubelab.apimachinery.scheme import PODS
from kubelab.apimachinery.taints import NO_EXECUTE, NOT_READY, UNREACHABLE
from kubelab.apiserver.admission.chain import AdmissionPlugin
from kubelab.auth.attributes import Attributes

TOLERATION_SECONDS: Mapping[str, int] = {NOT_READY: 300, UNREACHABLE: 300}
"""How long a pod that does not say stays on a node with such a taint."""
SERVICE_ACCOUNT = "default"  # of a pod that names none
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_VOLUME, TOKEN_MODE, TOKEN_SECONDS = "kube-api-access", 0o644, 3607
ROOT_CA = "kube-root-ca.crt"  # the config map that the controller-manager keeps in every namespace
MIRROR = "kubernetes.io/config.mirror"


class PodPlugin(AdmissionPlugin):
    """The base of what completes pods: new ones, and those that are changed other than by a subresource."""

    def handles(self, a: Attributes) -> bool:
        return a.resource == PODS.plural and not a.group and not a.subresource and a.verb in ("create", "update")

    def admit(self, a: Attributes, new: Message | None, old: Message | None) -> None:
        del a
        self.complete(cast(core_pb2.Pod, new), cast("core_pb2.Pod | None", old))

    def complete(self, pod: core_pb2.Pod, old: core_pb2.Pod | None) -> None:
        """Complete a pod; Forbidden."""
        raise NotImplementedError


class DefaultTolerationSeconds(PodPlugin):
    """Lets a pod stay on a node without health for some time. ``seconds`` are by taint."""

    name: ClassVar[str] = "DefaultTolerationSeconds"

    def __init__(self, seconds: Mapping[str, int] = TOLERATION_SECONDS) -> None:
        self._seconds = seconds

    def complete(self, pod: core_pb2.Pod, old: core_pb2.Pod | None) -> None:
        del old
        tolerations = pod.spec.tolerations
        for key, seconds in self._seconds.items():
            if not any(t.key in ("", key) and t.effect in ("", NO_EXECUTE) for t in tolerations):
                tolerations.add(key=key, operator="Exists", effect=NO_EXECUTE, tolerationSeconds=seconds)


class ServiceAccount(PodPlugin):
    """Gives a pod its service account, that one's pull secrets, and a volume with its token; refuses an account that
    does not exist.

    ``account`` gives one by namespace and name; ``mounts_tokens`` says that there are tokens to be had."""

    name: ClassVar[str] = "ServiceAccount"

    def __init__(
        self,
        account: Callable[[str, str], serviceaccounts_pb2.ServiceAccount | None],
        *,
        mounts_tokens: bool = False,
    ) -> None:
        self._account, self._mounts_tokens = account, mounts_tokens

    def complete(self, pod: core_pb2.Pod, old: core_pb2.Pod | None) -> None:
        spec = pod.spec
        if old is not None:
            if name := spec.serviceAccountName or old.spec.serviceAccountName:
                spec.serviceAccountName = spec.serviceAccount = name  # a pod of an earlier version may have none
            return
        if MIRROR in pod.metadata.annotations:
            if spec.serviceAccountName:
                raise _forbidden(pod, "a mirror pod may not reference service accounts")
            if any(_has_token(volume.volumeSource) for volume in spec.volumes):
                raise _forbidden(pod, "a mirror pod may not use ServiceAccountToken volume projections")
            return
        name, namespace = spec.serviceAccountName or SERVICE_ACCOUNT, pod.metadata.namespace
        account = self._account(namespace, name)
        if account is None:
            why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise _forbidden(pod, why)
        spec.serviceAccountName = spec.serviceAccount = name
        if not spec.imagePullSecrets:
            spec.imagePullSecrets.extend(account.imagePullSecrets)
        if self._mounts_tokens and _automounts(spec, account):
            mount_token(spec)


def _automounts(spec: core_pb2.PodSpec, account: serviceaccounts_pb2.ServiceAccount) -> bool:
    """Whether the account's token is mounted: as the pod says, else as the account says, else it is."""
    if spec.HasField("automountServiceAccountToken"):
        return spec.automountServiceAccountToken
    return not account.HasField("automountServiceAccountToken") or account.automountServiceAccountToken


def mount_token(spec: core_pb2.PodSpec) -> None:
    """Mount a token, the certificate of the cluster's authority and the namespace into each container that has nothing
    of its own there, as upstream does
    (https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/)."""
    containers = [*spec.initContainers, *spec.containers]
    lacking = [c for c in containers if all(mount.mountPath != TOKEN_PATH for mount in c.volumeMounts)]
    if not lacking:
        return
    volume = spec.volumes.add(name=names.generate(f"{TOKEN_VOLUME}-"))
    projected = volume.volumeSource.projected
    projected.defaultMode = TOKEN_MODE
    token = projected.sources.add().serviceAccountToken
    token.path, token.expirationSeconds = "token", TOKEN_SECONDS
    authority = projected.sources.add().configMap
    authority.localObjectReference.name = ROOT_CA
    authority.items.add(key="ca.crt", path="ca.crt")
    item = projected.sources.add().downwardAPI.items.add(path="namespace")
    item.fieldRef.apiVersion, item.fieldRef.fieldPath = "v1", "metadata.namespace"
    for container in lacking:
        container.volumeMounts.add(name=volume.name, readOnly=True, mountPath=TOKEN_PATH)


def _has_token(source: core_pb2.VolumeSource) -> bool:
    return any(part.HasField("serviceAccountToken") for part in source.projected.sources)


def _forbidden(pod: core_pb2.Pod, why: str) -> errors.Forbidden:
    return errors.forbidden(PODS.plural, pod.metadata.name, why)
