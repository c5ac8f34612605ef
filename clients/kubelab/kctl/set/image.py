"""``kctl set image``: the images of containers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import Message

from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import SELECTOR
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.pairs import split
from kubelab.kctl.podspecs import pod_spec_of
from kubelab.kctl.session import Session
from kubelab.kctl.set import updating
from kubelab.kctl.set.flags import POD_TEMPLATES, flags_of
from kubelab.kctl.set.updating import SetOptions, Update

EVERY = "*"


@dataclass(frozen=True, slots=True)
class ImageOptions(SetOptions):
    selector: str


def _image(session: Session, args: tuple[str, ...], options: ImageOptions) -> int:
    resources, pairs = split(args, "image")
    updating.require_files(resources, options)
    if options.all and options.selector:
        raise UsageProblem(updating.ALL_AND_SELECTOR)
    images = _parse(pairs)
    if not images:
        raise UsageProblem("at least one image update is required")
    if len(images) > 1 and EVERY in images:
        raise UsageProblem(
            "all containers are already specified by *, but saw more than one container_name=container_image pairs"
        )

    def change(obj: Message) -> Sequence[str]:
        spec = pod_spec_of(obj)
        missing: list[str] = []
        for name, image in images.items():
            containers = [c for c in (*spec.initContainers, *spec.containers) if name in (c.name, EVERY)]
            for container in containers:
                container.image = image
            if not containers:
                missing.append(f'unable to find container named "{name}"')
        return missing

    update = Update("image updated", "failed to patch image update to pod template: ", change)
    return updating.run(session, resources, options, update, selector=options.selector)


def _parse(pairs: Sequence[str]) -> dict[str, str]:
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise UsageProblem(f"invalid image format: {', '.join(wrong)}")
    return {name: image for name, _, image in (pair.partition("=") for pair in pairs)}


IMAGE = Command(
    "image",
    run=_image,
    options=ImageOptions,
    flags=(*flags_of("image"), SELECTOR),
    about=f"""\
Update existing container image(s) of resources.

 Possible resources include (case insensitive):

        {POD_TEMPLATES}""",
    examples="""\
# Set a deployment's node container image to 'node:1.9.1', and its busybox container image to 'busybox'
kctl set image deployment/node busybox=busybox node=node:1.9.1

# Update all deployments' and rc's node container's image to 'node:1.9.1'
kctl set image deployments,rc node=node:1.9.1 --all

# Update image of all containers of daemonset abc to 'node:1.9.1'
kctl set image daemonset abc *=node:1.9.1

# Print result (in yaml format) of updating the container image from local file, without hitting the server
kctl set image -f path/to/file.yaml node=node:1.9.1 --local -o yaml
""",
    usage="kctl set image (-f FILENAME | TYPE NAME) CONTAINER_NAME_1=CONTAINER_IMAGE_1 ... "
    "CONTAINER_NAME_N=CONTAINER_IMAGE_N",
)
