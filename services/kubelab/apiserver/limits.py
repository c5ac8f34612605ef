"""How much one request, and one user, may ask of the api-server, whose event loop serves all of them.

Upstream bounds a request by its bytes and by the length of an URL. One event loop needs more: a megabyte can hold a
hundred thousand labels, each of which is checked, and a selector can be matched against every object there is. What is
beyond these bounds is refused before any of it is looked at.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from google.protobuf.message import Message

from kubelab.apimachinery import errors
from kubelab.apimachinery.fields import FieldSelector
from kubelab.apimachinery.labels import Selector
from kubelab.apimachinery.messages import map_value

MAX_SELECTOR = 64 * 1024  # characters
MAX_PARTS = 500  # terms and values of a selector
MAX_TERMS = 100
MAX_ENTRIES = 10_000  # of an object's lists and maps together
MAX_METADATA = 2_000  # of those, labels, annotations, finalizers and owners
LOOKED_AT = 4 * 1024  # bytes of an object: a smaller one cannot hold that many
MAX_REQUESTS = 1_000  # of one user, under way at one time
MAX_STREAMS = 2_000  # the same, of watches, logs, commands in pods and forwarded ports
LARGE = 256 * 1024  # bytes of an answer that is counted until its client has taken it
MAX_UNSENT = 64 * 1024 * 1024  # bytes of one user's large answers; a single one may have more


def check_text(selector: str) -> None:
    """Refuse a selector that is too long to be parsed. BadRequest."""
    if len(selector) > MAX_SELECTOR:
        raise errors.BadRequest(f"the selector has {len(selector)} characters, expected at most {MAX_SELECTOR}")
    if selector.count(",") >= MAX_PARTS:
        raise errors.BadRequest(f"the selector has more than {MAX_PARTS} terms and values")


def check_terms(by_label: Selector | None, by_field: FieldSelector | None) -> None:
    """Refuse selectors that are too dear to be matched against every object. BadRequest."""
    terms = (len(by_label.requirements) if by_label else 0) + (len(by_field.terms) if by_field else 0)
    if terms > MAX_TERMS:
        raise errors.BadRequest(f"the selectors have {terms} terms, expected at most {MAX_TERMS}")


def check_object(obj: Message, size: int) -> None:
    """Refuse an object whose lists and maps have too many entries; ``size`` is its encoded length. TooLarge."""
    if size <= LOOKED_AT:
        return
    metadata: Message | None = getattr(obj, "metadata", None)
    if metadata is not None and _entries(metadata, MAX_METADATA) > MAX_METADATA:
        raise errors.TooLarge(
            f"metadata has more than {MAX_METADATA} labels, annotations, finalizers and other entries",
        )
    if _entries(obj, MAX_ENTRIES) > MAX_ENTRIES:
        raise errors.TooLarge(f"the object has more than {MAX_ENTRIES} entries in its lists and maps")


def _entries(message: Message, enough: int) -> int:
    """Count the entries of all lists and maps; stops soon after ``enough``."""
    count = 0
    for field, value in message.ListFields():
        inner: Any = ()
        if field.is_repeated:
            count += len(value)
            if field.message_type is None:
                continue
            if (values := map_value(field)) is not None:
                inner = value.values() if values.message_type else ()
            else:
                inner = value
        elif field.message_type is not None:
            inner = (value,)
        for part in inner:
            if count > enough:
                return count
            count += _entries(part, enough - count)
    return count


class Users:
    """What each user has under way at this api-server."""

    def __init__(self, *, requests: int = MAX_REQUESTS, streams: int = MAX_STREAMS) -> None:
        self._limits = {False: requests, True: streams}
        self._under_way: Counter[tuple[str, bool]] = Counter()
        self._unsent: Counter[str] = Counter()  # bytes
        self._full: set[str] = set()  # users who were refused an answer that was made already

    def enter(self, user: str, *, stream: bool) -> None:
        """Count a request that begins. TooManyRequests when the user has too many already."""
        key = (user, stream)
        if self._under_way[key] >= self._limits[stream]:
            what = "watches, logs and commands" if stream else "requests"
            raise _too_many(f'user "{user}" has {self._limits[stream]} {what} under way')
        if user in self._full:
            raise self._untaken(user)
        self._under_way[key] += 1

    def leave(self, user: str, *, stream: bool) -> None:
        """Count a request that ends."""
        key = (user, stream)
        self._under_way[key] -= 1
        if not self._under_way[key]:
            del self._under_way[key]

    def hold(self, user: str, size: int) -> None:
        """Count an answer that its client has to take now. TooManyRequests when too much waits for the user already;
        then no answer is made for the user until one is taken."""
        if user in self._unsent and self._unsent[user] + size > MAX_UNSENT:
            self._full.add(user)
            raise self._untaken(user)
        self._unsent[user] += size

    def taken(self, user: str, size: int) -> None:
        """Count an answer that was taken, or dropped."""
        self._unsent[user] -= size
        self._full.discard(user)
        if not self._unsent[user]:
            del self._unsent[user]

    def _untaken(self, user: str) -> errors.TooManyRequests:
        return _too_many(f'user "{user}" has not taken {self._unsent[user] // 2**20} MiB of answers yet')


def _too_many(why: str) -> errors.TooManyRequests:
    return errors.too_many_requests(f"too many requests, please try again later: {why}", 1)
