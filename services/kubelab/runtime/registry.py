"""Pulling images from registries (https://github.com/opencontainers/distribution-spec/blob/main/spec.md).

Blocking, like the rest of the standard library's HTTP: callers use a thread.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from kubelab.apimachinery.references import HUB, Reference
from kubelab.runtime.archive import BadArchive, add_layer, for_this_machine
from kubelab.runtime.store import CONFIG_TYPE, MANIFEST_TYPE, Image, Store

SECONDS = 60.0
_HUB_HOST = "registry-1.docker.io"
_DOCKER = "application/vnd.docker.distribution.manifest"
_ACCEPT = ", ".join(
    (MANIFEST_TYPE, "application/vnd.oci.image.index.v1+json", f"{_DOCKER}.v2+json", f"{_DOCKER}.list.v2+json")
)


class PullError(Exception):
    """The image could not be had; the message is in containerd's words. ``missing``: the registry does not have it."""

    def __init__(self, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


class Registry:
    """One image of one registry. ``login`` is a user's name and password, or None."""

    def __init__(self, reference: Reference, login: tuple[str, str] | None = None) -> None:
        self._reference = reference
        host = _HUB_HOST if reference.domain == HUB else reference.domain
        name = host.rpartition(":")[0] or host
        scheme = "http" if name in ("localhost", "127.0.0.1", "[::1]") else "https"  # as Docker treats them
        self._base = f"{scheme}://{host}/v2/{reference.path}"
        self._authorization = _basic(*login) if login else ""
        self._login = login

    def pull(self, store: Store) -> Image:
        """Bring the image in, every byte checked against its digest; PullError."""
        with store.adding():
            return self._pull(store)

    def _pull(self, store: Store) -> Image:
        target = str(self._reference)
        try:
            manifest = self._manifest(self._reference.digest or self._reference.tag)
            config = self._blob(manifest["config"]["digest"])
            diff_ids = json.loads(config)["rootfs"]["diff_ids"]
            layers: list[dict[str, Any]] = []
            for layer, diff_id in zip(manifest["layers"], diff_ids, strict=True):
                with store.scratch() as folder:
                    self._download(layer["digest"], folder / "blob")
                    layers.append(add_layer(store, folder / "blob", diff_id))
        except urllib.error.HTTPError as err:
            if err.code in (401, 403, 404):
                told = (
                    f'failed to pull and unpack image "{target}": failed to resolve reference "{target}": '
                    + (f"{target}: not found" if err.code == 404 else
                       "pull access denied, repository does not exist or may require authorization")
                )  # fmt: skip
                raise PullError(told, missing=True) from err
            raise PullError(f'failed to pull image "{target}": {err}') from err
        except (OSError, HTTPException, ValueError, KeyError, BadArchive) as err:
            reason = err.reason if isinstance(err, urllib.error.URLError) else err
            raise PullError(f'failed to pull image "{target}": failed to do request: {self._base}: {reason}') from err
        return store.add_image(config, layers, [self._reference])

    def _manifest(self, name: str) -> dict[str, Any]:
        with self._get(f"{self._base}/manifests/{name}", _ACCEPT) as answer:
            content = answer.read()
        if name.startswith("sha256:") and f"sha256:{hashlib.sha256(content).hexdigest()}" != name:
            raise PullError(f"the registry's manifest is not {name}")
        manifest: dict[str, Any] = json.loads(content)
        if "manifests" in manifest:
            try:
                entry = for_this_machine(manifest["manifests"])
            except BadArchive as err:
                raise PullError(str(err), missing=True) from err
            return self._manifest(entry["digest"])
        return manifest

    def _blob(self, digest: str) -> bytes:
        with self._get(f"{self._base}/blobs/{digest}", CONFIG_TYPE + ", */*") as answer:
            content = answer.read()
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            raise PullError(f"the registry's blob is not {digest}")
        return content

    def _download(self, digest: str, path: Path) -> None:
        found = hashlib.sha256()
        with self._get(f"{self._base}/blobs/{digest}", "*/*") as answer, path.open("wb") as target:
            while block := answer.read(1 << 20):
                found.update(block)
                target.write(block)
        if f"sha256:{found.hexdigest()}" != digest:
            raise PullError(f"the registry's blob is not {digest}")

    def _get(self, url: str, accept: str, *, again: bool = True) -> HTTPResponse:
        request = urllib.request.Request(url, headers={"Accept": accept})
        if self._authorization:
            # blobs may be redirected to another host, which must not see it
            request.add_unredirected_header("Authorization", self._authorization)
        try:
            return urllib.request.urlopen(request, timeout=SECONDS)
        except urllib.error.HTTPError as err:
            challenge = err.headers.get("WWW-Authenticate", "")
            if err.code != 401 or not again or not challenge.lower().startswith("bearer"):
                raise
            self._authorization = f"Bearer {self._token(challenge)}"
        return self._get(url, accept, again=False)

    def _token(self, challenge: str) -> str:
        """Ask whom the registry names for a token (https://distribution.github.io/distribution/spec/auth/token/)."""
        said = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        query = {"scope": said.get("scope", f"repository:{self._reference.path}:pull")}
        if "service" in said:
            query["service"] = said["service"]
        request = urllib.request.Request(f"{said['realm']}?{urllib.parse.urlencode(query)}")
        if self._login:
            request.add_header("Authorization", _basic(*self._login))
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            token = json.load(answer)
        return token.get("token") or token["access_token"]


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
