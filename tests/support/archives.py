"""Images as the tools that people use write them into archives: one function for each shape.

What each tool writes was looked at in archives of skopeo 1.9, buildah 1.28 and umoci 0.4, and in the sources of others.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

import zstandard

from kubelab.runtime.oci import platforms

HERE = platforms.machine().architecture
OTHER = "arm64" if HERE != "arm64" else "amd64"
OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"
NAME, REF_NAME = "io.containerd.image.name", "org.opencontainers.image.ref.name"
Files = dict[str, bytes]


def sha(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def hexadecimal(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


def tar(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            archive.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return buffer.getvalue()


def config(*layers: bytes, architecture: str = HERE, os: str = "linux", **process: Any) -> bytes:
    return dump(
        {
            "architecture": architecture,
            "os": os,
            "config": process,
            "rootfs": {"type": "layers", "diff_ids": [sha(layer) for layer in layers]},
        }
    )


# --- with a manifest.json


def docker_entry(config_name: str, layer_names: Sequence[str], *tags: str) -> dict[str, Any]:
    return {"Config": config_name, "RepoTags": [*tags] or None, "Layers": [*layer_names]}


def docker_save(tag: str, *layers: bytes, **process: Any) -> bytes:
    """docker before 25: a folder for each layer; one that is there before is a link to it."""
    described = config(*layers, **process)
    name = f"{hexadecimal(described)}.json"
    files, links, names = Files(), dict[str, str](), list[str]()
    for n, layer in enumerate(layers):
        path = f"{hexadecimal(b'%d' % n + layer)}/layer.tar"
        if layer in layers[:n]:
            links[path] = f"../{names[layers.index(layer)]}"
        else:
            files[path] = layer
        names.append(path)
    files[name] = described
    files["manifest.json"] = dump([docker_entry(name, names, *([tag] if tag else []))])
    return tar(files, links)


def docker_25(tag: str, *layers: bytes, **process: Any) -> bytes:
    """docker since 25: an OCI layout with a manifest.json beside."""
    described = config(*layers, **process)
    files = blobs(described, *layers)
    manifest = manifest_of(described, [(layer, f"{OCI}.layer.v1.tar") for layer in layers])
    files |= blobs(manifest)
    notes = {NAME: f"docker.io/library/{tag}", REF_NAME: tag.rpartition(":")[2]}
    files["index.json"] = index(entry(manifest, annotations=notes))
    files["manifest.json"] = dump([docker_entry(blob(described), [blob(layer) for layer in layers], tag)])
    return tar(layout(files))


def jib(tag: str, *layers: bytes) -> bytes:
    """Jib: config.json, and layers compressed by gzip under the digests of their compressed bytes."""
    described = config(*layers)
    files = {f"{hexadecimal(gz(layer))}.tar.gz": gz(layer) for layer in layers}
    manifest = [docker_entry("config.json", [f"{hexadecimal(gz(layer))}.tar.gz" for layer in layers], tag)]
    return tar({**files, "config.json": described, "manifest.json": dump(manifest)})


def crane(tag: str, *layers: bytes) -> bytes:
    """crane pull, ko --tarball, kaniko --tar-path: go-containerregistry, with a colon in the configuration's name."""
    described = config(*layers)
    files = {f"{hexadecimal(gz(layer))}.tar.gz": gz(layer) for layer in layers}
    manifest = [docker_entry(sha(described), [f"{hexadecimal(gz(layer))}.tar.gz" for layer in layers], tag)]
    return tar({sha(described): described, **files, "manifest.json": dump(manifest)})


def podman(tag: str, *layers: bytes) -> bytes:
    """podman and buildah, docker-archive: layers under their digests, links as docker has them, all names in full."""
    described = config(*layers)
    files, links = {f"{hexadecimal(layer)}.tar": layer for layer in layers}, dict[str, str]()
    for n, layer in enumerate(layers):
        links[f"{hexadecimal(b'%d' % n)}/layer.tar"] = f"../{hexadecimal(layer)}.tar"
        files[f"{hexadecimal(b'%d' % n)}/VERSION"] = b"1.0"
    name = f"{hexadecimal(described)}.json"
    names = [f"{hexadecimal(layer)}.tar" for layer in layers]
    files |= {name: described, "repositories": b"{}"}
    files["manifest.json"] = dump([docker_entry(name, names, f"docker.io/library/{tag}")])
    return tar(files, links)


def buildkit_docker(tag: str, *layers: bytes) -> bytes:
    """docker buildx build -o type=docker: blobs, compressed, behind both descriptions."""
    described = config(*layers)
    compressed = [(gz(layer), f"{DOCKER}.image.rootfs.diff.tar.gzip") for layer in layers]
    manifest = manifest_of(described, compressed)
    files = blobs(described, manifest, *(layer for layer, _ in compressed))
    notes = {NAME: f"docker.io/library/{tag}", REF_NAME: tag.rpartition(":")[2]}
    files["index.json"] = index(entry(manifest, annotations=notes, platform=True))
    files["manifest.json"] = dump([docker_entry(blob(described), [blob(layer) for layer, _ in compressed], tag)])
    return tar(layout(files))


# --- OCI layouts


