"""``kctl label``: set or remove labels."""

from __future__ import annotations

from kubelab.kctl import pairs
from kubelab.kctl.command import Command
from kubelab.kctl.metadata import updating
from kubelab.kctl.metadata.flags import flags_of
from kubelab.kctl.metadata.updating import MetadataMap, MetadataOptions
from kubelab.kctl.pairs import Changes


def _conflict(before: dict[str, str], changes: Changes) -> str:
    return ", ".join(
        f"'{key}' already has a value ({before[key]}), and --overwrite is false"
        for key, value in sorted(changes.set.items())
        if before.get(key, value) != value
    )


def _done(before: dict[str, str], after: dict[str, str], overwrite: bool) -> str:
    if before == after:
        return "not labeled"
    return "unlabeled" if _length(after) < _length(before) and not overwrite else "labeled"


def _length(labels: dict[str, str]) -> int:
    """Give how long labels are in JSON: kubectl takes an object that became shorter for an unlabeled one."""
    import json

    return len(json.dumps(labels, separators=(",", ":"), ensure_ascii=False)) if labels else -len('"labels":')


LABELS = MetadataMap(
    noun="label",
    plural="labels",
    example="pod",
    of=lambda metadata: metadata.labels,
    parse=pairs.parse_labels,
    conflict=_conflict,
    done=_done,
    report_missing=True,
)

LABEL = Command(
    "label",
    run=lambda session, args, options: updating.run(LABELS, session, args, options),
    options=MetadataOptions,
    flags=flags_of(LABELS, doing="label"),
    about="""\
Update the labels on a resource.

  *  A label key and value must begin with a letter or number, and may contain letters, numbers, hyphens, dots, and \
underscores, up to 63 characters each.
  *  Optionally, the key can begin with a DNS subdomain prefix and a single '/', like example.com/my-app.
  *  If --overwrite is true, then existing labels can be overwritten, otherwise attempting to overwrite a label will \
result in an error.
  *  If --resource-version is specified, then updates will use this resource version, otherwise the existing \
resource-version will be used.""",
    examples="""\
# Update pod 'web' with the label 'unhealthy' and the value 'true'
kctl label pods web unhealthy=true

# Update pod 'web' with the label 'status' and the value 'unhealthy', overwriting any existing value
kctl label --overwrite pods web status=unhealthy

# Update all pods in the namespace
kctl label pods --all status=unhealthy

# Update a pod identified by the type and name in "pod.yml"
kctl label -f pod.yml status=unhealthy

# Update pod 'web' only if the resource is unchanged from version 1
kctl label pods web status=unhealthy --resource-version=1

# Update pod 'web' by removing a label named 'bar' if it exists
# Does not require the --overwrite flag
kctl label pods web bar-
""",
    usage="kctl label [--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N [--resource-version=version]",
)
