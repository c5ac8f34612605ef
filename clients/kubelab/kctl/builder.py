"""Resolves what every command takes, files or TYPE, TYPE NAME… or TYPE/NAME…, to a :class:`ResourceSelection`.

It does what kubectl's ``resource.Builder`` does (k8s.io/cli-runtime).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kubelab.kctl.commonflags import ResourceOptions
from kubelab.kctl.discovered import learn, retried
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.resource import EMPTY_NAME, ResourceSelection, ResourceTuple, parse, selection_of
from kubelab.kctl.session import Session

if TYPE_CHECKING:
    from kubelab.apimachinery import labels

NOTHING_GIVEN = """\
You must provide one or more resources by argument or filename.
Example resource specifications include:
   '-f rsrc.yaml'
   '--filename=rsrc.json'
   '<resource> <name>'
   '<resource>'"""


def build(
    session: Session,
    args: Sequence[str],
    options: ResourceOptions,
    *,
    selecting: bool = False,
    all_namespaces: bool = False,
    whole_types: bool = False,
    doing: str = "",
) -> ResourceSelection:
    """Resolve arguments or files. Raises UsageProblem in kubectl's words, and Failed for a file that cannot be read.

    ``selecting`` is whether a selector or ``--all`` was given, ``whole_types`` whether a type may stand alone without
    one, and ``doing`` is how an error about an object of a file begins.
    """
    if options.filename:
        if args:
            raise UsageProblem(
                "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well"
            )
        return _from_files(session, options, doing)
    if not args:
        raise UsageProblem(NOTHING_GIVEN)
    if "all" in args[0].split(","):  # a category, of which the server may have more
        learn(session)
    selection = retried(session, lambda: parse(args, selecting=selecting))
    if not (selection.named or selecting or whole_types):
        raise UsageProblem("resource(s) were provided, but no name was specified")
    if all_namespaces and any(item.name is not None and item.resource.namespaced for item in selection.items):
        raise UsageProblem("a resource cannot be retrieved by name across all namespaces")
    return selection


def requirements_of(selector: str) -> labels.Selector:
    """Read a label selector. Raises UsageProblem in kubectl's words."""
    from kubelab.apimachinery import labels

    try:
        return labels.parse(selector)
    except labels.SelectorError as err:
        raise UsageProblem(f'the provided selector "{selector}" is not valid: {err}') from err


def _from_files(session: Session, options: ResourceOptions, doing: str) -> ResourceSelection:
    """Read files for the names in them, of those objects whose labels there match. Each must have a name."""
    from kubelab.apimachinery.meta import meta_of
    from kubelab.kctl import files  # with what decodes manifests, which is heavy

    requirements = requirements_of(options.selector)
    items: list[ResourceTuple] = []
    for document in files.read(session, options):
        if not requirements.matches(meta_of(document.obj).labels):
            continue
        if not document.name:
            raise UsageProblem(f'{doing} "{document.source}": {EMPTY_NAME}' if doing else EMPTY_NAME)
        items.append(ResourceTuple(document.resource, document.name, files.namespace_of(document, session)))
    return selection_of(items)
