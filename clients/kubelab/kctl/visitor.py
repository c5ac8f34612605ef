"""Runs a command on each object of its selection and reports the errors at the end.

It does what kubectl's ``resource.Visitor`` with ``ContinueOnError`` does (k8s.io/cli-runtime).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from kubelab.kctl.listing import explained
from kubelab.kctl.resource import Info, ResourceTuple
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.apimachinery.errors import ApiError
    from kubelab.client.client import Client

T = TypeVar("T")
Errors = list["ApiError | Failed"]


def run(
    session: Session,
    work: Callable[[Client], Coroutine[Any, Any, Sequence[ApiError | Failed]]],
    *,
    endless: bool = False,
) -> int:
    """Run a command's requests, print the errors that they return, and give the exit code."""
    from kubelab.kctl import failures

    return failures.report(session.run(work, endless=endless), session)


async def continue_on_error(
    items: Iterable[T], visit: Callable[[T], Awaitable[None]], *, ignore_not_found: bool = False
) -> Errors:
    """Call ``visit`` for one item after the other, also after an error. Returns the errors."""
    from kubelab.apimachinery.errors import ApiError, NotFound

    errors: Errors = []
    for item in items:
        try:
            await visit(item)
        except (ApiError, Failed) as err:
            if not (ignore_not_found and isinstance(err, NotFound)):
                errors.append(err)
    return errors


async def infos(
    client: Client, item: ResourceTuple, namespace: str, *, label_selector: str = "", field_selector: str = ""
) -> AsyncGenerator[Info]:
    """Yield the object that an item names, without a request, or list those of its type that the selectors match."""
    from kubelab.apimachinery.meta import meta_of

    if item.name is not None:
        yield Info(item.resource, item.name, item.namespace or namespace)
        return
    pages = client.pages(item.resource, namespace, label_selector=label_selector, field_selector=field_selector)
    with explained(item.resource, label_selector, field_selector):
        async for page in pages:
            for obj in page.items:
                metadata = meta_of(obj)
                yield Info(item.resource, metadata.name, metadata.namespace)
