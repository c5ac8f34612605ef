"""The flags that every ``kctl set …`` has, with kubectl's help."""

from __future__ import annotations

from kubelab.kctl.commonflags import DRY_RUN, OUTPUT, RECURSIVE, field_manager
from kubelab.kctl.flags import Flag
from kubelab.kctl.recording import RECORD

POD_TEMPLATES = (
    "pod (po), replicationcontroller (rc), deployment (deploy), daemonset (ds), statefulset (sts), cronjob (cj), "
    "replicaset (rs)"
)


def flags_of(command: str) -> tuple[Flag, ...]:
    """Make the flags; ``command`` is such as ``image``."""
    return (
        Flag("--all", kind="bool", help="Select all resources, in the namespace of the specified resource types"),
        DRY_RUN,
        field_manager("set"),
        Flag(
            "--filename",
            "-f",
            kind="csv",
            help="Filename, directory, or URL to files identifying the resource to get from a server.",
        ),
        Flag("--local", kind="bool", help=f"If true, set {command} will NOT contact api-server but run locally."),
        OUTPUT,
        RECORD,
        RECURSIVE,
    )


CONTAINERS = Flag(
    "--containers",
    "-c",
    default="*",
    help="The names of containers in the selected pod templates to change, all containers are selected by default - "
    "may use wildcards",
)
