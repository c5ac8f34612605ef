"""What may be a name, with upstream's words where it may not.

Each check gives the list of its complaints, empty where all is well
(https://kubernetes.io/docs/concepts/overview/working-with-objects/names/).
"""

from __future__ import annotations

import random
import re

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # nothing that could spell a word
SUFFIX_LENGTH = 5
MAX_GENERATED_BASE = 63 - SUFFIX_LENGTH

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_RFC1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_ENV = r"[-._a-zA-Z][-._a-zA-Z0-9]*"
_CONFIG_KEY = r"[-._a-zA-Z0-9]+"

_LABEL_RE = re.compile(_LABEL)
_SUBDOMAIN_RE = re.compile(_SUBDOMAIN)
_QUALIFIED_RE = re.compile(_QUALIFIED)
_RFC1035_RE = re.compile(_RFC1035)
_CONFIG_KEY_RE = re.compile(_CONFIG_KEY)


def _regex_message(text: str, pattern: str, *examples: str) -> str:
    told = " or ".join(f"'{example}'" for example in examples)
    if len(examples) > 1:
        told = ",  ".join([" or ".join(f"'{example}'" for example in examples[:-1]), f"or '{examples[-1]}'"])
    return f"{text} (e.g. {told}, regex used for validation is '{pattern}')"


def too_long(limit: int) -> str:
    return f"must be no more than {limit} characters"


LABEL_MESSAGE = _regex_message(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
).replace("'my-name',  or '123-abc'", "'my-name',  or '123-abc'")
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
_NAME_PART_MESSAGE = _regex_message(
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character",
    _QUALIFIED,
    "MyName",
    "my.name",
    "123-abc",
)
_LABEL_VALUE_MESSAGE = _regex_message(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character",
    f"({_QUALIFIED})?",
    "MyValue",
    "my_value",
    "12345",
)


def dns_label(value: str) -> list[str]:
    """RFC 1123 label: names of containers, namespaces."""
    problems = [too_long(63)] if len(value) > 63 else []
    return problems if _LABEL_RE.fullmatch(value) else [*problems, LABEL_MESSAGE]


def dns_subdomain(value: str) -> list[str]:
    """RFC 1123 subdomain: names of most objects."""
    problems = [too_long(253)] if len(value) > 253 else []
    return problems if _SUBDOMAIN_RE.fullmatch(value) else [*problems, SUBDOMAIN_MESSAGE]


def dns1035_label(value: str) -> list[str]:
    """RFC 1035 label: names of services."""
    problems = [too_long(63)] if len(value) > 63 else []
    return problems if _RFC1035_RE.fullmatch(value) else [*problems, RFC1035_MESSAGE]


def generate_prefix(value: str, check: type | None = None) -> str:
    """A generateName may end in a dash, because something follows."""
    return value[:-1] + "a" if value.endswith("-") else value


def qualified_name(value: str) -> list[str]:
    """A label's or annotation's key: ``app``, ``example.com/app``."""
    prefix, slash, name = value.rpartition("/")
    if "/" in prefix:
        return [
            "a qualified name "
            + _NAME_PART_MESSAGE.removeprefix("name part ")
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    problems: list[str] = []
    if slash:
        if not prefix:
            problems.append("prefix part must be non-empty")
        else:
            problems += [f"prefix part {problem}" for problem in dns_subdomain(prefix)]
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > 63:
        problems.append(f"name part {too_long(63)}")
    if not _QUALIFIED_RE.fullmatch(name):
        problems.append(_NAME_PART_MESSAGE)
    return problems


def label_value(value: str) -> list[str]:
    if not value:
        return []
    problems = [too_long(63)] if len(value) > 63 else []
    return problems if _QUALIFIED_RE.fullmatch(value) else [*problems, _LABEL_VALUE_MESSAGE]


def env_var_name(value: str) -> list[str]:
    """Any printable ASCII but ``=``, as Kubernetes 1.32 relaxed it."""
    if not value:
        return ["environment variable name must not be empty"]
    if any(not 32 <= ord(c) <= 126 or c == "=" for c in value):
        return [
            "a valid environment variable name must consist only of printable ASCII characters other than '=', "
            f"regex used for validation is '{'^[ -<>-~]+$'}'"
        ]
    return []


def config_key(value: str) -> list[str]:
    """A key in a config map or secret."""
    problems = [too_long(253)] if len(value) > 253 else []
    if not _CONFIG_KEY_RE.fullmatch(value):
        problems.append(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
            f"'KEY_NAME',  or 'key-name', regex used for validation is '{_CONFIG_KEY}')"
        )
    if value == "." or value.startswith(".."):
        problems.append(f"must not be '{value}'" if value in (".", "..") else "must not start with '..'")
    return problems


def port_name(value: str) -> list[str]:
    """An IANA service name: at most 15 of a-z, 0-9 and single dashes, with a letter."""
    problems: list[str] = []
    if len(value) > 15:
        problems.append(too_long(15))
    if not re.fullmatch(r"[-a-z0-9]+", value):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search(r"[a-z]", value):
        problems.append("must contain at least one letter (a-z)")
    if "--" in value:
        problems.append("must not contain consecutive hyphens")
    if value[:1] == "-" or value[-1:] == "-":
        problems.append("must not begin or end with a hyphen")
    return problems


def port_number(value: int) -> list[str]:
    return [] if 1 <= value <= 65535 else ["must be between 1 and 65535, inclusive"]


def generate(base: str, pick: random.Random | None = None) -> str:
    """``web-`` → ``web-x7k2p``: the base, cut so that the result is a label, and five characters that spell nothing."""
    choose = pick or random
    return base[:MAX_GENERATED_BASE] + "".join(choose.choices(_ALPHABET, k=SUFFIX_LENGTH))
