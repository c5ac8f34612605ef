"""Archives of images: those of every tool load, others are refused in words, and nothing stays of them."""

from __future__ import annotations

import bz2
import copy
import errno
import gzip
import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from kubelab.files import atomicfile
from kubelab.runtime.images import archive
from kubelab.runtime.images.archive import BadArchive
from kubelab.runtime.images.store import Image, Store
from kubelab.runtime.oci import platforms
from kubelab.runtime.oci.limits import Limits
from tests.support import archives as writers
from tests.support.archives import HERE, OTHER, sha, tar

BASE, TOP = tar({"bin/tool": b"base"}), tar({"etc/conf": b"top"})


def load(folder: Path, content: bytes, limits: Limits | None = None) -> tuple[Store, list[str]]:
    path, store = folder / "archive", Store(folder / "store")
    path.write_bytes(content)
    return store, archive.load(store, path, limits)


def everything(store: Store) -> list[str]:
    """All files of a store that hold something of an image."""
    folders = ("blobs/sha256", "layers", "tmp", "trash", "placing")
    return sorted(str(path) for name in folders for path in (store.root / name).rglob("*"))


def files_of(store: Store, image: Image) -> dict[str, bytes]:
    """What is seen in an image whose layers hide nothing of each other."""
    return {
        str(path.relative_to(store.layer(diff_id))): path.read_bytes()
        for diff_id in image.diff_ids
        for path in store.layer(diff_id).rglob("*")
        if path.is_file()
    }


WRITERS: dict[str, Callable[..., bytes]] = {
    "docker before 25": writers.docker_save,
    "docker since 25": writers.docker_25,
    "Jib (stereoscope#492, docker-maven-plugin#1385)": writers.jib,
    "crane, ko, kaniko": writers.crane,
    "podman": writers.podman,
    "BuildKit, type=docker": writers.buildkit_docker,
    "BuildKit, type=oci": writers.buildkit_oci,
    "skopeo, podman --format oci-archive": writers.skopeo_oci,
    "zstd": writers.zstd_oci,
    "with an attestation beside (buildx --provenance)": writers.attested,
}


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_what_any_tool_writes_loads(
    tmp_path: Path, writer: Callable[..., bytes], pack: Callable[[bytes], bytes]
) -> None:
    store, names = load(tmp_path, pack(writer("app:1", BASE, TOP)))
    assert names == ["app:1"]
    image = store.find("app:1")
    assert image is not None
    assert image.names == ("docker.io/library/app:1",)
    assert image.diff_ids == (sha(BASE), sha(TOP))
    assert files_of(store, image) == {"bin/tool": b"base", "etc/conf": b"top"}


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_a_layer_that_an_image_has_twice(tmp_path: Path, writer: Callable[..., bytes]) -> None:
    """moby#46498, sealer#1330: BuildKit's empty layer, and the same COPY twice."""
    store, _ = load(tmp_path, writer("app:1", BASE, TOP, TOP))
    image = store.find("app:1")
    assert image is not None
    assert image.diff_ids == (sha(BASE), sha(TOP), sha(TOP))


@pytest.mark.parametrize("order", [(HERE, OTHER), (OTHER, HERE), (OTHER, HERE, "s390x")])
@pytest.mark.parametrize("tag", ["flat:1", ""])
def test_of_a_flat_index_the_image_for_this_machine_loads(tmp_path: Path, order: tuple[str, ...], tag: str) -> None:
    """image-spec#581, image-spec#718."""
    store, names = load(tmp_path, writers.flat(tag, order, BASE))
    (image,) = store.images()
    assert image.process["Cmd"] == ["echo", HERE]
    assert names == [tag or image.id]


def test_other_platforms_need_not_be_there(tmp_path: Path) -> None:
    """kind#3795, kind#4224."""
    store, names = load(tmp_path, writers.flat("flat:1", (OTHER, HERE), BASE, absent=[OTHER]))
    assert names == ["flat:1"]
    store.remove("flat:1")
    assert load(tmp_path, writers.buildkit_oci("flat:2", BASE, others=False))[1] == ["flat:2"]


