"""``kctl config set`` and ``kctl config unset``: one value, by its dotted path.

A path names a field of the file (``current-context``), or a field of an entry (``clusters.lab.server``). A name may
contain dots where a known field follows it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kubelab.client.kubeconfig import SECTIONS, Kubeconfig
from kubelab.kctl.command import Command, NoOptions
from kubelab.kctl.config.entries import exact, loaded
from kubelab.kctl.flags import Flag, UsageProblem, parse_bool
from kubelab.kctl.session import Failed, Session

_CERTIFICATE_FIELDS = {"client-certificate": str, "client-certificate-data": bytes}
FIELDS: dict[str, dict[str, type]] = {
    "clusters": {
        "certificate-authority": str,
        "certificate-authority-data": bytes,
        "disable-compression": bool,
        "extensions": dict,
        "insecure-skip-tls-verify": bool,
        "proxy-url": str,
        "server": str,
        "tls-server-name": str,
    },
    "users": {
        **_CERTIFICATE_FIELDS,
        "act-as": str,
        "act-as-groups": list,
        "act-as-uid": str,
        "auth-provider": dict,
        "client-key": str,
        "client-key-data": bytes,
        "exec": dict,
        "extensions": dict,
        "password": str,
        "token": str,
        "tokenFile": str,
        "username": str,
    },
    "contexts": {"cluster": str, "extensions": dict, "namespace": str, "user": str},
}


@dataclass(frozen=True, slots=True)
class SetOptions:
    set_raw_bytes: bool


@dataclass(frozen=True, slots=True)
class Property:
    """What a path names: a section, an entry of it (``field`` is empty), a field of one, or a field of the file."""

    section: str
    name: str = ""
    field: str = ""


def parse(path: str) -> Property:
    """Read a path. Raises Failed in kubectl's words."""
    first, *rest = path.split(".")
    if first in SECTIONS:
        if not rest:
            return Property(first)
        known = next((n for n, part in enumerate(rest[1:], start=1) if part in FIELDS[first]), len(rest))
        if len(rest) > known + 1:
            raise Failed(f"error: unable to parse one or more field values of {path}")
        return Property(first, ".".join(rest[:known]), rest[known] if known < len(rest) else "")
    if first not in ("current-context", "preferences"):
        raise Failed(f"error: unable to parse {path} after [] at api.Config")
    if rest and (first == "current-context" or rest != ["colors"]):
        raise Failed(f"error: unable to parse one or more field values of {path}")
    return Property(first, "", "".join(rest))


def _set(session: Session, args: tuple[str, ...], options: SetOptions) -> int:
    exact(session, args, 2)
    path, text = args
    if not text:
        raise UsageProblem("you cannot use set to unset a property")
    at = parse(path)
    config = loaded(session)
    if at.section == "current-context":
        session.rules.edit(lambda edited: edited.use_context(text, in_other_file=True))
    elif at.section == "preferences":
        if not at.field:
            raise Failed("error: can't set a struct to a value")
        colors = _value(bool, text, options)
        session.rules.edit(lambda edited: edited.document.update(preferences={"colors": True} if colors else {}))
    elif not at.field:
        raise Failed(f"error: can't set a map to a value: map[{' '.join(config.names(at.section))}]")
    else:
        value = _value(FIELDS[at.section][at.field], text, options, path)
        session.rules.edit_entry(at.section, at.name, _putter(at.field, value))
    print(f'Property "{path}" set.')
    return 0


def _putter(field: str, value: object) -> Callable[[dict[str, Any]], None]:
    def put(body: dict[str, Any]) -> None:
        if value is False:
            body.pop(field, None)
        else:
            body[field] = value

    return put


def _value(kind: type, text: str, options: SetOptions, path: str = "") -> str | bool:
    if kind is str:
        return text
    if kind is bool:
        try:
            return parse_bool(text)
        except ValueError as err:
            raise Failed(f"error: {err}") from err
    if kind is bytes:
        return base64.b64encode(text.encode()).decode() if options.set_raw_bytes else _base64(text)
    raise Failed(f"error: unable to parse one or more field values of {path}")


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as err:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        place = next((n for n, character in enumerate(text) if character not in alphabet), len(text) // 4 * 4)
        raise Failed(f"error: error decoding input value: illegal base64 data at input byte {place}") from err
    return text


def _unset(session: Session, args: tuple[str, ...], options: NoOptions) -> int:
    exact(session, args, 1)
    (path,) = args
    at = parse(path)
    if at.section == "current-context":
        session.rules.use_context("")
    elif at.section not in SECTIONS or not at.name:
        session.rules.edit(_clear(at.section), every=True)
    elif not at.field:
        session.rules.remove_entry(at.section, at.name)
    else:
        if loaded(session).entry(at.section, at.name) is None:
            raise Failed(f"error: current map key `{at.name}` is invalid")
        session.rules.edit_entry(at.section, at.name, lambda body: body.pop(at.field, None))
    print(f'Property "{path}" unset.')
    return 0


def _clear(section: str) -> Callable[[Kubeconfig], None]:
    def change(edited: Kubeconfig) -> None:
        edited.document[section] = [] if section in SECTIONS else {}

    return change


SET = Command(
    "set",
    run=_set,
    options=SetOptions,
    flags=(
        Flag(
            "--set-raw-bytes",
            kind="bool",
            help="When writing a []byte PROPERTY_VALUE, write the given string directly without base64 decoding.",
        ),
    ),
    about="""\
Set an individual value in a kubeconfig file.

 PROPERTY_NAME is a dot delimited name where each token represents either an attribute name or a map key.  Map keys \
may not contain dots.

 PROPERTY_VALUE is the new value you want to set. Binary fields such as 'certificate-authority-data' expect a base64 \
encoded string unless the --set-raw-bytes flag is used.

 Specifying an attribute name that already exists will merge new fields on top of existing values.""",
    examples="""\
# Set the server field on the my-cluster cluster to https://1.2.3.4
kctl config set clusters.my-cluster.server https://1.2.3.4

# Set the cluster field in the my-context context to my-cluster
kctl config set contexts.my-context.cluster my-cluster

# Set the client-key-data field in the cluster-admin user using --set-raw-bytes option
kctl config set users.cluster-admin.client-key-data cert_data_here --set-raw-bytes=true""",
    usage="kctl config set PROPERTY_NAME PROPERTY_VALUE",
)
UNSET = Command(
    "unset",
    run=_unset,
    options=NoOptions,
    about="""\
Unset an individual value in a kubeconfig file.

 PROPERTY_NAME is a dot delimited name where each token represents either an attribute name or a map key.  Map keys \
may not contain dots.""",
    examples="""\
# Unset the current-context
kctl config unset current-context

# Unset namespace in foo context
kctl config unset contexts.foo.namespace""",
    usage="kctl config unset PROPERTY_NAME",
)
