"""``kctl config``: the commands for clusters."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.command import Command, NoOptions
from kubelab.kctl.config.entries import delete_entry, exact, print_names
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Session

EMBED_CERTS = "--embed-certs"


@dataclass(frozen=True, slots=True)
class SetClusterOptions:
    certificate_authority: str
    embed_certs: bool
    insecure_skip_tls_verify: bool
    proxy_url: str
    server: str
    tls_server_name: str


def _set_cluster(session: Session, args: tuple[str, ...], options: SetClusterOptions) -> int:
    exact(session, args, 1)
    changed = session.line.changed
    if options.insecure_skip_tls_verify and options.certificate_authority:
        raise UsageProblem("you cannot specify a certificate authority and insecure mode at the same time")
    if options.embed_certs and not options.certificate_authority:
        raise UsageProblem("you must specify a --certificate-authority to embed")
    certificate = embedded("certificate-authority", options.certificate_authority, embed=options.embed_certs)

    def change(body: dict[str, Any]) -> None:
        body.setdefault("server", "")
        for key in ("server", "tls-server-name", "proxy-url"):
            if changed(key):
                put(body, key, getattr(options, key.replace("-", "_")))
        body.setdefault("server", "")
        if changed("insecure-skip-tls-verify"):
            put(body, "insecure-skip-tls-verify", options.insecure_skip_tls_verify)
            if options.insecure_skip_tls_verify:
                remove(body, "certificate-authority")
        if changed("certificate-authority"):
            remove(body, "certificate-authority")
            body.pop("insecure-skip-tls-verify", None)
            body.update(certificate)

    session.rules.edit_entry("clusters", args[0], change)
    print(f'Cluster "{escaped(args[0])}" set.')
    return 0


def embedded(key: str, file: str, *, embed: bool) -> dict[str, str]:
    """Give what an entry says of a file: its path, or its content. Raises UsageProblem when it cannot be read."""
    if not file:
        return {}
    path = Path(file).expanduser()
    if not embed:
        return {key: str(path.absolute())}
    try:
        return {f"{key}-data": base64.b64encode(path.read_bytes()).decode()}
    except OSError as err:
        reason = (err.strerror or "").lower()
        raise UsageProblem(f"could not stat {key} file {path}: stat {path}: {reason}") from err


def put(body: dict[str, Any], key: str, value: str | bool) -> None:
    """Set a field; an empty value takes it away."""
    if value:
        body[key] = value
    else:
        body.pop(key, None)


def remove(body: dict[str, Any], key: str) -> None:
    """Take a file and its embedded content away."""
    body.pop(key, None)
    body.pop(f"{key}-data", None)


SET_CLUSTER = Command(
    "set-cluster",
    run=_set_cluster,
    options=SetClusterOptions,
    flags=(
        Flag("--certificate-authority", help="Path to certificate-authority file for the cluster entry in kubeconfig"),
        Flag(EMBED_CERTS, kind="bool", help="embed-certs for the cluster entry in kubeconfig"),
        Flag(
            "--insecure-skip-tls-verify",
            kind="bool",
            help="insecure-skip-tls-verify for the cluster entry in kubeconfig",
        ),
        Flag("--proxy-url", help="proxy-url for the cluster entry in kubeconfig"),
        Flag("--server", "-s", help="server for the cluster entry in kubeconfig"),
        Flag("--tls-server-name", help="tls-server-name for the cluster entry in kubeconfig"),
    ),
    about="Set a cluster entry in kubeconfig.\n\n Specifying a name that already exists will merge new fields on top "
    "of existing values for those fields.",
    examples="""\
# Set only the server field on the e2e cluster entry without touching other values
kctl config set-cluster e2e --server=https://1.2.3.4

# Embed certificate authority data for the e2e cluster entry
kctl config set-cluster e2e --embed-certs --certificate-authority=~/.kube/e2e/kubernetes.ca.crt

# Disable cert checking for the e2e cluster entry
kctl config set-cluster e2e --insecure-skip-tls-verify=true

# Set the custom TLS server name to use for validation for the e2e cluster entry
kctl config set-cluster e2e --tls-server-name=my-cluster-name

# Set the proxy URL for the e2e cluster entry
kctl config set-cluster e2e --proxy-url=https://1.2.3.4""",
    usage="kctl config set-cluster NAME [--server=server] "
    "[--certificate-authority=path/to/certificate/authority] [--insecure-skip-tls-verify=true] "
    "[--tls-server-name=example.com]",
)
GET_CLUSTERS = Command(
    "get-clusters",
    run=print_names("clusters"),
    options=NoOptions,
    about="Display clusters defined in the kubeconfig.",
    examples="# List the clusters that kctl knows about\nkctl config get-clusters",
    usage="kctl config get-clusters",
)
DELETE_CLUSTER = Command(
    "delete-cluster",
    run=delete_entry("clusters"),
    options=NoOptions,
    about="Delete the specified cluster from the kubeconfig.",
    examples="# Delete the minikube cluster\nkctl config delete-cluster minikube",
    usage="kctl config delete-cluster NAME",
)
