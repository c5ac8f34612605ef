"""Validate names, with upstream's messages.

Each check returns the list of its errors, empty for a valid name
(https://kubernetes.io/docs/concepts/overview/working-with-objects/names/, apimachinery's ``util/validation``).
"""

from __future__ import annotations

import random
import re
from functools import lru_cache

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # nothing that could spell a word
SUFFIX_LENGTH = 5
MAX_GENERATED_BASE = 63 - SUFFIX_LENGTH

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_RFC1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_CONFIG_KEY = r"[-._a-zA-Z0-9]+"
_STRICT_ENV = r"[-._a-zA-Z][-._a-zA-Z0-9]*"

_LABEL_RE = re.compile(_LABEL)
# No nested repetition: the pattern above takes quadratic time on a long name that is none.
_SUBDOMAIN_RE = re.compile(r"(?!.*(?:\.\.|\.-|-\.))[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?", re.DOTALL)
_QUALIFIED_RE = re.compile(_QUALIFIED)
_RFC1035_RE = re.compile(_RFC1035)
_CONFIG_KEY_RE = re.compile(_CONFIG_KEY)
_STRICT_ENV_RE = re.compile(_STRICT_ENV)
_PORT_NAME_RE = re.compile(r"[-a-z0-9]+")
_LETTER_RE = re.compile(r"[a-z]")
_RELAXED_ENV_RE = re.compile(r"[ -<>-~]+")

_MUST_BE_QUALIFIED = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)


def _regex_message(text: str, pattern: str, *examples: str) -> str:
    """Upstream's RegexError, odd commas included: ``(e.g. 'my-name',  or '123-abc', regex used …)``."""
    examples_text = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {examples_text}regex used for validation is '{pattern}')"


def too_long(limit: int) -> str:
    """Upstream's MaxLenError."""
    return f"must be no more than {limit} characters"


def out_of_range(low: int, high: int) -> str:
    """Upstream's InclusiveRangeError."""
    return f"must be between {low} and {high}, inclusive"


