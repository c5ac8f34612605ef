"""A pod's names: the one it calls itself, the fully qualified one, and the /etc/hosts of its containers where the
runtime's own does not do.

https://kubernetes.io/docs/concepts/workloads/pods/pod-hostname/
https://kubernetes.io/docs/tasks/network/customize-hosts-file-for-pods/
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kubelab.api.core.v1 import core_pb2
from kubelab.kubelet.containers.environment import ConfigError

MAX_HOSTNAME = 63
MAX_FQDN = 64  # what the kernel keeps of a host name
FILE = "etc-hosts"
_OWN = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""
_OF_THE_NODE = "# Kubernetes-managed hosts file (host network).\n"


def names(pod: core_pb2.Pod, node_name: str, cluster_domain: str) -> tuple[str, str]:
    """The short name and the domain, "" without a subdomain. On the host's network it is the node's name."""
    if pod.spec.hostNetwork:
        return node_name, ""
    short = (pod.spec.hostname or pod.metadata.name)[:MAX_HOSTNAME].rstrip("-.")
    subdomain = pod.spec.subdomain
    return short, f"{subdomain}.{pod.metadata.namespace}.svc.{cluster_domain}" if subdomain else ""


def hostname(pod: core_pb2.Pod, node_name: str, cluster_domain: str) -> str:
    """What the kernel of the pod answers to hostname(1). ConfigError where that would be too long."""
    short, domain = names(pod, node_name, cluster_domain)
    if not pod.spec.setHostnameAsFQDN or not domain:
        return short
    full = f"{short}.{domain}"
    if len(full) > MAX_FQDN:
        raise ConfigError(
            f"failed to construct FQDN from Pod hostname and cluster domain, FQDN {full} is too long ({MAX_FQDN} "
            f"characters is the max, {len(full)} characters requested)"
        )
    return full


def has_own(pod: core_pb2.Pod) -> bool:
    """Whether the containers need another /etc/hosts than the runtime gives to each pod."""
    return bool(pod.spec.hostAliases or (pod.spec.subdomain and not pod.spec.hostNetwork))


def content(pod: core_pb2.Pod, addresses: Sequence[str], node: tuple[str, str, str]) -> str:
    """Upstream's managed hosts file; ``node`` is its name, the cluster's domain, and the text of its own file."""
    node_name, cluster_domain, of_the_node = node
    short, domain = names(pod, node_name, cluster_domain)
    lines: list[str] = []
    if not pod.spec.hostNetwork:
        hostnames = f"{short}.{domain}\t{short}" if domain else short
        lines += [f"{address}\t{hostnames}" for address in addresses]
    if pod.spec.hostAliases:
        lines += ["", "# Entries added by HostAliases."]
        lines += ["\t".join((alias.ip, *alias.hostnames)) for alias in pod.spec.hostAliases]
    above = f"{_OF_THE_NODE}{of_the_node.rstrip()}\n" if pod.spec.hostNetwork else _OWN
    return above + "".join(f"{line}\n" for line in lines)


def write(folder: Path, text: str) -> Path:
    """Keep the file in the pod's folder; a container that is restarted is given the same one. OSError."""
    path = folder / FILE
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    return path
