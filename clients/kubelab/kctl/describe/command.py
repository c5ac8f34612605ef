"""``kctl describe``: reads an object with all that belongs to it, and hands it to the function that describes it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.kctl import builder, visitor
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import ALL_NAMESPACES, CHUNK_SIZE, FILENAME, RECURSIVE, SELECTOR, ResourceOptions
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.resource import ResourceSelection, ResourceTuple
from kubelab.kctl.session import Session

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.client.client import Client


@dataclass(frozen=True, slots=True)
class DescribeOptions(ResourceOptions):
    all_namespaces: bool
    chunk_size: int
    show_events: bool


def _describe(session: Session, args: tuple[str, ...], options: DescribeOptions) -> int:
    if not args and not options.filename:
        raise UsageProblem(
            'You must specify the type of resource to describe. Use "kctl api-resources" for a complete list of '
            "supported resources."
        )
    selection = builder.build(
        session,
        args,
        options,
        selecting=bool(options.selector),
        all_namespaces=options.all_namespaces,
        whole_types=True,
    )
    describer = _Describer(session, options)
    return visitor.run(session, lambda client: describer.run(client, selection))


class _Describer:
    def __init__(self, session: Session, options: DescribeOptions) -> None:
        self._session = session
        self._namespace = "" if options.all_namespaces else session.namespace
        self._selector, self._show_events = options.selector, options.show_events
        self._chunk = max(0, options.chunk_size)
        self._described = 0

    async def run(self, client: Client, selection: ResourceSelection) -> visitor.Errors:
        from kubelab.apimachinery.meta import meta_of
        from kubelab.kctl.describe.describers import Context, describe

        async def visit(item: ResourceTuple) -> None:
            async for obj in self._objects(client, item):
                context = Context(client, item.resource, self._show_events, self._session.clock.time())
                text = await describe(context, obj)
                by_prefix = item.name is not None and meta_of(obj).name != item.name
                if by_prefix:  # kubectl spaces these so
                    print(text, flush=True)
                else:
                    print(("\n\n" if self._described else "") + text, end="", flush=True)
                self._described += 1

        failed = await visitor.continue_on_error(selection.items, visit)
        if not self._described and not failed:
            where = f" in {self._namespace} namespace." if self._namespace else ""
            print(f"No resources found{where}", file=sys.stderr)
        return failed

    async def _objects(self, client: Client, item: ResourceTuple) -> AsyncIterator[Message]:
        """Yield the object of this name; if there is none, all whose names begin so."""
        from kubelab.apimachinery.errors import NotFound
        from kubelab.apimachinery.meta import meta_of

        namespace = item.namespace or self._namespace
        missing: NotFound | None = None
        if item.name is not None:
            try:
                yield await client.get(item.resource, item.name, namespace)
                return
            except NotFound as err:
                missing = err
        any_found = False
        async for page in client.pages(item.resource, namespace, label_selector=self._selector, chunk=self._chunk):
            for obj in page.items:
                if item.name is None or meta_of(obj).name.startswith(item.name):
                    any_found = True
                    yield obj
        if missing is not None and not any_found:
            raise missing


DESCRIBE = Command(
    "describe",
    run=_describe,
    options=DescribeOptions,
    flags=(
        ALL_NAMESPACES,
        CHUNK_SIZE,
        FILENAME,
        RECURSIVE,
        SELECTOR,
        Flag(
            "--show-events", kind="bool", default=True, help="If true, display events related to the described object."
        ),
    ),
    about="""\
Show details of a specific resource or group of resources.

 Print a detailed description of the selected resources, including related resources such as events or controllers. \
You may select a single object by name, all objects of that type, provide a name prefix, or label selector. For example:

        $ kctl describe TYPE NAME_PREFIX

 will first check for an exact match on TYPE and NAME_PREFIX. If no such resource exists, it will output details for \
every resource that has a name prefixed with NAME_PREFIX.

Use "kctl api-resources" for a complete list of supported resources.""",
    examples="""\
# Describe a node
kctl describe nodes node-1

# Describe a pod
kctl describe pods/web

# Describe all pods
kctl describe pods

# Describe pods by label name=myLabel
kctl describe pods -l name=myLabel
""",
    usage="kctl describe (-f FILENAME | TYPE [NAME_PREFIX | -l label] | TYPE/NAME)",
)
