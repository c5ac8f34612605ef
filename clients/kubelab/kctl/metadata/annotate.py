"""``kctl annotate``: set or remove annotations."""

from __future__ import annotations

from kubelab.kctl import pairs
from kubelab.kctl.command import Command
from kubelab.kctl.metadata import updating
from kubelab.kctl.metadata.flags import flags_of
from kubelab.kctl.metadata.updating import MetadataMap, MetadataOptions
from kubelab.kctl.pairs import Changes
from kubelab.kctl.recording import CHANGE_CAUSE


def _conflict(before: dict[str, str], changes: Changes) -> str:
    taken = [
        f"'{key}' already has a value ({before[key]})"
        for key in sorted(changes.set)
        if key in before and key != CHANGE_CAUSE
    ]
    if not taken:
        return ""
    return f"--overwrite is false but found the following declared annotation(s): {'; '.join(taken)}"


ANNOTATIONS = MetadataMap(
    noun="annotation",
    plural="annotations",
    example="rsrc",
    of=lambda metadata: metadata.annotations,
    parse=pairs.parse_annotations,
    conflict=_conflict,
    done=lambda before, after, overwrite: "annotated",
    report_missing=False,
)

ANNOTATE = Command(
    "annotate",
    run=lambda session, args, options: updating.run(ANNOTATIONS, session, args, options),
    options=MetadataOptions,
    flags=flags_of(ANNOTATIONS, doing="annotation"),
    about="""\
Update the annotations on one or more resources.

 All Kubernetes objects support the ability to store additional data with the object as annotations. Annotations are \
key/value pairs that can be larger than labels and include arbitrary string values such as structured JSON. Tools and \
system extensions may use annotations to store their own data.

 Attempting to set an annotation that already exists will fail unless --overwrite is set. If --resource-version is \
specified and does not match the current resource version on the server the command will fail.""",
    examples="""\
# Update pod 'web' with the annotation 'description' and the value 'my frontend'
# If the same annotation is set multiple times, only the last value will be applied
kctl annotate pods web description='my frontend'

# Update a pod identified by type and name in "pod.yml"
kctl annotate -f pod.yml description='my frontend'

# Update pod 'web' with the annotation 'description', overwriting any existing value
kctl annotate --overwrite pods web description='my frontend running node'

# Update all pods in the namespace
kctl annotate pods --all description='my frontend running node'

# Update pod 'web' only if the resource is unchanged from version 1
kctl annotate pods web description='my frontend running node' --resource-version=1

# Update pod 'web' by removing an annotation named 'description' if it exists
# Does not require the --overwrite flag
kctl annotate pods web description-
""",
    usage="kctl annotate [--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N "
    "[--resource-version=version]",
)
