"""Hostile contexts, archives and images: real builds beside a tree that they may neither read nor change."""

from __future__ import annotations

import io
import os
import random
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.integration.runtime.lab import Lab

pytestmark = pytest.mark.root
SECRET = "only the machine knows this"


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A folder of the machine that must stay as it is."""
    folder = tmp_path / "canary"
    (folder / "dir").mkdir(parents=True)
    (folder / "secret").write_text(SECRET)
    before = state(tmp_path)
    yield folder
    assert state(tmp_path) == before


def state(folder: Path) -> list[tuple[str, int, int, int, int]]:
    found = [(path, path.lstat()) for path in sorted(folder.rglob("*"))]
    return [(str(path), one.st_mode, one.st_uid, one.st_size, one.st_mtime_ns) for path, one in found]


def hostile(canary: Path, *, device: bool = True) -> bytes:
    """A tar of everything that could lead somewhere else."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:

        def add(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b"of the archive") -> None:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(content))

        add("file")
        add("dir/file")
        add("abs", tarfile.SYMTYPE, str(canary))
        add("abs-file", tarfile.SYMTYPE, str(canary / "secret"))
        add("up", tarfile.SYMTYPE, "../" * 20 + str(canary).lstrip("/"))
        add("root", tarfile.SYMTYPE, "/")
        add("dir/up", tarfile.SYMTYPE, "../../../../../../../../etc/passwd")
        add("loop", tarfile.SYMTYPE, "loop")
        add("through", tarfile.SYMTYPE, str(canary / "dir"))
        add("fifo", tarfile.FIFOTYPE)
        add("wh/.wh.file")
        add("wh/.wh..wh..opq")
        if device:
            add("device", tarfile.CHRTYPE)
        add("hard", tarfile.LNKTYPE, "file")
        add(f"{'x' * 50}/{'y' * 200}")
    return made.getvalue()


async def built(lab: Lab, dockerfile: str, context: bytes) -> tuple[bool, str]:
    """Whether a build was done, and all that it printed; it may be refused for its own fault alone."""
    lines: list[str] = []
    code, details = grpc.StatusCode.OK, ""
    try:
        async for line in lab.building(dockerfile, "hostile:1", context=context):
            lines.append(line)  # noqa: PERF401 — those before an error count
    except grpc.aio.AioRpcError as err:
        code, details = err.code(), err.details() or ""
    assert code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT), details
    assert SECRET not in "\n".join([*lines, details]), dockerfile
    return code is grpc.StatusCode.OK, details


def assert_kept(lab: Lab) -> None:
    """Nothing of the machine's secret is in any layer."""
    for folder, _, names in os.walk(lab.store):
        for path in (Path(folder, name) for name in names):
            if stat.S_ISREG(path.lstat().st_mode):
                assert SECRET.encode() not in path.read_bytes(), path


async def test_links_of_the_image_and_of_the_context_lead_nowhere_else(lab: Lab, canary: Path) -> None:
    links = f"ln -s {canary} /abs; ln -s ../../../../..{canary} /up; ln -s {canary}/secret /file"
    links += f"; mkdir /d; ln -s {canary}/dir /d/sub"
    context = hostile(canary)
    done = [
        *("COPY file /abs/new", "COPY file /abs/secret", "COPY file /up/secret", "COPY file /file", "COPY dir /abs/"),
        *("COPY dir /d/sub", "WORKDIR /abs/made", "WORKDIR /d/sub/made\nRUN touch here", "ADD file /abs/x/"),
        *("COPY <<EOF /abs/secret\nchanged\nEOF", "COPY --chown=7 --chmod=777 dir /abs/dir"),
        *("COPY --link file /abs/secret", "COPY */secret /stolen/", "COPY abs/* /stolen/", "COPY fifo /x/"),
        "RUN --mount=from=0,source=/,target=/x,rw ls /x/abs/ /x/d/sub/; touch /x/new",
        f"RUN --mount=source=dir,target={canary} touch {canary}/new 2>&1; true",
    ]
    refused = [
        *("COPY abs-file /stolen\nRUN cat /stolen", "COPY abs* /stolen/", "COPY up/secret /stolen\nRUN cat /stolen"),
        *(
            "COPY root/etc/passwd /stolen",
            "COPY device /x/",
            "COPY --from=0 /file /stolen",
            "COPY --from=0 /up /stolen",
        ),
        *("COPY wh /wh", "COPY . /everything", "COPY loop /", "RUN --mount=source=abs,target=/x cat /x/secret"),
        *("COPY * /stolen/", "RUN --mount=source=up,target=/x,rw touch /x/new"),
        f"RUN --mount=source=root,target=/x cat /x{canary}/secret",
        "RUN --mount=from=0,source=/abs,target=/x cat /x/secret",
    ]
    for case in [*done, *refused]:
        ok, details = await built(lab, f"FROM host AS first\nRUN {links}\nFROM first\n{case}\n", context)
        assert ok == (case in done), f"{case}: {details}"
    for case in (  # a place behind a link may be made inside the image, or be refused
        "RUN --mount=type=cache,target=/abs/c touch /abs/c/x",
        "RUN --mount=type=tmpfs,target=/d/sub/t touch /d/sub/t/x",
    ):
        await built(lab, f"FROM host AS first\nRUN {links}\nFROM first\n{case}\n", context)
    assert_kept(lab)


