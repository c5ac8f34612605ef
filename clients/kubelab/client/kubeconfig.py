"""Read and write kubeconfig files, in upstream's format.

https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/

Entries that kubelab does not know (``preferences``, ``extensions``, other kinds of credentials) stay when it writes a
file.
"""

from __future__ import annotations

import base64
import binascii
import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from kubelab.files import atomicfile

SECTIONS = ("clusters", "users", "contexts")
API_SERVER_NAME = "kubernetes"  # in every api-server's certificate and in no other server's
EXTENSION = "kubelab"  # of a cluster's entry: where its gRPC servers are
FILES = ("certificate-authority", "client-certificate", "client-key")
HOME = "KUBELAB_HOME"
DEFAULT_NAMESPACE = "default"


class KubeconfigError(Exception):
    """A kubeconfig is missing, cannot be read, or lacks an entry. The message names the file."""


class KubeconfigMissing(KubeconfigError):
    """There is no such file: no cluster has been started."""


@dataclass(frozen=True, slots=True)
class Access:
    """All that a client needs to connect. ``servers`` are ``host:port``, the rest is PEM; never print ``key``, nor
    ``token``. ``impersonation`` is as whom requests shall be answered, as the headers that say so.

    ``files`` are authority, certificate and key where they are files, for long-running processes that read them again.
    """

    servers: tuple[str, ...]
    ca: bytes
    certificate: bytes
    key: bytes = field(repr=False)
    server_name: str = ""
    namespace: str = DEFAULT_NAMESPACE
    context: str = ""
    files: tuple[Path, Path, Path] | None = None
    token: str = field(default="", repr=False)
    impersonation: tuple[tuple[str, str], ...] = ()

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What goes along with every request: the token, and the impersonation."""
        return (*((("authorization", f"Bearer {self.token}"),) if self.token else ()), *self.impersonation)


@dataclass(frozen=True, slots=True)
class ContextRow:
    """One line of ``kctl config get-contexts``."""

    name: str
    cluster: str
    user: str
    namespace: str


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """``$KUBELAB_HOME``, or ``~/.kubelab``."""
    return Path(environ.get(HOME) or "~/.kubelab").expanduser()


def invoker(environ: Mapping[str, str] = os.environ) -> tuple[int, int] | None:
    """Return user and group of the person who typed ``sudo``; None without sudo, or where this is not root."""
    user, group = environ.get("SUDO_UID", ""), environ.get("SUDO_GID", "")
    if os.geteuid() == 0 and user.isdecimal() and group.isdecimal():
        return int(user), int(group)
    return None


def give_to_invoker(path: Path) -> None:
    """Give a folder of root to the user who typed ``sudo``, so that ``kctl`` works without it."""
    if (owner := invoker()) is not None:
        os.chown(path, *owner)


class Kubeconfig:
    """A kubeconfig in memory. ``document`` is the whole file, as YAML gives it."""

    def __init__(self, document: dict[str, Any] | None = None, path: Path | None = None) -> None:
        self.path = path
        self.document: dict[str, Any] = document or {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [],
            "users": [],
            "contexts": [],
            "current-context": "",
        }

    @classmethod
    def load(cls, path: str | Path) -> Kubeconfig:
        """Read a file; KubeconfigMissing when there is none, KubeconfigError when it is not a kubeconfig."""
        path = Path(path)
        try:
            text = path.read_text()
        except FileNotFoundError as err:
            raise KubeconfigMissing(f"{path}: no such file") from err
        except (OSError, UnicodeDecodeError) as err:
            raise KubeconfigError(f"{path}: {err}") from err
        return cls.parse(text, path)

    @classmethod
    def parse(cls, text: str, path: Path | None = None) -> Kubeconfig:
        """Read the text of a file; relative paths in it start at ``path``'s folder."""
        import yaml

        where = path or "kubeconfig"
        try:
            document: object = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError as err:
            raise KubeconfigError(f"error loading config file {str(where)!r}: {err}") from err
        if not isinstance(document, dict):
            raise KubeconfigError(f"error loading config file {str(where)!r}: it is empty or not a mapping")
        config = cls(cast(dict[str, Any], document), path)
        for section in SECTIONS:
            config._section(section)  # refuses a wrong shape now, not at first use
        return config

    def to_yaml(self) -> str:
        """Give the text of the file."""
        import yaml

        return yaml.safe_dump(self.document, sort_keys=True, default_flow_style=False)

    def write(self, path: str | Path | None = None) -> None:
        """Replace the file in one step; only its owner may read it, for there are keys in it."""
        path = Path(path or self.path or "kubeconfig")
        path.parent.mkdir(parents=True, exist_ok=True)
        atomicfile.write(path, self.to_yaml(), mode=0o600, owner=invoker())

    @property
    def current_context(self) -> str:
        return str(self.document.get("current-context") or "")

    def use_context(self, name: str, *, in_other_file: bool = False) -> None:
        """Make a context the current one; "" for none. ``in_other_file``: it is an entry of another file."""
        if name and not in_other_file and name not in self._section("contexts"):
            raise KubeconfigError(f'no context exists with the name: "{name}"')
        self.document["current-context"] = name

    def contexts(self) -> list[ContextRow]:
        """Give every context, by name."""
        contexts = self._section("contexts")
        return [
            ContextRow(name, *(str(contexts[name].get(key) or "") for key in ("cluster", "user", "namespace")))
            for name in sorted(contexts)
        ]

    def access(self, context: str = "", *, cluster: str = "", user: str = "") -> Access:
        """Follow a context (the current one by default) to its cluster and its user, and read their files.

        ``cluster`` and ``user`` name other entries than the context does.
        """
        name = context or self.current_context
        if not name:
            others = ", ".join(row.name for row in self.contexts())
            raise KubeconfigError(
                "current-context is not set"
                + (f"; choose one of {others}: kctl config use-context NAME" if others else "")
            )
        contexts = self._section("contexts")
        if name not in contexts:
            raise KubeconfigError(f'context "{name}" does not exist')
        chosen = contexts[name]
        cluster_name, user_name = cluster or str(chosen.get("cluster") or ""), user or str(chosen.get("user") or "")
        of_cluster = self._section("clusters").get(cluster_name)
        if of_cluster is None:
            raise KubeconfigError(f'cluster "{cluster_name}" does not exist')
        of_user = self._section("users").get(user_name)
        if of_user is None and user:
            raise KubeconfigError(f'auth info "{user_name}" does not exist')
        of_user = of_user or {}
        return Access(
            servers=self._grpc_servers(of_cluster) or servers_of(str(of_cluster.get("server") or "")),
            ca=self._pem(of_cluster, "certificate-authority"),
            certificate=self._pem(of_user, "client-certificate"),
            key=self._pem(of_user, "client-key"),
            server_name=str(of_cluster.get("tls-server-name") or ""),
            namespace=str(chosen.get("namespace") or DEFAULT_NAMESPACE),
            context=name,
            files=self._files(of_cluster, of_user),
            token=self._token(of_user),
            impersonation=impersonation_headers(
                str(of_user.get("as") or ""),
                tuple(map(str, of_user.get("as-groups") or ())),
                str(of_user.get("as-uid") or ""),
            ),
        )

    def server(self, context: str = "") -> str:
        """Give the cluster's ``server`` as it is written."""
        chosen = self._section("contexts").get(context or self.current_context, {})
        cluster = self._section("clusters").get(str(chosen.get("cluster") or ""), {})
        return str(cluster.get("server") or "")

    def set_cluster(
        self,
        name: str,
        *,
        server: str,
        ca: bytes,
        certificate: bytes,
        key: bytes,
        https: str = "",
        namespace: str = DEFAULT_NAMESPACE,
        make_current: bool = True,
    ) -> None:
        """Add or replace cluster, user and context, all of one name, and make the context the current one.

        ``server`` says where gRPC is spoken: one URL, or several with commas, for the entry's extension. ``https`` is
        the URL of the REST API, which every other client reads; without one the entry names the first of ``server``.
        """
        extension = {"name": EXTENSION, "extension": {"provider": "kubelab", "servers": [*servers_of(server)]}}
        cluster = {
            "certificate-authority-data": _base64(ca),
            "extensions": [extension],
            "server": https or server.split(",")[0],
            "tls-server-name": API_SERVER_NAME,
        }
        self._put("clusters", name, cluster)
        self._put("users", name, {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)})
        self._put("contexts", name, {"cluster": name, "namespace": namespace, "user": name})
        if make_current:
            self.document["current-context"] = name

    def remove_cluster(self, name: str) -> None:
        """Take away what :meth:`set_cluster` added; what is not there is no error."""
        for section in ("clusters", "users", "contexts"):
            self.document[section] = [e for e in self.document.get(section) or [] if e.get("name") != name]
        if self.current_context == name:
            self.document["current-context"] = ""  # the user chose no other cluster

    def has_cluster(self, name: str) -> bool:
        """Say whether there is an entry of this name in any section."""
        return any(name in self._section(section) for section in SECTIONS)

    def entry(self, section: str, name: str) -> dict[str, Any] | None:
        """Give an entry of ``clusters``, ``users`` or ``contexts``, to be read or changed; None when there is none."""
        return self._section(section).get(name)

    def names(self, section: str) -> list[str]:
        """Give the names of a section's entries, sorted."""
        return sorted(self._section(section))

    def put_entry(self, section: str, name: str, body: dict[str, Any]) -> None:
        """Add an entry, or replace the one of this name where it stands."""
        entries: list[dict[str, Any]] = self.document.get(section) or []
        made = {"name": name, section.removesuffix("s"): body}
        if any(e.get("name") == name for e in entries):
            self.document[section] = [made if e.get("name") == name else e for e in entries]
        else:
            self.document[section] = [*entries, made]

    def remove_entry(self, section: str, name: str) -> None:
        """Take an entry away; what is not there is no error."""
        self.document[section] = [e for e in self.document.get(section) or [] if e.get("name") != name]

    def absolute_entries(self, section: str) -> list[dict[str, Any]]:
        """Copy a section's entries; paths that are relative to this file's folder become absolute."""
        singular = section.removesuffix("s")
        entries: list[dict[str, Any]] = []
        for name, value in self._section(section).items():
            body = copy.deepcopy(value)
            for key in FILES:
                if self.path and body.get(key):
                    body[key] = str(self.path.parent / Path(str(body[key])).expanduser())
            entries.append({"name": name, singular: body})
        return entries

    def redacted(self) -> dict[str, Any]:
        """Give the document without certificates and keys, as ``kctl config view`` shows it."""
        document = copy.deepcopy(self.document)
        for section, value in (("clusters", "cluster"), ("users", "user")):
            for entry in document.get(section) or []:
                body = entry.get(value) or {}
                for key in body:
                    if key.endswith("-data"):
                        body[key] = "DATA+OMITTED"
                    elif key in ("token", "password"):
                        body[key] = "REDACTED"
        return document

    def _grpc_servers(self, cluster: Mapping[str, Any]) -> tuple[str, ...]:
        """Read ``host:port`` of every server from kubelab's extension; none where there is no such extension."""
        extensions: object = cluster.get("extensions") or []
        for entry in cast(list[Any], extensions) if isinstance(extensions, list) else []:
            if isinstance(entry, dict) and cast(dict[str, Any], entry).get("name") == EXTENSION:
                body: object = cast(dict[str, Any], entry).get("extension")
                servers: object = cast(dict[str, Any], body).get("servers") if isinstance(body, dict) else None
                if not isinstance(servers, list):
                    raise KubeconfigError(f"{self._where}: extension {EXTENSION!r} names no servers")
                return servers_of(",".join(map(str, cast(list[object], servers))))
        return ()

    def _section(self, section: str) -> dict[str, dict[str, Any]]:
        entries: object = self.document.get(section) or []
        singular = section.removesuffix("s")
        if not isinstance(entries, list):
            raise KubeconfigError(f"{self._where}: {section}: expected a list")
        by_name: dict[str, dict[str, Any]] = {}
        for n, entry in enumerate(cast(list[object], entries)):
            body = cast(dict[str, object], entry).get(singular) if isinstance(entry, dict) else None
            name = cast(dict[str, object], entry).get("name") if isinstance(entry, dict) else None
            if not isinstance(name, str) or not isinstance(body or {}, dict):
                raise KubeconfigError(f"{self._where}: {section}[{n}]: expected a name and a {singular}")
            by_name.setdefault(name, cast(dict[str, Any], body or {}))
        return by_name

    def _put(self, section: str, name: str, body: dict[str, Any]) -> None:
        entries = [e for e in self.document.get(section) or [] if e.get("name") != name]
        self.document[section] = [*entries, {"name": name, section.removesuffix("s"): body}]

    def _files(self, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> tuple[Path, Path, Path] | None:
        """Authority, certificate and key, where all three are files."""
        ca, certificate, key = ((cluster, user, user)[n].get(file) for n, file in enumerate(FILES))
        if not (ca and certificate and key) or any(k.endswith("-data") for k in (*cluster, *user)):
            return None
        return self._absolute(ca), self._absolute(certificate), self._absolute(key)

    def _absolute(self, file: object) -> Path:
        return (self.path.parent if self.path else Path()) / Path(str(file)).expanduser()

    def _pem(self, body: Mapping[str, Any], key: str) -> bytes:
        data = body.get(f"{key}-data")
        if data:
            try:
                return base64.b64decode(str(data), validate=True)
            except (binascii.Error, ValueError) as err:
                raise KubeconfigError(f"{self._where}: {key}-data is not base64") from err
        file = body.get(key)
        if not file:
            return b""
        path = self._absolute(file)
        try:
            return path.read_bytes()
        except OSError as err:
            raise KubeconfigError(f"unable to read {key} {path}: {err.strerror}") from err

    def _token(self, user: Mapping[str, Any]) -> str:
        """The user's bearer token; the file wins, as it is renewed."""
        if file := user.get("tokenFile"):
            try:
                return self._absolute(file).read_text().strip()
            except OSError as err:
                raise KubeconfigError(f"unable to read tokenFile {file}: {err.strerror}") from err
        return str(user.get("token") or "")

    @property
    def _where(self) -> str:
        return str(self.path or "kubeconfig")


def impersonation_headers(user: str, groups: tuple[str, ...] = (), uid: str = "") -> tuple[tuple[str, str], ...]:
    """Give the headers that ask to be answered as another user; none without one."""
    named = ((("impersonate-user", user),) if user else ()) + tuple(("impersonate-group", group) for group in groups)
    return (*named, *((("impersonate-uid", uid),) if uid else ()))


def servers_of(urls: str) -> tuple[str, ...]:
    """Read ``https://127.0.0.1:6443`` or several with commas; gives ``host:port``, port 443 when none is named."""
    targets: list[str] = []
    for url in (u.strip() for u in urls.split(",")):
        scheme, separator, rest = url.partition("://")
        if not separator:
            scheme, rest = "https", url
        if scheme != "https" or not rest.strip("/"):
            raise KubeconfigError(f'the server "{url}" is not an https:// address')
        host = rest.split("/", 1)[0]
        _, colon, port = host.rpartition("]")[2].partition(":")  # an IPv6 address is in brackets
        if colon and not (port.isascii() and port.isdigit() and int(port) < 2**16):
            raise KubeconfigError(f'host must be a URL or a host:port pair: "{url}"')
        targets.append(host if colon else f"{host}:443")
    return tuple(targets)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