def test_an_image_without_a_name_is_told_by_its_id(tmp_path: Path) -> None:
    store, names = load(tmp_path, writers.docker_save("", BASE))
    (image,) = store.images()
    assert names == [image.id]
    assert store.find(image.id) == store.find(image.id.removeprefix("sha256:")[:12]) == image
    store.remove(image.id.removeprefix("sha256:")[:12])
    assert store.images() == []


def test_a_tag_alone_is_no_name(tmp_path: Path) -> None:
    store, names = load(tmp_path, writers.skopeo_oci("latest", BASE))
    assert names == [store.images()[0].id]


def test_several_images_of_an_archive_and_several_names_of_one(tmp_path: Path) -> None:
    one, two = writers.config(BASE), writers.config(BASE, TOP)
    manifest = [
        writers.docker_entry("one.json", ["base.tar"], "one:1", "x.io/one:2"),
        writers.docker_entry("two.json", ["base.tar", "top.tar"], "two:1"),
        writers.docker_entry("one.json", ["base.tar"], "<none>:<none>"),
    ]
    files = {"one.json": one, "two.json": two, "base.tar": BASE, "top.tar": TOP}
    store, names = load(tmp_path, tar({**files, "manifest.json": json.dumps(manifest).encode()}))
    assert names == ["one:1", "x.io/one:2", "two:1", sha(one)]
    assert [store.find(name) is not None for name in names] == [True] * 4


def test_loading_again_reads_no_layer_again_and_changes_nothing(tmp_path: Path) -> None:
    store, _ = load(tmp_path, writers.docker_save("app:1", BASE, TOP))
    before = everything(store)
    assert load(tmp_path, writers.jib("app:1", BASE, TOP))[1] == ["app:1"]
    assert set(before) <= set(everything(store))
    assert len(store.images()) == 1


def test_names_in_an_archive_are_looked_up_in_it_alone(tmp_path: Path) -> None:
    """Links lead from its top, and a file of the machine is no member."""
    described = writers.config(BASE)
    manifest = [writers.docker_entry("/c.json", ["./l/../l/link"], "app:1")]
    files = {"c.json": described, "blobs/base": BASE, "manifest.json": json.dumps(manifest).encode()}
    store, names = load(tmp_path, tar(files, {"l/link": "/blobs/../../blobs/base"}))
    assert names == ["app:1"]
    assert files_of(store, store.images()[0]) == {"bin/tool": b"base"}


# --- what is no image, or not for this machine