def buildkit_oci(tag: str, *layers: bytes, others: bool = True) -> bytes:
    """docker buildx build --platform …,… -o type=oci: an index in the index, an attestation beside each image."""
    images: list[dict[str, Any]] = []
    files = Files()
    for architecture in (OTHER, HERE):
        described = config(*layers, architecture=architecture)
        compressed = [(gz(layer), f"{OCI}.layer.v1.tar+gzip") for layer in layers]
        manifest = manifest_of(described, compressed)
        images.append(entry(manifest, platform=architecture))
        proof, proven = attestation(manifest)
        images.append(proven)
        if others or architecture == HERE:
            files |= blobs(described, manifest, *(layer for layer, _ in compressed)) | proof
    inner = index(*images)
    files |= blobs(inner)
    notes = {NAME: f"docker.io/library/{tag}", REF_NAME: tag.rpartition(":")[2]}
    files["index.json"] = index({**entry(inner, annotations=notes), "mediaType": f"{OCI}.index.v1+json"})
    return tar(layout(files))


def skopeo_oci(tag: str, *layers: bytes) -> bytes:
    """skopeo copy … oci-archive:x.tar:NAME:TAG, podman save --format oci-archive: the note has the whole name."""
    described = config(*layers)
    compressed = [(gz(layer), f"{OCI}.layer.v1.tar+gzip") for layer in layers]
    manifest = manifest_of(described, compressed)
    files = blobs(described, manifest, *(layer for layer, _ in compressed))
    files["index.json"] = index(entry(manifest, annotations={REF_NAME: tag}))
    return tar(layout(files))


def zstd_oci(tag: str, *layers: bytes) -> bytes:
    """buildx and nerdctl with compression=zstd; a frame without content stands before, as in zstd:chunked after."""
    described = config(*layers)
    skipped = b"\x50\x2a\x4d\x18\x04\x00\x00\x00none"
    compressed = [
        (skipped + zstandard.ZstdCompressor().compress(layer), f"{OCI}.layer.v1.tar+zstd") for layer in layers
    ]
    manifest = manifest_of(described, compressed)
    files = blobs(described, manifest, *(layer for layer, _ in compressed))
    files["index.json"] = index(entry(manifest, annotations={NAME: f"docker.io/library/{tag}"}))
    return tar(layout(files))


def flat(tag: str, architectures: Sequence[str], *layers: bytes, absent: Sequence[str] = ()) -> bytes:
    """All platforms' manifests in index.json itself, under one name (image-spec#581)."""
    files, entries = Files(), list[dict[str, Any]]()
    for architecture in architectures:
        described = config(*layers, architecture=architecture, Cmd=["echo", architecture])
        manifest = manifest_of(described, [(layer, f"{OCI}.layer.v1.tar") for layer in layers])
        notes = {NAME: f"docker.io/{tag}"} if tag else {}
        entries.append(entry(manifest, platform=architecture, annotations=notes))
        if architecture not in absent:
            files |= blobs(described, manifest, *layers)
    files["index.json"] = index(*entries)
    return tar(layout(files))


def attested(tag: str, *layers: bytes) -> bytes:
    """An image and its attestation side by side in index.json."""
    described = config(*layers)
    manifest = manifest_of(described, [(layer, f"{OCI}.layer.v1.tar") for layer in layers])
    proof, proven = attestation(manifest)
    files = blobs(described, manifest, *layers) | proof
    files["index.json"] = index(entry(manifest, annotations={NAME: f"docker.io/library/{tag}"}), proven)
    return tar(layout(files))


# --- parts


def gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def blob(content: bytes) -> str:
    return f"blobs/sha256/{hexadecimal(content)}"


def blobs(*contents: bytes) -> Files:
    return {blob(content): content for content in contents}


def layout(files: Files) -> Files:
    return {"oci-layout": dump({"imageLayoutVersion": "1.0.0"}), **files}


def manifest_of(described: bytes, layers: Sequence[tuple[bytes, str]]) -> bytes:
    return dump(
        {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": {"mediaType": f"{OCI}.config.v1+json", "digest": sha(described), "size": len(described)},
            "layers": [{"mediaType": kind, "digest": sha(layer), "size": len(layer)} for layer, kind in layers],
        }
    )


def entry(
    manifest: bytes, *, platform: str | bool = False, annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    descriptor: dict[str, Any] = {
        "mediaType": f"{OCI}.manifest.v1+json",
        "digest": sha(manifest),
        "size": len(manifest),
    }
    if platform:
        descriptor["platform"] = {"os": "linux", "architecture": platform if isinstance(platform, str) else HERE}
    if annotations:
        descriptor["annotations"] = dict(annotations)
    return descriptor


def attestation(manifest: bytes) -> tuple[Files, dict[str, Any]]:
    """BuildKit's proof of where an image came from: its blobs, and its entry in an index."""
    statement = dump({"_type": "https://in-toto.io/Statement/v0.1", "subject": sha(manifest)})
    described = dump({"architecture": "unknown", "os": "unknown", "rootfs": {"diff_ids": [sha(statement)]}})
    proof = manifest_of(described, [(statement, "application/vnd.in-toto+json")])
    notes = {"vnd.docker.reference.digest": sha(manifest), "vnd.docker.reference.type": "attestation-manifest"}
    descriptor = {**entry(proof, annotations=notes), "platform": {"os": "unknown", "architecture": "unknown"}}
    return blobs(statement, described, proof), descriptor


def index(*entries: Mapping[str, Any]) -> bytes:
    return dump({"schemaVersion": 2, "manifests": [*entries]})
