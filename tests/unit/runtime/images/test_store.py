"""The content store, also when several runtimes use it at once."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from kubelab.apimachinery.references import parse
from kubelab.files import atomicfile
from kubelab.runtime.images.store import LAYER_TYPE, BadDigest, Image, Store


def tar_of(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def put_layer(store: Store, text: str) -> dict[str, Any]:
    raw = tar_of(file=text.encode())
    digest = store.add_blob(raw)
    store.add_layer(io.BytesIO(raw), digest)
    return {"mediaType": LAYER_TYPE, "digest": digest, "size": len(raw)}


def name(store: Store, layer: dict[str, Any], *names: str) -> Image:
    config = json.dumps({"rootfs": {"diff_ids": [layer["digest"]]}}).encode()
    return store.add_image(config, [layer], [parse(text) for text in names])


def put(store: Store, *names: str, text: str = "") -> Image:
    return name(store, put_layer(store, text or names[0]), *names)


def whole(store: Store, image: Image) -> bool:
    """Whether every part of an image is here."""
    return all(store.has_layer(d) and store.blob(d).exists() for d in image.diff_ids) and store.blob(image.id).exists()


def test_an_image_is_found_by_all_its_names(tmp_path: Path) -> None:
    store = Store(tmp_path)
    image = put(store, "one:1", "other")
    for text in ("one:1", "docker.io/library/other:latest", image.id, image.digest, f"one@{image.digest}"):
        assert store.find(text) == image, text
    assert store.find("one") is None


def test_an_image_lies_over_the_host_where_the_builder_recorded_it_and_by_no_label(tmp_path: Path) -> None:
    store, layer = Store(tmp_path), put_layer(Store(tmp_path), "same")
    labels = {"io.kubelab.base": "host", "other": "x"}
    config = {"config": {"Labels": {"other": "x"}}, "rootfs": {"diff_ids": [layer["digest"]]}}
    claiming = {**config, "config": {"Labels": labels, "Cmd": ["x"]}}
    plain = store.add_image(json.dumps(config).encode(), [layer], [parse("plain")])
    built = store.add_image(json.dumps(config).encode(), [layer], [parse("built")], on_host=True)
    loaded = store.add_image(json.dumps(claiming).encode(), [layer], [parse("loaded")])
    assert [image.on_host for image in (plain, built, loaded)] == [False, True, False]
    assert [image.of_another_host for image in (plain, built, loaded)] == [False, False, True]
    assert plain.id != built.id  # the same layers over nothing are another image
    assert built.process["Labels"] == labels
    assert [store.find(image.id) for image in (plain, built, loaded)] == [plain, built, loaded]
    store.pin("node", "c", "built")
    store.remove("built")
    assert (again := Store(tmp_path).pinned("node", "c")) is not None
    assert again.on_host
    store.unpin("node", "c")
    store.remove("plain")  # which sweeps
    content = json.dumps({**config, "config": {"Labels": labels}}, sort_keys=True).encode()
    brought_back = store.add_image(content, [put_layer(store, "same")], [parse("built")])
    assert (brought_back.id, brought_back.on_host) == (built.id, False)


def test_removing_a_name_keeps_what_another_needs_and_twice_is_no_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    image = put(store, "one", "two", text="same")
    for _ in range(2):
        store.remove("one")
        assert store.find("one") is None
        assert whole(store, image)
    for _ in range(2):
        store.remove("two")
        assert not whole(store, image)
    assert store.images() == []
    assert store.used_bytes() == 0


def test_an_id_removes_every_name_and_a_digest_those_of_its_repository(tmp_path: Path) -> None:
    store = Store(tmp_path)
    image = put(store, "one:1", "one:2", "two", text="same")
    store.remove(f"one@{image.digest}")
    assert [i.names for i in store.images()] == [("docker.io/library/two:latest",)]
    store.remove(image.id)
    assert store.images() == []


def test_another_runtime_sees_what_this_one_brings_in(tmp_path: Path) -> None:
    here, there = Store(tmp_path), Store(tmp_path)
    assert there.images() == []
    image = put(here, "one")
    assert there.find("one") == image


def test_nothing_is_swept_while_somebody_brings_an_image_in(tmp_path: Path) -> None:
    here, there = Store(tmp_path), Store(tmp_path)
    put(here, "one")
    with here.adding():
        layer = put_layer(here, "two")
        there.remove("one")
        image = name(here, layer, "two")
    assert whole(here, image)
    there.remove("two")
    assert there.used_bytes() == 0, "the next removal takes both away"


def test_a_containers_image_stays_whole_whatever_happens_to_its_name(tmp_path: Path) -> None:
    here, there = Store(tmp_path), Store(tmp_path)
    old = put(here, "app", text="old")
    assert here.pin("node-1", "c1", "app") == old
    put(there, "app", text="new")
    there.remove("app")
    assert whole(here, old)
    assert (pinned := here.pinned("node-1", "c1")) is not None
    assert pinned.id == old.id
    here.keep_pins("node-1", {})
    assert here.pinned("node-1", "c1") is None
    put(there, "last")
    there.remove("last")
    assert not whole(here, old)


def test_what_a_killed_runtime_left_half_done_is_swept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "tmp" / "half").mkdir()
    (tmp_path / "tmp" / "half" / "blob").write_text("x")
    put_layer(store, "never named")
    put(store, "one")
    store.remove("one")
    assert [*(tmp_path / "tmp").iterdir()] == []
    assert [*(tmp_path / "trash").iterdir()] == []
    assert store.used_bytes() == 0


@pytest.mark.parametrize("part", ["manifest", "config", "index"])
def test_an_image_that_a_power_cut_has_emptied_is_not_here_and_can_be_brought_in_again(
    tmp_path: Path, part: str
) -> None:
    before = Store(tmp_path)
    broken, other = put(before, "broken"), put(before, "other")
    before.pin("node-1", "c1", "broken")
    paths = {
        "manifest": before.blob(broken.digest),
        "config": before.blob(broken.id),
        "index": tmp_path / "images.json",
    }
    paths[part].write_bytes(b"")
    store = Store(tmp_path)
    assert store.find("broken") is store.find(broken.id) is None
    assert store.images() == ([] if part == "index" else [other])
    if part != "index":
        assert store.pin("node-1", "c2", "broken") is store.pinned("node-1", "c1") is None
        store.remove("other")
        assert not whole(store, other)
    store.remove("broken")
    assert whole(store, put(store, "broken"))
    assert store.find("broken") == broken


def test_a_pin_that_a_power_cut_has_emptied_keeps_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "one")
    store.pin("node-1", "c1", "one")
    (tmp_path / "pins/node-1/c1").write_bytes(b"")
    assert store.pinned("node-1", "c1") is None
    store.remove("one")
    assert store.used_bytes() == 0


def test_names_come_after_bytes_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rename of what is kept comes after a flush of it, and before one of its folder."""
    told: list[str] = []
    flush, rename = atomicfile.flush, Path.rename

    def name(path: Path) -> str:
        return path.name.removeprefix(".").partition(".")[0] if path.name.startswith(".") else path.name

    def flushed(path: Path) -> None:
        told.append(f"flush {name(path)}")
        flush(path)

    def renamed(path: Path, target: Path) -> Path:
        told.append(f"rename {name(path)}")
        return rename(path, target)

    def flushed_all(_descriptor: int) -> None:
        told.append("flush all")

    monkeypatch.setattr(atomicfile, "flush", flushed)
    monkeypatch.setattr(Path, "rename", renamed)
    monkeypatch.setattr(atomicfile.syscalls, "syncfs", flushed_all)
    put(Store(tmp_path), "one")
    blob = ["flush blob", "rename blob", "flush sha256"]
    layer = ["flush all", "rename layer", "flush layers"]
    assert told == [*blob, *layer, *blob, *blob, "flush images", "rename images", f"flush {tmp_path.name}"]


def test_bytes_that_are_not_what_their_digest_says(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(BadDigest):
        store.add_blob(b"x", expected="sha256:" + "0" * 64)
    assert store.used_bytes() == 0