LABEL_MESSAGE = _regex_message(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
SUBDOMAIN_MESSAGE = _regex_message(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
RFC1035_MESSAGE = _regex_message(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character",
    _RFC1035,
    "my-name",
    "abc-123",
)
_QUALIFIED_MESSAGE = _regex_message(_MUST_BE_QUALIFIED, _QUALIFIED, "MyName", "my.name", "123-abc")
_LABEL_VALUE_MESSAGE = _regex_message(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character",
    f"({_QUALIFIED})?",
    "MyValue",
    "my_value",
    "12345",
)
_CONFIG_KEY_MESSAGE = _regex_message(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
)
_WILDCARD_MESSAGE = _regex_message(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    rf"\*\.{_SUBDOMAIN}",
    "*.example.com",
)
_STRICT_ENV_MESSAGE = _regex_message(
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not "
    "start with a digit",
    _STRICT_ENV,
    "my.env-name",
    "MY_ENV.NAME",
    "MyEnvName1",
)
_ENV_MESSAGE = "a valid environment variable name must consist only of printable ASCII characters other than '='"


def dns_label(value: str) -> list[str]:
    """RFC 1123 label: names of containers, namespaces."""
    problems = [too_long(63)] if len(value) > 63 else []
    return problems if _LABEL_RE.fullmatch(value) else [*problems, LABEL_MESSAGE]


def dns_subdomain(value: str) -> list[str]:
    """RFC 1123 subdomain: names of most objects."""
    problems = [too_long(253)] if len(value) > 253 else []
    return problems if _SUBDOMAIN_RE.fullmatch(value) else [*problems, SUBDOMAIN_MESSAGE]


def wildcard_dns_subdomain(value: str) -> list[str]:
    """A subdomain of which the first label is any: ``*.example.com``."""
    good = value.startswith("*.") and not dns_subdomain(value.removeprefix("*."))
    return [] if good else [_WILDCARD_MESSAGE]


def dns1035_label(value: str) -> list[str]:
    """RFC 1035 label: names of services."""
    problems = [too_long(63)] if len(value) > 63 else []
    return problems if _RFC1035_RE.fullmatch(value) else [*problems, RFC1035_MESSAGE]


def path_segment(value: str) -> list[str]:
    """Check a path segment: names of events."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{sign}'" for sign in "/%" if sign in value]


def generate_prefix(value: str) -> str:
    """Return the part of a generateName to check: it may end in a dash, because a suffix follows."""
    return f"{value[:-2]}a" if len(value) > 1 and value.endswith("-") else value


def qualified_name(value: str) -> list[str]:
    """A label's or annotation's key: ``app``, ``example.com/app``."""
    return list(_qualified_name(value))


@lru_cache(maxsize=4096)  # a cluster has few keys, and they are on every object
def _qualified_name(value: str) -> tuple[str, ...]:
    prefix, slash, name = value.rpartition("/")
    if "/" in prefix:
        suffix = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return (f"a qualified name {_QUALIFIED_MESSAGE}{suffix}",)
    problems: list[str] = []
    if slash and not prefix:
        problems.append("prefix part must be non-empty")
    elif slash:
        problems += [f"prefix part {problem}" for problem in dns_subdomain(prefix)]
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > 63:
        problems.append(f"name part {too_long(63)}")
    if not _QUALIFIED_RE.fullmatch(name):
        problems.append(f"name part {_QUALIFIED_MESSAGE}")
    return tuple(problems)


def label_value(value: str) -> list[str]:
    """A label's value: empty, or at most 63 characters."""
    if not value:
        return []
    problems = [too_long(63)] if len(value) > 63 else []
    return problems if _QUALIFIED_RE.fullmatch(value) else [*problems, _LABEL_VALUE_MESSAGE]


def env_var_name(value: str) -> list[str]:
    """Any printable ASCII but ``=``, as Kubernetes 1.32 relaxed it."""
    if not value:
        return ["environment variable name must be non-empty"]
    return [] if _RELAXED_ENV_RE.fullmatch(value) else [_ENV_MESSAGE]


def strict_env_var_name(value: str) -> list[str]:
    """A name as most shells take it, upstream's IsEnvVarName: what clients check."""
    problems = [] if _STRICT_ENV_RE.fullmatch(value) else [_STRICT_ENV_MESSAGE]
    return problems + _no_parent_folder(value)


def config_key(value: str) -> list[str]:
    """A key in a config map or secret."""
    problems = [too_long(253)] if len(value) > 253 else []
    if not _CONFIG_KEY_RE.fullmatch(value):
        problems.append(_CONFIG_KEY_MESSAGE)
    return problems + _no_parent_folder(value)


def _no_parent_folder(value: str) -> list[str]:
    if value in (".", ".."):
        return [f"must not be '{value}'"]
    return ["must not start with '..'"] if value.startswith("..") else []


def port_name(value: str) -> list[str]:
    """An IANA service name: at most 15 of a-z, 0-9 and single dashes, with a letter."""
    problems: list[str] = []
    if len(value) > 15:
        problems.append(too_long(15))
    if not _PORT_NAME_RE.fullmatch(value):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not _LETTER_RE.search(value):
        problems.append("must contain at least one letter (a-z)")
    if "--" in value:
        problems.append("must not contain consecutive hyphens")
    if value[:1] == "-" or value[-1:] == "-":
        problems.append("must not begin or end with a hyphen")
    return problems


def port_number(value: int) -> list[str]:
    return [] if 1 <= value <= 65535 else [out_of_range(1, 65535)]


def generate(base: str, pick: random.Random | None = None) -> str:
    """``web-`` → ``web-x7k2p``: the base, cut so that the result is a label, and five characters that spell nothing."""
    choose = pick or random
    return base[:MAX_GENERATED_BASE] + "".join(choose.choices(_ALPHABET, k=SUFFIX_LENGTH))
