"""Options that several commands share."""

from __future__ import annotations

import click

from kubelab.cluster.find import default_name

cluster_option = click.option(
    "-p",
    "--name",
    "--profile",  # minikube's word
    default=default_name,
    envvar="KUBELAB_CLUSTER",
    show_default="the one that kctl talks to",
    show_envvar=True,
    help="the cluster's name",
)
