"""Keep the certificate of the cluster's authority in every active namespace, where pods check the api-server with it
(upstream: ``pkg/controller/certificates/rootcacertpublisher``)."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.errors import NAMESPACE_TERMINATING, AlreadyExists, ApiError, NotFound, has_cause
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import is_terminating
from kubelab.apimachinery.scheme import CONFIG_MAPS, NAMESPACES
from kubelab.client.controller import Reconciler
from kubelab.client.kubeconfig import Kubeconfig, KubeconfigError
from kubelab.component.config import ConfigError
from kubelab.controllermanager.config import ControllerManagerConfig
from kubelab.controllermanager.context import ControllerContext

NAME, KEY = "kube-root-ca.crt", "ca.crt"
ANNOTATION = "kubernetes.io/description"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class RootCACertPublisher(Reconciler[str]):
    """Own the config map :data:`NAME` of every namespace. One key is one namespace."""

    name = "rootcacertpublisher"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._data = {KEY: root_ca(context.config)}
        self._namespaces = context.informers.of(NAMESPACES)
        self._config_maps = context.informers.of(CONFIG_MAPS)
        self._namespaces.add_handler(on_add=self._enqueue, on_update=lambda _, new: self._enqueue(new))
        self._config_maps.add_handler(on_update=lambda _, new: self._changed(new), on_delete=self._changed)

    def enqueue_all(self) -> None:
        """Look at every namespace."""
        for namespace in self._namespaces.list():
            self._enqueue(namespace)

    def _enqueue(self, namespace: core_pb2.Namespace) -> None:
        self._queue.add(namespace.metadata.name)

    def _changed(self, config_map: core_pb2.ConfigMap) -> None:
        if config_map.metadata.name == NAME:
            self._queue.add(config_map.metadata.namespace)

    async def sync(self, key: str) -> None:
        """Create one namespace's config map, or put back what others changed."""
        namespace = self._namespaces.get(key)
        if namespace is None or is_terminating(namespace) or not self._data[KEY]:
            return
        present = self._config_maps.get(f"{key}/{NAME}")
        try:
            if present is None:
                meta = meta_pb2.ObjectMeta(name=NAME, namespace=key, annotations={ANNOTATION: DESCRIPTION})
                await self._client.create(core_pb2.ConfigMap(metadata=meta, data=self._data))
            elif present.data != self._data or present.metadata.annotations.get(ANNOTATION) != DESCRIPTION:
                mended = deep_copy(present)
                mended.data.clear()
                mended.data.update(self._data)
                mended.metadata.annotations[ANNOTATION] = DESCRIPTION
                await self._client.update(mended)
        except (AlreadyExists, NotFound):
            return  # another one was faster, or the namespace is gone
        except ApiError as err:
            if not has_cause(err, NAMESPACE_TERMINATING):
                raise


def root_ca(config: ControllerManagerConfig) -> str:
    """The certificate in PEM, empty where the process was told none. ConfigError for a file that cannot be read."""
    try:
        if config.root_ca_file is not None:
            return config.root_ca_file.read_text()
        if config.kubeconfig is None:
            return ""
        return Kubeconfig.load(config.kubeconfig).access().ca.decode()
    except (OSError, KubeconfigError, UnicodeDecodeError) as err:
        raise ConfigError(f"rootCaFile: {err}") from err
