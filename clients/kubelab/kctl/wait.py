"""``kctl wait``: until an object is in a condition, a JSONPath expression has a value, it exists, or it is gone."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from kubelab.kctl import builder, visitor
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import (
    ALL_NAMESPACES,
    FIELD_SELECTOR,
    FILENAME,
    OUTPUT,
    RECURSIVE,
    SELECTOR,
    ResourceOptions,
)
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.resource import Info, ResourceSelection
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.apimachinery.jsonpath import JSONPath
    from kubelab.client.client import Client

_SINGLE_EQUALS = re.compile(r"(?<!=)=(?!=)")  # "==" belongs to a filter
FOR_EVER = 168 * 3600.0  # seconds: kubectl's "a week" for a negative timeout


@dataclass(frozen=True, slots=True)
class WaitCondition:
    """The value of ``--for``: ``condition`` with its type and status, ``jsonpath``, ``create`` or ``delete``.

    ``value`` is what the expression gives; None for any value.
    """

    kind: str
    condition: str = ""
    status: str = ""
    path: JSONPath | None = None
    value: str | None = None

    def reached(self, obj: Message | None) -> bool:
        if self.kind == "delete":
            return obj is None
        if obj is None:
            return False
        if self.kind == "create":
            return True
        if self.path is not None:
            return self._has_value(self.path, obj)
        conditions = getattr(getattr(obj, "status", None), "conditions", ())
        return any(
            one.type.lower() == self.condition.lower() and one.status.lower() == self.status.lower()
            for one in cast(Any, conditions)
        )

    def _has_value(self, path: JSONPath, obj: Message) -> bool:
        """Compare the one value that the expression gives. Raises Failed where there are several, or no plain one."""
        from kubelab.apimachinery.jsonpath import JSONPathError
        from kubelab.apimachinery.jsonpath.evaluate import go_text
        from kubelab.apimachinery.manifest import encode

        try:
            found = path.find(encode.to_dict(obj))
        except JSONPathError as err:
            raise Failed(f"error: {err}") from err
        if not found or not found[0]:
            return False
        if len(found) > 1:
            raise Failed("error: given jsonpath expression matches more than one list")
        if len(found[0]) > 1:
            raise Failed("error: given jsonpath expression matches more than one value")
        if self.value is None:
            return True
        if isinstance(found[0][0], (dict, list)):
            raise Failed("error: jsonpath leads to a nested object or list which is not supported")
        return go_text(found[0][0]).strip() == self.value.strip()


def parse_condition(text: str) -> WaitCondition:
    """Read ``condition=Ready``, ``condition=Ready=false``, ``jsonpath={.a}=b``, ``create``, ``delete``."""
    if text.lower() in ("create", "delete"):
        return WaitCondition(text.lower())
    if text.startswith("jsonpath="):
        return _parse_jsonpath(text.removeprefix("jsonpath="))
    kind, _, rest = text.partition("=")
    name, _, value = rest.partition("=")
    if kind != "condition" or not name:
        raise UsageProblem(f'unrecognized condition: "{text}"')
    return WaitCondition("condition", name, value or "true")


def _parse_jsonpath(text: str) -> WaitCondition:
    from kubelab.kctl.relaxedpath import relaxed_path

    path, *values = _SINGLE_EQUALS.split(text)
    if len(values) > 1:
        raise UsageProblem(
            "jsonpath wait format must be --for=jsonpath='{.status.readyReplicas}'=3 or "
            "--for=jsonpath='{.status.readyReplicas}'"
        )
    if not path:
        raise UsageProblem("jsonpath expression cannot be empty")
    parsed = relaxed_path(path)
    value = values[0].strip("'\"") if values else None
    if value == "":
        raise UsageProblem(
            "jsonpath wait has to have a value after equal sign, like --for=jsonpath='{.status.readyReplicas}'=3"
        )
    return WaitCondition("jsonpath", path=parsed, value=value)


@dataclass(frozen=True, slots=True)
class WaitOptions(ResourceOptions):
    all: bool
    all_namespaces: bool
    field_selector: str
    for_condition: str
    output: str
    timeout: float


def _wait(session: Session, args: tuple[str, ...], options: WaitOptions) -> int:
    printer = ResultPrinter.of(options.output, "none")
    condition = parse_condition(options.for_condition)
    selecting = options.all or bool(options.selector or options.field_selector)
    selection = builder.build(session, args, options, selecting=selecting, all_namespaces=options.all_namespaces)
    waiter = _Waiter(session, condition, printer, FOR_EVER if options.timeout < 0 else options.timeout)
    return visitor.run(session, lambda client: waiter.run(client, selection, options), endless=True)


class _Waiter:
    """Waits for one object after the other; they share the time, and what one lacks does not hide the others."""

    def __init__(self, session: Session, condition: WaitCondition, printer: ResultPrinter, timeout: float) -> None:
        self._session, self._condition, self._printer, self._timeout = session, condition, printer, timeout
        self._last: Message | None = None  # the latest state of the object that is waited for
        self._end = session.clock.monotonic() + timeout

    async def run(self, client: Client, selection: ResourceSelection, options: WaitOptions) -> visitor.Errors:
        namespace = "" if options.all_namespaces else self._session.namespace
        selectors = {"label_selector": options.selector, "field_selector": options.field_selector}
        infos: list[Info] = []
        listed: set[Info] = set()
        for item in selection.items:
            some = [i async for i in visitor.infos(client, item, namespace, **selectors)]
            infos += some
            if item.name is None:
                listed.update(some)
        if not infos and self._condition.kind != "delete":
            raise Failed("error: no matching resources found")

        async def visit(info: Info) -> None:
            if await self._one(client, info) or info in listed:  # as kubectl: a name that never existed prints nothing
                self._print(info)

        return await visitor.continue_on_error(infos, visit)

    def _print(self, info: Info) -> None:
        """Print the object in the form of ``-o``; of one that was gone before, only the name is known."""
        if self._last is None or not self._printer.whole:
            text = self._printer.show_document({}, info.noun, "condition met")
        else:
            text = self._printer.show(self._last, "condition met")
        print(text, end="", flush=True)

    async def _one(self, client: Client, info: Info) -> bool:
        """Wait for one object, and say whether it was seen. Raises Failed when the time is over."""
        self._last = None
        try:
            if self._timeout:
                async with self._session.clock.timeout(max(0.0, self._end - self._session.clock.monotonic())):
                    return await self._until(client, info)
            obj = await self._get(client, info)
        except TimeoutError as err:
            raise Failed(f"error: timed out waiting for the condition on {info.resource}/{info.name}") from err
        if not self._condition.reached(obj):
            raise Failed(f"error: condition not met for {info.resource}/{info.name}")
        return obj is not None

    async def _get(self, client: Client, info: Info) -> Message | None:
        """Read the object; that it is missing is an answer, where it is not its condition that is waited for."""
        from kubelab.apimachinery.errors import NotFound

        try:
            self._last = await client.get(info.resource, info.name, info.namespace)
            return self._last
        except NotFound:
            if self._condition.kind in ("condition", "jsonpath"):
                raise
            return None

    async def _until(self, client: Client, info: Info) -> bool:
        from kubelab.kctl.listwatch import object_states

        obj = await self._get(client, info)  # fails at once without a server; the watch below tries again
        if self._condition.reached(obj):
            return obj is not None
        async with contextlib.aclosing(object_states(client, info, self._session.clock)) as states:
            async for state in states:
                self._last = state or self._last
                if self._condition.reached(state):
                    break
        return True


WAIT = Command(
    "wait",
    kustomizes=False,
    run=_wait,
    options=WaitOptions,
    flags=(
        Flag("--all", kind="bool", help="Select all resources in the namespace of the specified resource types"),
        ALL_NAMESPACES,
        FIELD_SELECTOR,
        FILENAME,
        OUTPUT,
        Flag(
            "--for",
            "for_condition",
            default="",
            help="The condition to wait on: [create|delete|condition=condition-name[=condition-value]|"
            "jsonpath='{JSONPath expression}'=[JSONPath value]]. The default condition-value is true. Condition values "
            "are compared after Unicode simple case folding, which is a more general form of case-insensitivity.",
        ),
        RECURSIVE,
        SELECTOR,
        Flag(
            "--timeout",
            kind="duration",
            default=30.0,
            help="The length of time to wait before giving up. Zero means check once and don't wait, negative means "
            "wait for a week.",
        ),
    ),
    about="Wait for a specific condition on one or many resources.",
    examples="""\
# Wait for the pod "busybox1" to contain the status condition of type "Ready"
kctl wait --for=condition=Ready pod/busybox1

# The default value of status condition is true; you can wait for other targets after an equal delimiter
kctl wait --for=condition=Ready=false pod/busybox1

# Wait for the pod "busybox1" to contain the status phase to be "Running"
kctl wait --for=jsonpath='{.status.phase}'=Running pod/busybox1

# Wait for pod "busybox1" to be Ready
kctl wait --for='jsonpath={.status.conditions[?(@.type=="Ready")].status}=True' pod/busybox1

# Wait for the secret "busybox1" to be created, with a timeout of 30s
kctl wait --for=create secret/busybox1 --timeout=30s

# Wait for the pod "busybox1" to be deleted, with a timeout of 60s
kctl wait --for=delete pod/busybox1 --timeout=60s
""",
    usage="kctl wait ([-f FILENAME] | resource.group/resource.name | resource.group [(-l label | --all)]) "
    "[--for=create|--for=delete|--for condition=available|--for=jsonpath='{}'[=value]]",
)
