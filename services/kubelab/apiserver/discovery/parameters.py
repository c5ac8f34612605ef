"""The parameters of requests, as OpenAPI lists them for each operation."""

from __future__ import annotations

from typing import NamedTuple


class Parameter(NamedTuple):
    """A parameter in the query, or in the path (``place``); ``type`` is JSON's."""

    name: str
    about: str
    type: str = "string"
    place: str = "query"


NAME = Parameter("name", "The name of the object.", place="path")
NAMESPACE = Parameter("namespace", "The namespace of the object.", place="path")
BELOW = Parameter("path", "The path below the proxy.", place="path")
PRETTY = Parameter("pretty", "If 'true', the answer is indented.")
_DRY_RUN = Parameter("dryRun", "All: the request goes through every check and stores nothing.")
WRITE = (
    _DRY_RUN,
    Parameter("fieldManager", "The name of the program that makes the change, of at most 128 printable characters."),
    Parameter(
        "fieldValidation",
        "What becomes of unknown and duplicate fields: Ignore drops them, Warn drops them with a warning, Strict "
        "refuses the request.",
    ),
)
FORCE = Parameter("force", "Take over fields that other appliers manage; for apply patches only.", "boolean")
DELETE = (
    _DRY_RUN,
    Parameter("gracePeriodSeconds", "Seconds until the object goes; 0 deletes it at once.", "integer"),
    Parameter("orphanDependents", "Whether dependents stay; the older form of propagationPolicy.", "boolean"),
    Parameter("propagationPolicy", "What becomes of dependents: Orphan, Background or Foreground."),
)
SELECT = (
    Parameter("continue", "The token of the list's next part, from the metadata of the part before."),
    Parameter("fieldSelector", "Only objects whose fields match."),
    Parameter("labelSelector", "Only objects whose labels match."),
    Parameter("limit", "The most objects in one answer.", "integer"),
    Parameter("resourceVersion", "From which resource version on an answer may be."),
    Parameter("resourceVersionMatch", "Exact or NotOlderThan: how resourceVersion is meant."),
    Parameter("sendInitialEvents", "Begin a watch with the objects that are there.", "boolean"),
    Parameter("timeoutSeconds", "The most seconds that a list or a watch takes.", "integer"),
)
LIST = (
    Parameter("allowWatchBookmarks", "Send events of type BOOKMARK in a watch.", "boolean"),
    *SELECT,
    Parameter("watch", "Watch the objects instead of listing them.", "boolean"),
)
_STREAMS = (
    Parameter("container", "The container; the only one of the pod where it is left out."),
    Parameter("stderr", "Whether stderr is sent.", "boolean"),
    Parameter("stdin", "Whether stdin is taken.", "boolean"),
    Parameter("stdout", "Whether stdout is sent.", "boolean"),
    Parameter("tty", "Whether a terminal is made.", "boolean"),
)
OF_SUBRESOURCES = {
    "attach": _STREAMS,
    "exec": (Parameter("command", "The command, one parameter an argument."), *_STREAMS),
    "log": (
        _STREAMS[0],
        Parameter("follow", "Go on with what is written later.", "boolean"),
        Parameter("limitBytes", "The most bytes.", "integer"),
        Parameter("previous", "The log of the container's last run.", "boolean"),
        Parameter("sinceSeconds", "Only what is younger.", "integer"),
        Parameter("sinceTime", "Only what was written after this moment."),
        Parameter("tailLines", "The most lines, counted from the end.", "integer"),
        Parameter("timestamps", "Begin each line with its time.", "boolean"),
    ),
    "portforward": (Parameter("ports", "The ports.", "integer"),),
}