async def test_archives_lead_nowhere_else(lab: Lab, canary: Path) -> None:
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as tar:
        for name, kind, link in (
            ("l", tarfile.SYMTYPE, str(canary)),
            ("l/new", tarfile.REGTYPE, ""),
            ("../../../.." + str(canary) + "/new", tarfile.REGTYPE, ""),
            ("h", tarfile.LNKTYPE, str(canary / "secret")),
            ("dev", tarfile.BLKTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            tar.addfile(info)
    outer = io.BytesIO()
    with tarfile.open(fileobj=outer, mode="w") as tar:
        for name, content in (("a.tgz", inner.getvalue()), ("b.tar", hostile(canary))):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    for case in ("ADD a.tgz /", "ADD b.tar /x/\nRUN cat /x/abs-file /x/up/secret", "ADD *.t* /x/", "ADD a.tgz /abs"):
        links = f"ln -s {canary} /abs; mkdir /x; ln -s {canary} /x/dir"
        await built(lab, f"FROM host\nRUN {links}\n{case}\n", outer.getvalue())
    assert_kept(lab)


async def test_generated_builds_lead_nowhere_else(lab: Lab, canary: Path) -> None:
    """Instructions by chance over links by chance; each of them may be refused, none may leave its place."""
    chance = random.Random(7)
    names = ["/a", "/b", "/d/a", "/d/b", "/etc/hosts", "/usr/x", "/opt"]
    ends = [str(canary), f"{canary}/secret", f"{canary}/dir", "/", "..", "/a", "../../b", "/etc", "/dev/null"]
    sources = ["file", "dir", "abs", "up/secret", "dir/*", "*", "through", "root", "fifo", "hard"]
    forms = [
        *("COPY {s} {t}", "COPY {s} {t}/", "ADD {s} {t}", "COPY --from=0 {t} {u}", "COPY --from=0 {t}/* {u}/"),
        *("WORKDIR {t}/w", "COPY --link {s} {t}", "COPY --chown=3:4 {s} {t}/x/y"),
        "RUN rm -rf {t} 2>&1; ln -s {e} {t} 2>&1; true",
        "RUN --mount=source={s},target={t},rw touch {t}/n 2>&1; true",
        "RUN --mount=from=0,source={t},target=/m cat /m/* 2>&1; true",
    ]
    context = hostile(canary)
    for _ in range(25):
        links = "; ".join(f"ln -sfn {chance.choice(ends)} {name}" for name in chance.sample(names, 4))
        lines = [f"FROM host AS first\nRUN mkdir -p /d; ({links}) 2>&1; true\nFROM first"]
        for _ in range(3):
            words = {"s": sources, "t": names, "u": names, "e": ends}
            lines.append(chance.choice(forms).format(**{key: chance.choice(value) for key, value in words.items()}))
        await built(lab, "\n".join(lines), context)
    assert_kept(lab)
    assert Path("/dev/null").is_char_device()