def docker(described: bytes = writers.config(BASE), **changes: Any) -> bytes:
    item = {"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["l.tar"], **changes}
    return tar({"c.json": described, "l.tar": BASE, "manifest.json": writers.dump([item])})


def oci(*entries: Any, **files: bytes) -> bytes:
    return tar(writers.layout({"index.json": writers.index(*entries), **files}))


def described(**changes: Any) -> bytes:
    return writers.dump({**json.loads(writers.config(BASE)), **changes})


def signature() -> bytes:
    manifest = json.loads(writers.manifest_of(b"{}", []))
    manifest["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
    content = writers.dump(manifest)
    return oci(writers.entry(content), **writers.blobs(content, b"{}"))


def schema1() -> bytes:
    content = writers.dump({"schemaVersion": 1, "fsLayers": []})
    return oci(writers.entry(content), **writers.blobs(content))


def nested(levels: int) -> bytes:
    content = writers.manifest_of(writers.config(BASE), [(BASE, "")])
    files = writers.blobs(content, BASE, writers.config(BASE))
    for _ in range(levels):
        content = writers.index(writers.entry(content))
        files |= writers.blobs(content)
    return oci(writers.entry(content), **files)


DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
WHOLE = writers.docker_save("app:1", BASE, TOP)
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the archive is empty"),
    "text": (b"no tar at all" * 100, "not a tar archive, or a damaged one"),
    "a program": (b"\x7fELF" + bytes(2000), "not a tar archive, or a damaged one"),
    "a zip": (b"PK\x03\x04" + bytes(600), "compressed with zip; kubelab reads gzip, zstd, bzip2, xz and plain tar"),
    "another tar": (tar({"x": b""}), "neither manifest.json (docker save) nor index.json (OCI image layout) is in it"),
    "a folder packed": (tar({"out/index.json": b"{}"}), "out/index.json is not at its top; pack the content"),
    "docker before 1.10": (tar({"repositories": b"{}"}), "written by a docker before 1.10"),
    "cut off": (WHOLE[: len(WHOLE) // 2], "the archive is cut off"),
    "cut off, gzip": (gzip.compress(WHOLE)[:-100], "the archive is cut off"),
    "cut off, xz": (lzma.compress(WHOLE)[:-100], "the archive is cut off"),
    "cut off, bzip2": (bz2.compress(WHOLE)[:-100], "the archive is cut off"),
    "cut off, zstd": (zstandard.compress(WHOLE)[:-100], "the archive is "),
    "damaged gzip": (gzip.compress(WHOLE)[:30] + bytes(300), "the archive cannot be decompressed"),
    "no image": (tar({"manifest.json": b"[]"}), "manifest.json names no image"),
    "no list": (tar({"manifest.json": b"{}"}), "manifest.json: expected a list, got {}"),
    "null": (tar({"manifest.json": b"null"}), "manifest.json: expected a list, got null"),
    "no JSON": (tar({"manifest.json": b'[{"a"'}), "manifest.json: not JSON"),
    "deep JSON": (tar({"manifest.json": DEEP}), "manifest.json: not JSON"),
    "half a character": (tar({"manifest.json": rb'["\ud800"]'}), "manifest.json: not JSON"),
    "large JSON": (tar({"manifest.json": b" " * (5 << 20)}), "manifest.json is larger than 4194304 bytes"),
    "no configuration": (docker(Config=None), "manifest.json[0].Config: expected a text, got null"),
    "another configuration": (docker(Config="x"), "x is missing from the archive"),
    "configuration outside": (docker(Config="../../etc/passwd"), "../../etc/passwd: leads out of the archive"),
    "layers of numbers": (docker(Layers=[5]), "manifest.json[0].Layers[0]: expected a text, got 5"),
    "layer outside": (docker(Layers=["../l.tar"]), "../l.tar: leads out of the archive"),
    "layer of the machine": (docker(Layers=["/etc/hostname"]), "/etc/hostname is missing from the archive"),
    "too few layers": (docker(Layers=[]), "c.json: 1 layers expected, 0 are in the archive"),
    "no layer": (docker(Layers=["c.json"]), "c.json: expected sha256:"),
    "bad tag": (docker(RepoTags=["A b"]), "RepoTags: invalid tag 'A b': invalid reference format"),
    "bad diff id": (
        docker(described(rootfs={"diff_ids": ["sha256:../x"]})),
        'c.json.rootfs.diff_ids[0]: "sha256:../x": invalid checksum digest length',
    ),
    "no rootfs": (docker(described(rootfs=None)), "c.json.rootfs: expected an object, got null"),
    "environment": (docker(described(config={"Env": {"A": "b"}})), "c.json.config.Env: expected a list"),
    "command": (docker(described(config={"Cmd": "sh"})), 'c.json.config.Cmd: expected a list, got "sh"'),
    "command with NUL": (docker(described(config={"Cmd": ["a\0"]})), "c.json.config.Cmd[0]: expected a text"),
    "user": (docker(described(config={"User": 0})), "c.json.config.User: expected a text, got 0"),
    "label": (docker(described(config={"Labels": {"a": 1}})), "c.json.config.Labels.a: expected a text, got 1"),
    "another machine": (
        writers.docker_save("app:1", BASE, architecture=OTHER),
        f"no match for platform in manifest: this machine is linux/{HERE}, the image is for linux/{OTHER}",
    ),
    "windows": (writers.docker_save("app:1", BASE, os="windows"), f"the image is for windows/{HERE}"),
    "other machines": (
        writers.flat("x/flat:1", (OTHER, "s390x"), BASE),
        f"x/flat:1: no match for platform in manifest: this machine is linux/{HERE}, "
        f"the image is for linux/{OTHER}, linux/s390x",
    ),
    "one image of another machine": (
        tar(
            {
                "manifest.json": writers.dump(
                    [writers.docker_entry("a", ["l"], "a:1"), writers.docker_entry("b", ["l"], "b:1")]
                ),
                "a": writers.config(BASE),
                "b": writers.config(BASE, architecture=OTHER),
                "l": BASE,
            }
        ),
        f"the image is for linux/{OTHER}",
    ),
    "index of no images": (oci(), "index.json names no image"),
    "index without": (tar({"index.json": b"{}"}), "index.json.manifests: is missing"),
    "index of numbers": (oci(5), "index.json.manifests[0]: expected an object, got 5"),
    "a digest that leads out": (
        oci({"digest": "sha256:../../x"}),
        'index.json.manifests[0].digest: "sha256:../../x": invalid checksum digest length',
    ),
    "a size below zero": (oci({**writers.entry(b""), "size": -1}), "index.json.manifests[0].size: expected a number"),
    "a manifest that is not there": (oci(writers.entry(b"x")), f"{writers.blob(b'x')} is missing from the archive"),
    "artifacts": (signature(), "only attestations or other artifacts are in it"),
    "schema 1": (schema1(), "is no longer supported since containerd v2.0, please rebuild the image"),
    "indexes in indexes": (nested(9), "more than 8 indexes in each other"),
    "links in a circle": (tar({}, {"manifest.json": "b", "b": "manifest.json"}), "too many links in the archive"),
    "a member outside": (tar({"../x": b""}), "../x: leads out of the archive"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_loaded_is_refused_in_words_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    content, told = BAD[name]
    store = Store(tmp_path / "store")
    with pytest.raises(BadArchive) as caught:
        load(tmp_path, content)
    assert told in str(caught.value)
    assert everything(store) == []
    assert store.images() == []


def spoiled(content: bytes, what: bytes) -> bytes:
    """An archive with one byte of one of its files changed."""
    place = content.index(what) + len(what) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("part", ["layer", "config", "manifest"])
def test_a_changed_byte_of_an_archive_is_refused(tmp_path: Path, part: str) -> None:
    described = writers.config(BASE)
    manifest = writers.manifest_of(described, [(BASE, "")])
    content = oci(writers.entry(manifest), **writers.blobs(described, manifest, BASE))
    what = {"layer": BASE[512:516], "config": described, "manifest": manifest}[part]
    with pytest.raises(BadArchive, match=r"expected sha256:\w+, got sha256:"):
        load(tmp_path, spoiled(content, what))


def test_images_of_the_same_name_the_last_one_has_it(tmp_path: Path) -> None:
    manifest = [writers.docker_entry("a", ["l"], "app:1"), writers.docker_entry("b", ["l"], "app:1")]
    first, last = writers.config(BASE, Cmd=["first"]), writers.config(BASE, Cmd=["last"])
    store, _ = load(tmp_path, tar({"manifest.json": writers.dump(manifest), "a": first, "b": last, "l": BASE}))
    image = store.find("app:1")
    assert image is not None
    assert image.id == sha(last)


BOUNDS: dict[str, tuple[bytes, Limits, str]] = {
    "bytes": (writers.docker_save("a:1", tar({"f": bytes(20_000)})), Limits(bytes=9_000), "too large"),
    "compressed": (writers.jib("a:1", tar({"f": bytes(200_000)})), Limits(bytes=90_000), "too large"),
    "growth": (writers.jib("a:1", tar({"f": bytes(90_000)})), Limits(ratio=20, ratio_from=9_000), "20 times its size"),
    "files": (writers.docker_save("a:1", tar({f"{n}": b"" for n in range(9)})), Limits(entries=8), "more than 8 files"),
    "members": (tar({f"{n}": b"" for n in range(9)}), Limits(entries=8), "more than 8 files"),
    "images": (tar({"manifest.json": writers.dump([{}] * 9)}), Limits(images=8), "more than 8 images"),
    "over all layers": (
        writers.docker_save("a:1", tar({"f": bytes(6_000)}), tar({"g": bytes(6_000)})),
        Limits(bytes=20_000),
        "too large: more than 19.5312 KiB uncompressed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOUNDS)
def test_an_archive_that_unfolds_beyond_bounds_is_refused(tmp_path: Path, name: str) -> None:
    content, limits, told = BOUNDS[name]
    with pytest.raises(BadArchive, match=told):
        load(tmp_path, content, limits)
    assert everything(Store(tmp_path / "store")) == []


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write to memory at most: a disk that others use takes its time."""

    def nothing(_: object) -> None:
        """Later."""

    monkeypatch.setattr(atomicfile, "flush", nothing)
    monkeypatch.setattr(atomicfile.syscalls, "syncfs", nothing)


# --- nothing half loaded


class PowerCut(BaseException):
    """What ends a process without asking."""


@pytest.mark.parametrize("moment", range(12))
def test_a_load_that_is_killed_shows_nothing_and_the_next_start_clears_it_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    store, _ = load(tmp_path, writers.docker_save("before:1", BASE))
    before = everything(store)
    left, rename = moment, Path.rename

    def step(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise PowerCut

    def renamed(path: Path, target: Path) -> Path:
        step()
        return rename(path, target)

    def nothing(*_: object, **__: object) -> None:
        """A process that is killed cleans nothing up."""

    with monkeypatch.context() as patch:
        patch.setattr(atomicfile, "flush", step)
        patch.setattr(Path, "rename", renamed)
        patch.setattr(Store, "recover", nothing)
        patch.setattr("kubelab.runtime.images.store.remove_tree", nothing)
        try:
            load(tmp_path, writers.docker_save("after:1", BASE, TOP))
        except PowerCut:
            pass
        else:
            pytest.skip("the load has fewer moments")
    again = Store(tmp_path / "store")
    again.recover()
    if (image := again.find("after:1")) is None:
        assert everything(again) == before
    else:  # it was killed when all was done
        assert files_of(again, image) == {"bin/tool": b"base", "etc/conf": b"top"}
        again.remove("after:1")
        assert everything(again) == before
    assert load(tmp_path, writers.docker_save("after:1", BASE, TOP))[1] == ["after:1"]


def test_a_load_whose_names_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full at the last moment, while the archive that was sent lies in a folder of the store."""
    store, _ = load(tmp_path, writers.docker_save("before:1", BASE))
    before = everything(store)

    def full(_part: Path, _path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(atomicfile, "move", full)
        with store.scratch(), pytest.raises(OSError, match="No space left"):
            load(tmp_path, writers.docker_save("after:1", BASE, TOP))
    store.recover()
    assert everything(store) == before
    assert [image.names for image in store.images()] == [("docker.io/library/before:1",)]


def test_what_a_failed_load_shares_with_an_image_stays(tmp_path: Path) -> None:
    store, _ = load(tmp_path, writers.docker_save("app:1", BASE))
    before = everything(store)
    with pytest.raises(BadArchive):
        load(tmp_path, docker(writers.config(BASE, TOP), Layers=["l.tar", "c.json"]))
    assert everything(store) == before


# --- generated: a valid archive with a part of a description changed

VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    "x",
    "a\0b",
    "../x",
    "/etc/passwd",
    [],
    [None],
    [[]],
    {},
    {"a": 1},
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        found += [place for key, below in value.items() for place in places(below, (*path, key))]
    elif isinstance(value, list):
        found += [place for n, below in enumerate(value) for place in places(below, (*path, n))]
    return found


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = copy.copy(value)
    changed[path[0]] = put(value[path[0]], path[1:], new)
    return changed


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_value_in_any_place_loads_or_is_refused_in_words(tmp_path_factory: Any, data: st.DataObject) -> None:
    layers = [(BASE, f"{writers.OCI}.layer.v1.tar")]
    documents: dict[str, Any] = {
        "config": json.loads(writers.config(BASE, Cmd=["a"], Env=["A=b"], Labels={"a": "b"}, User="u")),
        "manifest": json.loads(writers.manifest_of(writers.config(BASE), layers)),
        "index.json": {"manifests": [writers.entry(b"", platform=True, annotations={writers.NAME: "app:1"})]},
        "manifest.json": [writers.docker_entry("c.json", ["l.tar"], "app:1")],
    }
    which = data.draw(st.sampled_from([*documents]))
    if which != "manifest.json":
        del documents["manifest.json"]
    new = data.draw(st.sampled_from(VALUES))
    documents[which] = put(documents[which], data.draw(st.sampled_from(places(documents[which]))), new)
    described = writers.dump(documents["config"])
    if which == "config":
        documents["manifest"] = json.loads(writers.manifest_of(described, layers))
    manifest = writers.dump(documents["manifest"])
    if which != "index.json":
        documents["index.json"]["manifests"][0] |= {"digest": sha(manifest), "size": len(manifest)}
    files = writers.blobs(described, manifest, BASE) | {"c.json": described, "l.tar": BASE}
    files |= {name: writers.dump(documents[name]) for name in ("index.json", "manifest.json") if name in documents}
    folder: Path = tmp_path_factory.mktemp("any")
    try:
        store, names = load(folder, tar(files))
    except BadArchive:
        assert everything(Store(folder / "store")) == []
    else:
        assert names
        assert all(store.find(name) for name in names)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.integers(0, len(WHOLE) - 60), st.booleans())
def test_any_bytes_anywhere_load_or_are_refused_in_words(
    tmp_path_factory: Any, noise: bytes, place: int, cut: bool
) -> None:
    folder: Path = tmp_path_factory.mktemp("noise")
    try:
        load(folder, WHOLE[:place] + noise + (b"" if cut else WHOLE[place + len(noise) :]))
    except BadArchive:
        assert everything(Store(folder / "store")) == []


def test_platforms_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    amd64, arm64 = platforms.Platform("linux", "amd64"), platforms.Platform("linux", "arm64")
    ranks = {
        (amd64, ("linux", "amd64")): 0,
        (amd64, ("linux", "x86_64")): 0,
        (amd64, ("linux", "amd64", "v1")): 0,
        (amd64, ("linux", "amd64", "v3")): None,
        (amd64, ("linux", "386")): 1,
        (amd64, ("linux", "arm64")): None,
        (amd64, ("windows", "amd64")): None,
        (amd64, ()): 0,
        (arm64, ("linux", "arm64", "v8")): 0,
        (arm64, ("linux", "aarch64")): 0,
        (arm64, ("linux", "arm", "v7")): 1,
    }
    assert {key: platforms.rank(platforms.Platform(*key[1]), key[0]) for key in ranks} == ranks
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert platforms.machine() == arm64


def test_members_are_found_under_odd_names(tmp_path: Path) -> None:
    """`tar -C layout -cf x.tar .` writes ./index.json."""
    written, buffer = io.BytesIO(writers.docker_25("app:1", BASE)), io.BytesIO()
    with tarfile.open(fileobj=written) as content, tarfile.open(fileobj=buffer, mode="w") as target:
        for member in content:
            file = content.extractfile(member)
            member.name = f"./{member.name}"
            target.addfile(member, file)
    assert load(tmp_path, buffer.getvalue())[1] == ["app:1"]
    assert os.listdir(tmp_path / "store/tmp") == []  # noqa: PTH208
