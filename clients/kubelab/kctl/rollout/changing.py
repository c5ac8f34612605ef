"""``kctl rollout pause``, ``resume`` and ``restart``: each writes one field."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubelab.kctl import visitor
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import OUTPUT, ResourceOptions, field_manager
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.resource import Info, ResourceSelection
from kubelab.kctl.rollout.flags import SELECTING, infos, selected
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.client.client import Client

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
_RESTARTED = ("Deployment", "DaemonSet", "StatefulSet")
Patch = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChangeOptions(ResourceOptions):
    field_manager: str
    output: str


def _pause(obj: Any, now: float) -> Patch:
    del now
    if obj.DESCRIPTOR.name != "Deployment":
        raise Failed("pausing is not supported")
    if obj.spec.paused:
        raise Failed("is already paused")
    return {"spec": {"paused": True}}


def _resume(obj: Any, now: float) -> Patch:
    del now
    if obj.DESCRIPTOR.name != "Deployment":
        raise Failed("resuming is not supported")
    if not obj.spec.paused:
        raise Failed("is not paused")
    return {"spec": {"paused": None}}


def _restart(obj: Any, now: float) -> Patch:
    if obj.DESCRIPTOR.name not in _RESTARTED:
        raise Failed("restarting is not supported")
    if obj.DESCRIPTOR.name == "Deployment" and obj.spec.paused:
        raise Failed("can't restart paused deployment (run rollout resume first)")
    annotations = {RESTARTED_AT: _rfc3339(now)}
    if obj.spec.template.metadata.annotations.get(RESTARTED_AT) == annotations[RESTARTED_AT]:
        return {}
    return {"spec": {"template": {"metadata": {"annotations": annotations}}}}


def _rfc3339(now: float) -> str:
    """``2024-05-01T12:00:00Z``, in the machine's time zone, as Go writes it."""
    from datetime import datetime

    text = datetime.fromtimestamp(now).astimezone().isoformat(timespec="seconds")
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


class _Changer:
    def __init__(
        self, session: Session, options: ChangeOptions, change: Callable[[Message, float], Patch], done: str
    ) -> None:
        self._session, self._options, self._change, self._done = session, options, change, done
        self._printer = ResultPrinter.of(options.output, "none")

    async def run(self, client: Client, selection: ResourceSelection) -> visitor.Errors:
        found = [info async for info in infos(client, self._session, selection, self._options.selector)]
        if not found:
            print(f"No resources found in {self._session.namespace} namespace.", file=sys.stderr)
        return await visitor.continue_on_error(found, lambda info: self._one(client, info))

    async def _one(self, client: Client, info: Info) -> None:
        from kubelab.apimachinery.errors import ApiError
        from kubelab.apimachinery.patch.types import PatchType

        obj = await client.get(info.resource, info.name, info.namespace)
        try:
            patch = self._change(obj, self._session.clock.time())
        except Failed as err:
            raise Failed(f'error: {info.resource.qualified} "{info.name}" {err}') from err
        if not patch:
            raise Failed(
                f"error: failed to create patch for {info.name}: if restart has already been triggered within the past "
                "second, please wait before attempting to trigger another"
            )
        content, manager = json.dumps(patch).encode(), self._options.field_manager
        try:
            changed = await client.patch(
                info.resource, info.name, content, PatchType.STRATEGIC, info.namespace, field_manager=manager
            )
        except ApiError as err:
            raise Failed(f"error: failed to patch: {err.message}") from err
        print(self._printer.show(changed, self._done), end="", flush=True)


def _command(name: str, change: Callable[[Message, float], Patch], done: str, about: str, examples: str) -> Command:
    def run(session: Session, args: tuple[str, ...], options: ChangeOptions) -> int:
        changer = _Changer(session, options, change, done)
        selection = selected(session, args, options)
        return visitor.run(session, lambda client: changer.run(client, selection))

    return Command(
        name,
        run=run,
        options=ChangeOptions,
        flags=(field_manager("rollout"), *SELECTING, OUTPUT),
        about=about,
        examples=examples,
        usage=f"kctl rollout {name} RESOURCE",
    )


PAUSE = _command(
    "pause",
    _pause,
    "paused",
    """\
Mark the provided resource as paused.

 Paused resources will not be reconciled by a controller. Use "kctl rollout resume" to resume a paused resource. \
Currently only deployments support being paused.""",
    """\
# Mark the nginx deployment as paused
# Any current state of the deployment will continue its function; new updates
# to the deployment will not have an effect as long as the deployment is paused
kctl rollout pause deployment/nginx
""",
)
RESUME = _command(
    "resume",
    _resume,
    "resumed",
    "Resume a paused resource.\n\n Paused resources will not be reconciled by a controller. By resuming a resource, we "
    "allow it to be reconciled again. Currently only deployments support being resumed.",
    "# Resume an already paused deployment\nkctl rollout resume deployment/nginx",
)
RESTART = _command(
    "restart",
    _restart,
    "restarted",
    "Restart a resource.\n\n        Resource rollout will be restarted.",
    """\
# Restart all deployments in the test-namespace namespace
kctl rollout restart deployment -n test-namespace

# Restart a deployment
kctl rollout restart deployment/nginx

# Restart a daemon set
kctl rollout restart daemonset/abc

# Restart deployments with the app=nginx label
kctl rollout restart deployment --selector=app=nginx
""",
)
