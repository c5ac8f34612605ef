"""Pulling images from registries (https://github.com/opencontainers/distribution-spec/blob/main/spec.md).

Blocking, like the standard library's HTTP: callers use a thread. A registry is not trusted: every document is bounded
and checked against its digest. Credentials go to the registry's own host and to the token server that it names, and to
the latter not without TLS unless the registry itself has none.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.references import HUB, Reference
from kubelab.runtime.images import registryerrors
from kubelab.runtime.images.registryerrors import PullError
from kubelab.runtime.images.staging import LayerRecord, Staging
from kubelab.runtime.images.store import Image, Store
from kubelab.runtime.oci import digests, documents, platforms
from kubelab.runtime.oci.documents import INDEX_TYPES, MANIFEST_TYPES, SCHEMA1_TYPES, Descriptor
from kubelab.runtime.oci.limits import BadImage, Limits
from kubelab.runtime.oci.picking import Picker

SECONDS = 60.0  # without a byte
DOCUMENT_SECONDS = 120.0  # for a manifest, a configuration or a token, from its first byte to its last
_HUB_HOST = "registry-1.docker.io"
_ACCEPT = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))
_MAX_CHALLENGE, _MAX_TOKEN = 4096, 1 << 20
_BLOCK = 1 << 20
_PARAMETER = re.compile(r'(\w+)="([^"]*)"', re.ASCII)


class Registry:
    """One image of one registry. ``login`` is a user's name and password, or None."""

    def __init__(
        self, reference: Reference, clock: Clock, login: tuple[str, str] | None = None, limits: Limits | None = None
    ) -> None:
        self._reference, self._clock, self._login = reference, clock, login
        self._limits = limits or Limits()
        host = _HUB_HOST if reference.domain == HUB else reference.domain
        name = urllib.parse.urlsplit(f"//{host}").hostname or ""
        self._scheme = "http" if name in ("localhost", "::1") or name.startswith("127.") else "https"  # as docker does
        self._base = f"{self._scheme}://{host}/v2/{reference.path}"
        self._authorization = _basic(*login) if login else ""
        self._opener = _opener()
        self._parts = 0

    def pull(self, store: Store) -> Image:
        """Bring the image in, every byte checked against its digest; PullError, in containerd's words."""
        target = str(self._reference)
        try:
            with Staging.begin(store, self._limits) as staging:
                return self._pull(staging)
        except PullError as err:
            raise PullError(f'failed to pull and unpack image "{target}": {err}', missing=err.missing) from err
        except (BadImage, OSError, HTTPException) as err:
            reason = registryerrors.reason(err) if isinstance(err, HTTPException) else err
            raise PullError(f'failed to pull and unpack image "{target}": {reason}') from err

    def _pull(self, staging: Staging) -> Image:
        resolved, content = self._resolve()
        first = {resolved.digest: content}

        def fetch(descriptor: Descriptor) -> bytes:
            if (content := first.pop(descriptor.digest, None)) is not None:
                return content
            return self._manifest(descriptor.digest, descriptor.digest, descriptor.digest)[0]

        picker = Picker(fetch, self._config, self._limits)
        image = picker.image(resolved)
        if image is None:
            raise PullError(self._reason(picker), missing=True)
        records = [
            self._layer(staging, layer, diff_id)
            for layer, diff_id in zip(image.manifest.layers, image.config.diff_ids, strict=True)
        ]
        pinned = Reference(self._reference.domain, self._reference.path, digest=resolved.digest)
        staging.add_image(image.config, records, list(dict.fromkeys([self._reference, pinned])))
        return staging.commit()[0]

    def _resolve(self) -> tuple[Descriptor, bytes]:
        """What the image's name means now."""
        target = str(self._reference)
        try:
            name = self._reference.digest or self._reference.tag
            content, media_type = self._manifest(name, self._reference.digest, target)
        except PullError as err:
            raise PullError(f'failed to resolve reference "{target}": {err}', missing=err.missing) from err
        digest = self._reference.digest or digests.sha256(content)
        return Descriptor(digest, len(content), media_type), content

    @staticmethod
    def _reason(picker: Picker) -> str:
        if picker.foreign:
            return f"{platforms.no_match(picker.foreign, picker.here)}: not found"
        return "no image is in it, only attestations or other artifacts: not found"

    # --- what a registry has

    def _manifest(self, name: str, digest: str, what: str) -> tuple[bytes, str]:
        """A manifest or an index, and its media type; ``what`` is its name for people."""
        try:
            got = self._get(f"{self._base}/manifests/{name}", _ACCEPT)
        except registryerrors.NotThere as err:
            raise PullError(f"{what}: not found", missing=True) from err
        with got as answer:
            media_type = answer.headers.get_content_type()
            if media_type in SCHEMA1_TYPES:
                raise PullError(documents.schema1(media_type))
            content = self._read(answer, f"manifest for {what}", self._limits.document)
        return digests.check(content, digest, "the registry's manifest") if digest else content, media_type

    def _config(self, descriptor: Descriptor) -> bytes:
        with self._get(f"{self._base}/blobs/{descriptor.digest}", "*/*") as answer:
            content = self._read(answer, "config", self._limits.document)
        return digests.check(content, descriptor.digest, "the registry's config")

    def _layer(self, staging: Staging, layer: Descriptor, diff_id: str) -> LayerRecord:
        if (present := staging.layer(diff_id)) is not None:
            return present
        if "+encrypted" in layer.media_type:
            raise PullError(f"the layer {layer.digest} is encrypted")
        path = staging.folder / f"download-{self._parts}"
        self._parts += 1
        self._download(layer, path, staging)
        with path.open("rb") as source:
            record = staging.add_layer(source, diff_id, f"layer {layer.digest}")
        path.unlink()
        return record

    def _download(self, layer: Descriptor, path: Path, staging: Staging) -> None:
        staging.budget.downloaded(layer.size)
        with self._get(f"{self._base}/blobs/{layer.digest}", "*/*") as answer, path.open("wb") as target:
            source = _Bounded(answer, layer.size)
            digests.copy(source, target, layer.digest, "the registry's layer")

    def _read(self, answer: HTTPResponse, what: str, limit: int) -> bytes:
        """A small body, in bounded time."""
        deadline = self._clock.monotonic() + DOCUMENT_SECONDS
        content = bytearray()
        while block := answer.read1(limit + 1 - len(content)):
            content += block
            if len(content) > limit:
                raise PullError(f"rejecting {what}: larger than {limit} bytes")
            if self._clock.monotonic() > deadline:
                raise PullError(f"reading {what}: not whole after {DOCUMENT_SECONDS:g} s")
        return bytes(content)

    # --- requests

    def _get(self, url: str, accept: str, *, again: bool = True) -> HTTPResponse:
        request = urllib.request.Request(url, headers={"Accept": accept})
        if self._authorization:
            # blobs may be redirected to another host, which must not see it
            request.add_unredirected_header("Authorization", self._authorization)
        try:
            return self._opener.open(request, timeout=SECONDS)
        except urllib.error.HTTPError as err:
            with err:
                challenge = err.headers.get("WWW-Authenticate", "")
                if err.code != 401 or not again or not challenge.lower().startswith("bearer"):
                    raise registryerrors.status(err, url, challenge) from err
        except (OSError, HTTPException, ValueError) as err:
            raise registryerrors.request(err, url) from err
        self._authorization = f"Bearer {self._token(challenge)}"
        return self._get(url, accept, again=False)

    def _token(self, challenge: str) -> str:
        """Ask for a token (https://distribution.github.io/distribution/spec/auth/token/)."""
        if len(challenge) > _MAX_CHALLENGE:
            raise PullError("failed to authorize: the registry's challenge is too long")
        said = dict(_PARAMETER.findall(challenge))
        realm = urllib.parse.urlsplit(said.get("realm", ""))
        if realm.scheme not in ("http", "https") or not realm.hostname:
            raise PullError(f"failed to authorize: the registry names no token server: {said.get('realm', '')!r}")
        query = {"scope": said.get("scope", f"repository:{self._reference.path}:pull")}
        if "service" in said:
            query["service"] = said["service"]
        before = f"{realm.query}&" if realm.query else ""
        address = before + urllib.parse.urlencode(query)
        url = urllib.parse.urlunsplit((realm.scheme, realm.netloc, realm.path, address, ""))
        request = urllib.request.Request(url)
        kind = "anonymous" if self._login is None else "oauth"
        if self._login:
            if realm.scheme == "http" and self._scheme == "https":
                raise PullError("failed to authorize: the registry wants the password to be sent without TLS")
            request.add_unredirected_header("Authorization", _basic(*self._login))
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                token: Any = json.loads(self._read(answer, "token", _MAX_TOKEN))
                text = token.get("token") or token["access_token"]
        except urllib.error.HTTPError as err:
            with err:
                message = registryerrors.status(err, url, "")
            raise PullError(f"failed to authorize: failed to fetch {kind} token: {message}", missing=True) from err
        except (OSError, HTTPException) as err:
            message = registryerrors.request(err, url)
            raise PullError(f"failed to authorize: failed to fetch {kind} token: {message}") from err
        except (ValueError, LookupError, AttributeError, TypeError, RecursionError) as err:
            raise PullError(f"failed to authorize: failed to fetch {kind} token: no token in the answer") from err
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise PullError(f"failed to authorize: failed to fetch {kind} token: no token in the answer")
        return text


class _Bounded:
    """A body of a size that is known beforehand."""

    def __init__(self, inner: IO[bytes], size: int) -> None:
        self._inner, self._left, self._size = inner, size, size

    def read(self, size: int = -1) -> bytes:
        block = self._inner.read(min(_BLOCK, self._left + 1) if size < 0 else min(size, self._left + 1))
        self._left -= len(block)
        if self._left < 0:
            raise PullError(f"the registry's layer is larger than the {self._size} bytes that the manifest says")
        return block


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows as the standard library does, but never from TLS to none."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme != "https"):
            fp.close()
            raise urllib.error.URLError(f"redirected to {scheme}, which is refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """HTTP and TLS through the environment's proxy, and nothing else: no files, no FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
