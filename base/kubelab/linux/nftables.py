"""Kernel rules built from typed values: the one place that makes text for nft(8).

:func:`nft` takes a literal text with a ``%`` for each value. A value is an address, a number, a protocol or a checked
name. So outside input cannot inject rules: one of these types has to accept it first, or raises ValueError. pyright
holds the text to literals (``LiteralString``, PEP 675); the programs that run nft take nothing but a :class:`Fragment`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import LiteralString, Self

MAX_NUMBER = 2**32 - 1
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,126}", re.ASCII)
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_./-]", re.ASCII)
_COMMENT = re.compile(r"[A-Za-z0-9_.,:/@ -]{0,120}", re.ASCII)
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)


class Protocol(enum.Enum):
    """Of the transport layer, as nft and /etc/protocols name it."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"

    @classmethod
    def of(cls, text: str) -> Protocol:
        """Read ``TCP``, ``UDP`` or ``SCTP`` as the API spells them; empty is TCP. ValueError for anything else."""
        return cls(text.lower() or "tcp")


class _Checked(str):
    """A text that fits a pattern; ValueError when it does not."""

    __slots__ = ()
    pattern: re.Pattern[str]

    def __new__(cls, text: str) -> Self:
        if not cls.pattern.fullmatch(text):
            raise ValueError(f"{cls.__name__.lower()} {text!r}: expected {cls.pattern.pattern}")
        return super().__new__(cls, text)


class Name(_Checked):
    """A chain, a set, a map or a device."""

    __slots__ = ()
    pattern = _NAME

    @classmethod
    def near(cls, text: str) -> Self:
        """Make a name of any text: what no name may have becomes ``-``, and what is too long is cut."""
        return cls(_NOT_IN_NAMES.sub("-", text)[:120])


class Comment(_Checked):
    """The comment of a rule, in quotes."""

    __slots__ = ()
    pattern = _COMMENT


class Mac(_Checked):
    """A hardware address, ``02:00:00:00:00:01``."""

    __slots__ = ()
    pattern = _MAC


class Fragment(str):
    """A text that :func:`nft` has made: a whole script or a part of one."""

    __slots__ = ()


Scalar = IPv4Address | IPv4Network | int | Protocol | Name | Comment | Mac | Fragment
Value = Scalar | Sequence[Scalar] | Mapping[int, Scalar] | Mapping[Fragment, Scalar]
NOTHING = Fragment("")


def nft(template: LiteralString, *values: Value) -> Fragment:
    """Put values into a text, one for each ``%``. A sequence becomes an anonymous set, a mapping an anonymous map."""
    texts = template.split("%")
    if len(texts) != len(values) + 1:
        raise TypeError(f"{len(texts) - 1} values are expected, {len(values)} are given: {template!r}")
    parts: list[str] = [texts[0]]
    for value, text in zip(values, texts[1:], strict=True):
        parts.append(_rendered(value))
        parts.append(text)
    return Fragment("".join(parts))


def lines(fragments: Iterable[Fragment]) -> Fragment:
    """Make a script of its lines, each of which ends with a line break."""
    return Fragment("".join([f"{_must_be(fragment)}\n" for fragment in fragments]))


def joined(fragments: Iterable[Fragment], between: LiteralString = " ") -> Fragment:
    """Put fragments behind one another."""
    return Fragment(between.join([_must_be(fragment) for fragment in fragments]))


def replaced(table: Fragment) -> Fragment:
    """Take a table away, if it is there, and make it anew. Later lines of the same script fill it."""
    # One that is not there cannot be deleted, so it is made first; all in one transaction.
    return nft("add table %\ndelete table %\nadd table %\n", table, table, table)


def script(text: Fragment) -> bytes:
    """Give what nft reads with ``-f -``. TypeError for a text that :func:`nft` has not made."""
    return _must_be(text).encode()


def _must_be(fragment: Fragment) -> Fragment:
    if type(fragment) is not Fragment:
        raise TypeError(f"{fragment!r} is not made of typed values")
    return fragment


def _rendered(value: object) -> str:
    match value:
        case Comment():
            return f'"{value}"'
        case Fragment() | Name() | Mac() | IPv4Address() | IPv4Network():
            return str(value)
        case Protocol():
            return value.value
        case int() if not isinstance(value, bool):
            if not 0 <= value <= MAX_NUMBER:
                raise ValueError(f"{value}: expected a number from 0 to {MAX_NUMBER}")
            return str(value)
        case Mapping():
            pairs = [f"{_rendered(key)} : {_rendered(one)}" for key, one in value.items()]  # pyright: ignore[reportUnknownVariableType]
            return f"{{ {', '.join(pairs)} }}"
        case list() | tuple():
            return f"{{ {', '.join([_rendered(one) for one in value])} }}"  # pyright: ignore[reportUnknownVariableType]
        case _:
            raise TypeError(f"{value!r} is no value that a rule may have")
