"""Functions that Kubernetes adds to CEL (https://kubernetes.io/docs/reference/using-api/cel/#cel-options-language-features-and-libraries)."""

from __future__ import annotations

import ipaddress
import itertools
from typing import Any, cast
from urllib.parse import urlsplit

from kubelab.apimachinery.manifest.jsonmapping import QUANTITY_FORM
from kubelab.apiserver.cel import quantities
from kubelab.apiserver.customresources.patterns import PatternError, compiled

_LONGEST = 1000  # matches of one findAll


def extension() -> Any:
    """Make the extension of an environment."""
    from cel_expr_python import cel

    library = cast(Any, cel)
    kinds = library.Type
    text, whole, yes, anything = kinds.STRING, kinds.INT, kinds.BOOL, kinds.DYN
    lists, texts = kinds.List(anything), kinds.List(text)

    def member(name: str, identity: str, gives: Any, takes: list[Any], function: Any) -> Any:
        return library.FunctionDecl(name, [library.Overload(identity, gives, takes, True, function)])

    def plain(name: str, function: Any) -> Any:
        return library.FunctionDecl(name, [library.Overload(f"{name}_string", yes, [text], False, function)])

    return library.CelExtension(
        "kubernetes",
        [
            member("find", "string_find_string", text, [text, text], _find),
            library.FunctionDecl(
                "findAll",
                [
                    library.Overload("string_find_all_string", texts, [text, text], True, _find_all),
                    library.Overload("string_find_all_string_int", texts, [text, text, whole], True, _find_all),
                ],
            ),
            member("isSorted", "list_is_sorted", yes, [lists], _is_sorted),
            member("sum", "list_sum", anything, [lists], _sum),
            member("min", "list_min", anything, [lists], _min),
            member("max", "list_max", anything, [lists], _max),
            plain("isIP", _accepts(ipaddress.ip_address)),
            plain("isCIDR", _is_cidr),
            plain("isQuantity", _is_quantity),
            plain("isURL", _is_url),
            *quantities.functions(library),
        ],
    )


def _plain(values: Any) -> list[Any]:
    return [value.plain_value() if hasattr(value, "plain_value") else value for value in values]


def _sum(values: Any) -> Any:
    return sum(_plain(values))


def _min(values: Any) -> Any:
    return min(_plain(values))


def _max(values: Any) -> Any:
    return max(_plain(values))


def _is_cidr(value: str) -> bool:
    return "/" in value and _accepts(ipaddress.ip_interface)(value)


def _is_quantity(value: str) -> bool:
    return QUANTITY_FORM.fullmatch(value) is not None


def _is_sorted(values: Any) -> bool:
    plain = _plain(values)
    return all(one <= other for one, other in itertools.pairwise(plain))


def _matches(value: str, pattern: str) -> Any:
    try:
        return cast(Any, compiled(pattern)).finditer(value)
    except PatternError as err:
        raise ValueError(f"error parsing regexp: {err}") from err


def _find(value: str, pattern: str) -> str:
    found = next(_matches(value, pattern), None)
    return found.group(0) if found is not None else ""


def _find_all(value: str, pattern: str, most: int = -1) -> list[str]:
    found: list[str] = []
    for match in _matches(value, pattern):
        if len(found) == (most if most >= 0 else _LONGEST):
            break
        found.append(match.group(0))
    return found


def _accepts(parse: Any) -> Any:
    def check(value: str) -> bool:
        try:
            parse(value)
        except ValueError:
            return False
        return True

    return check


def _is_url(value: str) -> bool:
    try:
        found = urlsplit(value)
    except ValueError:
        return False
    return bool(found.scheme and found.netloc) or value.startswith("/")
