"""Images that others made, loaded into a runtime and run; what is no image is refused, and nothing stays of it."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import AsyncIterator, Callable

import grpc
import pytest

from kubelab.rpc.runtime.v1 import images_pb2 as pb
from tests.integration.runtime import programs
from tests.integration.runtime.lab import SECONDS, Lab, until
from tests.support import archives as writers
from tests.support.archives import HERE, OTHER, tar
from tests.unit.runtime.images import layermodel
from tests.unit.runtime.images.layermodel import Entry

pytestmark = pytest.mark.root

BIND = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service+ep, of version 2
WRITERS: dict[str, Callable[..., bytes]] = {
    "docker-24": writers.docker_save,
    "docker-25": writers.docker_25,
    "jib": writers.jib,
    "crane": writers.crane,
    "podman": writers.podman,
    "buildkit-docker": writers.buildkit_docker,
    "buildkit-oci": writers.buildkit_oci,
    "skopeo-oci": writers.skopeo_oci,
    "zstd": writers.zstd_oci,
    "attested": writers.attested,
}


async def refused(lab: Lab, archive: bytes) -> str:
    """The reason for which an archive is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await lab.load(archive)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, caught.value.details()
    return caught.value.details() or ""


def in_store(lab: Lab) -> list[str]:
    return sorted(str(path) for folder in ("blobs", "layers", "tmp") for path in (lab.store / folder).glob("*/*"))


async def test_what_any_tool_writes_loads_and_runs(lab: Lab) -> None:
    """Also with a layer that is there twice (moby#46498)."""
    sandbox = await lab.sandbox("web")
    for name, writer in WRITERS.items():
        greeting = tar({"greeting": f"I am {name}\n".encode()})
        assert await lab.load(writer(f"{name}:1", programs.layer(), greeting, greeting)) == [f"{name}:1"]
        assert await lab.output(sandbox, name, "cat /greeting", f"{name}:1") == f"I am {name}\n"


async def test_the_same_copy_twice_over_the_host(lab: Lab) -> None:
    """moby#46498: both steps make the same layer."""
    await lab.build("FROM host\nCOPY f /f\nCOPY f /f\n", "twice:1", files={"f": b"x\n"})
    assert await lab.output(await lab.sandbox("web"), "app", "cat /f", "twice:1") == "x\n"


async def test_of_a_flat_index_in_any_order_the_image_for_this_machine_runs(lab: Lab) -> None:
    """image-spec#581, image-spec#718, kind#3795, kind#4224."""
    sandbox = await lab.sandbox("web")
    for number, order in enumerate([(HERE, OTHER), (OTHER, HERE)]):
        for absent in ([], [OTHER]):
            archive = writers.flat(f"x/flat:{number}", order, programs.layer(), absent=absent)
            assert await lab.load(archive) == [f"x/flat:{number}"]
        ended = await lab.ended(await lab.run(sandbox, f"flat-{number}", [], f"x/flat:{number}"))
        assert [line.split(" ", 3)[3] for line in lab.lines(ended.log_path)] == [HERE]


async def test_a_files_capabilities_are_there_in_the_container(lab: Lab) -> None:
    """kaniko#1837, charliecloud#1179, moby#3845."""
    capped = layermodel.archive([Entry("usr/bin/capped", mode=0o755, xattrs=(("security.capability", BIND),))])
    await lab.load(writers.docker_save("capped:1", programs.layer(), capped))
    container = await lab.run(await lab.sandbox("web"), "app", ["sleep", "1000"], "capped:1")
    inside = f"/proc/{lab.started(container)['pid']}/root/usr/bin/capped"
    assert os.getxattr(inside, "security.capability") == BIND


@pytest.mark.parametrize(
    "above",
    [
        [Entry(".wh.d"), Entry("d", "folder", mode=0o755), Entry("d/y")],
        [Entry("d", "folder", mode=0o755), Entry("d/y"), Entry(".wh.d")],
        [Entry("d/y"), Entry("d/.wh..wh..opq")],
    ],
    ids=["before", "after", "opaque"],
)
async def test_a_folder_that_is_made_anew(lab: Lab, above: list[Entry]) -> None:
    """image-spec, layer.md: a whiteout applies to lower layers alone, wherever it stands."""
    below = tar({"d/x": b""})
    await lab.load(writers.docker_save("anew:1", programs.layer(), below, layermodel.archive(above)))
    assert await lab.output(await lab.sandbox("web"), "app", "ls /d", "anew:1") == "y\n"


async def test_what_is_no_image_is_refused_with_a_reason_and_leaves_nothing(lab: Lab) -> None:
    before, whole = in_store(lab), writers.docker_save("app:9", programs.layer())
    outside = writers.dump([writers.docker_entry("../../../etc/passwd", [], "app:9")])
    foreign = writers.docker_save("app:9", programs.layer(), architecture=OTHER)
    bad = {
        "no image": (tar({"manifest.json": b"[]"}), "manifest.json names no image"),
        "nothing": (b"", "the archive is empty"),
        "cut off": (gzip.compress(whole, 1)[:100_000], "the archive is cut off"),
        "outside": (tar({"manifest.json": outside}), "leads out of the archive"),
        "foreign": (foreign, f"this machine is linux/{HERE}, the image is for linux/{OTHER}"),
        "link": (tar({}, {"manifest.json": "/etc/hostname"}), "neither manifest.json"),
        "second layer": (writers.docker_save("app:9", programs.layer(), b"no tar" * 300), "not a tar archive"),
    }
    for name, (archive, told) in bad.items():
        assert told in await refused(lab, archive), name
        assert in_store(lab) == before, name
    assert "Traceback" not in lab.log


async def test_a_runtime_that_is_killed_while_it_loads_clears_up_when_it_starts_again(lab: Lab) -> None:
    before = in_store(lab)
    archive, sent = writers.docker_save("app:9", programs.layer()), asyncio.Event()

    async def requests() -> AsyncIterator[pb.LoadRequest]:
        yield pb.LoadRequest(chunk=archive[:500_000])
        sent.set()
        await asyncio.Event().wait()

    loading = asyncio.ensure_future(lab.image_store.Load(requests(), timeout=SECONDS))
    await sent.wait()
    await until(lambda: any(path.stat().st_size == 500_000 for path in lab.store.glob("tmp/*/archive.tar")))
    await lab.kill()
    await asyncio.wait([loading])
    assert in_store(lab) != before
    await lab.start()
    assert in_store(lab) == before
    assert await lab.load(archive) == ["app:9"]
