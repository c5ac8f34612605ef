"""Options that several commands share."""

from __future__ import annotations

import click

from kubelab.cluster.record import DEFAULT_NAME

cluster_option = click.option(
    "-p",
    "--name",
    default=DEFAULT_NAME,
    envvar="KUBELAB_CLUSTER",
    show_default=True,
    show_envvar=True,
    help="the cluster's name",
)
