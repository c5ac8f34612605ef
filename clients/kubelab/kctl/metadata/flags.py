"""The flags that ``label`` and ``annotate`` share, with kubectl's help."""

from __future__ import annotations

from kubelab.kctl.commonflags import DRY_RUN, FIELD_SELECTOR, OUTPUT, RECURSIVE, SELECTOR, field_manager
from kubelab.kctl.flags import Flag
from kubelab.kctl.metadata.updating import MetadataMap
from kubelab.kctl.recording import RECORD


def flags_of(kind: MetadataMap, *, doing: str) -> tuple[Flag, ...]:
    """Make the flags for one map; ``doing`` is kubectl's word in the help of ``--local``."""
    singular, plural = kind.noun, kind.plural
    command = "label" if singular == "label" else "annotate"
    identified = plural if singular == "label" else singular
    return (
        Flag("--all", kind="bool", help="Select all resources, in the namespace of the specified resource types."),
        Flag(
            "--all-namespaces",
            "-A",
            kind="bool",
            help="If true, check the specified action in all namespaces.",
        ),
        DRY_RUN,
        field_manager(command),
        FIELD_SELECTOR,
        Flag(
            "--filename",
            "-f",
            kind="csv",
            help=f"Filename, directory, or URL to files identifying the resource to update the {identified}",
        ),
        Flag("--list", kind="bool", help=f"If true, display the {plural} for a given resource."),
        Flag("--local", kind="bool", help=f"If true, {doing} will NOT contact api-server but run locally."),
        OUTPUT,
        Flag(
            "--overwrite",
            kind="bool",
            help=f"If true, allow {plural} to be overwritten, otherwise reject {singular} updates that overwrite "
            f"existing {plural}.",
        ),
        RECORD,
        RECURSIVE,
        Flag(
            "--resource-version",
            help=f"If non-empty, the {identified} update will only succeed if this is the current resource-version "
            "for the object. Only valid when specifying a single resource.",
        ),
        SELECTOR,
    )
