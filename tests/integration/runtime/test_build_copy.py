"""COPY and ADD: what is copied, under which name, with which owner and mode, and what is refused."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping

import grpc
import pytest

from tests.integration.runtime.lab import Lab, tar_of

pytestmark = pytest.mark.root
SHOW = "find . -printf '%P %y %U:%G %m %l\\n' | sort"


def context(files: Mapping[str, bytes], links: Mapping[str, str], modes: Mapping[str, int] | None = None) -> bytes:
    """A build context with links."""
    buffer = io.BytesIO(tar_of(files))
    made = io.BytesIO()
    with tarfile.open(fileobj=buffer) as tar, tarfile.open(fileobj=made, mode="w") as to:
        for member in tar:
            member.mode = (modes or {}).get(member.name, 0o644)
            to.addfile(member, tar.extractfile(member))
        for name, target in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            to.addfile(info)
    return made.getvalue()


def printed(lines: list[str]) -> list[str]:
    return [line.rstrip() for line in lines if not line.startswith((" ---> ", "Step "))]


async def test_what_is_copied_where_by_whom_and_how(lab: Lab) -> None:
    """Links that are named are followed and keep their name (moby/buildkit#1260); those in folders stay links."""
    tar = context(
        {"real.txt": b"hi", "d/a": b"a", "d/run": b"#!", "e f.txt": b"e", "x1.c": b"1", "x2.c": b"2", "x[.c": b"3"},
        {"alias.txt": "real.txt", "d/l": "a", "dl": "d", "up": "../../../../real.txt", "abs": "/d"},
        {"d/run": 0o4755},
    )
    lines = await lab.build(
        f"""\
FROM host
RUN echo 'app:x:12:34::/:/bin/sh' >> /etc/passwd; echo 'staff:x:50:' >> /etc/group
COPY alias.txt /links/
COPY real.txt alias.txt up /both/
COPY dl /folder
COPY ["e f.txt", "/json/"]
COPY x?.c /glob/
COPY [ "x[[].c", "/glob/" ]
COPY nothing* /links/
COPY abs/l d/./../real.txt /abs/
RUN cd /links && {SHOW}; cd /both && {SHOW} && cat *
RUN cd /folder && {SHOW}; cd /json && {SHOW}; cd /glob && {SHOW}; cd /abs && {SHOW}
COPY --chown=app --chmod=0710 d /own/deep/er
COPY --chown=7 real.txt /ids/a
COPY --chown=app:staff real.txt /ids/b
COPY --chown=7:8 real.txt /ids/
RUN cd /own && {SHOW}; cd /ids && {SHOW}
WORKDIR /w
COPY real.txt .
COPY real.txt sub/
COPY real.txt new
COPY --link real.txt /linked/
RUN {SHOW}; ls /linked
""",
        "v",
        context=tar,
    )
    assert printed(lines) == [
        *(" d 0:0 755", "alias.txt f 0:0 644"),
        *(" d 0:0 755", "alias.txt f 0:0 644", "real.txt f 0:0 644", "up f 0:0 644", "hihihi"),
        *(" d 0:0 755", "a f 0:0 644", "l l 0:0 777 a", "run f 0:0 4755"),
        *(" d 0:0 755", "e f.txt f 0:0 644"),
        *(" d 0:0 755", "x1.c f 0:0 644", "x2.c f 0:0 644", "x[.c f 0:0 644"),
        *(" d 0:0 755", "l f 0:0 644", "real.txt f 0:0 644"),
        *(" d 12:34 755", "deep d 12:34 755", "deep/er d 12:34 755", "deep/er/a f 12:34 710"),
        *("deep/er/l l 12:34 777 a", "deep/er/run f 12:34 710"),
        *(" d 7:7 755", "a f 7:7 644", "b f 12:50 644", "real.txt f 7:8 644"),
        *(" d 0:0 755", "new f 0:0 644", "real.txt f 0:0 644", "sub d 0:0 755", "sub/real.txt f 0:0 644", "real.txt"),
    ]


async def test_links_of_the_image_lead_nowhere_else(lab: Lab) -> None:
    lines = await lab.build(
        f"""\
FROM host
RUN mkdir -p /real && ln -s /real /a && ln -s ../../../../real/file /b && ln -s /nowhere/deep /c && ln -s loop /loop
COPY f /a/
COPY f /b
COPY f /c/
COPY f /real/dir/
RUN cd /real && {SHOW}; cd /nowhere && {SHOW}
""",
        "v",
        files={"f": b"x"},
    )
    assert printed(lines) == [
        *(" d 0:0 755", "dir d 0:0 755", "dir/f f 0:0 644", "f f 0:0 644", "file f 0:0 644"),
        *(" d 0:0 755", "deep d 0:0 755", "deep/f f 0:0 644"),
    ]


async def test_stages_images_and_numbers_as_sources(lab: Lab) -> None:
    await lab.build("FROM host\nRUN echo of-image > /file\n", "other:1")
    lines = await lab.build(
        f"""\
FROM host AS Build
RUN mkdir -p /out/sub && cd /out && echo made > sub/it && chown -R 5:6 . && python3 -c "import os; \\
    os.setxattr('sub/it', 'security.capability', bytes.fromhex('01000002002' + 29 * '0'))" && \\
    ln sub/it h && ln -s h l && mkfifo fifo && chmod 604 fifo
FROM scratch AS unused
RUN false
FROM build AS more
RUN echo more > /out/more
FROM host
COPY --from=build /out /copied
COPY --from=0 /out/s*/it /zero
COPY --from=more /out/l /linked
COPY --from=other:1 /file /from-image
COPY --from=stand-in /usr/bin/env /env
RUN cd /copied && {SHOW}; test /copied/h -ef /copied/sub/it && cat /zero /linked /from-image && test -x /env && echo env
RUN python3 -c "import os; print(os.listxattr('/copied/h'))"
""",
        "v",
        bases={"stand-in": "host"},
    )
    assert printed(lines) == [
        *(" d 0:0 755", "fifo p 0:0 604", "h f 5:6 644", "l l 0:0 777 h", "sub d 5:6 755", "sub/it f 5:6 644"),
        *("made", "made", "of-image", "env", "['security.capability']"),
    ]


async def test_files_from_here_documents(lab: Lab) -> None:
    lines = await lab.build(
        """\
FROM host
ENV NAME=me
COPY <<one.txt <<"two.txt" /docs/
hello $NAME \\$NAME "quoted"
one.txt
hello $NAME
two.txt
COPY --chmod=755 <<-EOF /script
	#!/bin/sh
	echo ran
	EOF
ADD <<EOF /added
x
EOF
RUN cat /docs/one.txt /docs/two.txt && /script && cat /added && stat -c %a /docs/one.txt
""",
        "v",
    )
    assert printed(lines) == ['hello me $NAME "quoted"', "hello $NAME", "ran", "x", "644"]


async def test_add_unpacks_archives_and_copy_does_not(lab: Lab) -> None:
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:xz") as tar:
        for name, kind, link in (
            ("bin", tarfile.DIRTYPE, ""),
            ("bin/kubelab-tool", tarfile.REGTYPE, ""),
            ("bin/same", tarfile.LNKTYPE, "bin/kubelab-tool"),
            ("dev", tarfile.CHRTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.uid, info.mode = kind, link, 5, 0o751
            tar.addfile(info)
    files = {"a.tar.xz": inner.getvalue(), "b.tgz": gzip.compress(tar_of({"b": b"b"})), "c.gz": gzip.compress(b"c")}
    lines = await lab.build(
        f"""\
FROM host
RUN mkdir /r /r/real && ln -s real /r/bin
ADD a.tar.xz /r/
ADD *.tgz c.gz /x/
COPY b.tgz /x/
ADD --chown=1:2 b.tgz /y
RUN cd /r && {SHOW}; cd /x && {SHOW}; cd /y && {SHOW}
""",
        "v",
        files=files,
    )
    assert printed(lines) == [
        *(" d 0:0 755", "bin l 0:0 777 real", "real d 0:0 755", "real/kubelab-tool f 5:0 751", "real/same f 5:0 751"),
        *(" d 0:0 755", "b f 0:0 644", "b.tgz f 0:0 644", "c.gz f 0:0 644"),
        *(" d 1:2 755", "b f 1:2 644"),
    ]


REFUSED = [
    ("COPY no /", '"/no": not found'),
    ("COPY ../../no /", '"/no": not found'),
    ("COPY f[ /", "f[: syntax error in pattern"),
    ("COPY f d /file", "the destination must be a directory and end with a /"),
    ("COPY f /file/x", "file/x: not a directory"),
    ("COPY d /file", "/file: not a directory"),
    ("COPY over /exists", "cannot replace to directory /exists/dir with file"),
    ("COPY under /exists", "cannot copy to non-directory: /exists/file"),
    ("COPY loop /", "too many levels of symbolic links"),
    ("COPY f /loop/x", "too many levels of symbolic links"),
    (f"COPY f /{'n' * 300}", "file name too long"),
    (f"COPY f {'/nnnnn' * 800}", "file name too long"),
    (f"COPY {'n' * 300} /", "file name too long"),
    (f"WORKDIR /{'n' * 300}", "file name too long"),
    ("WORKDIR /file/x", "file/x: not a directory"),
    ("COPY --chown=nobody-here f /", "unable to find user nobody-here"),
    ("COPY --chown=0:nobody-here f /", "unable to find group nobody-here"),
    ("COPY --chown=99999999999 f /", "must be in range"),
    ("COPY --chmod=8 f /", "invalid chmod parameter: '8'"),
    ("COPY --chmod=u+x f /", "invalid chmod parameter: 'u+x'"),
    ("COPY --from=BAD f /", "must be lowercase"),
    ("COPY --from=7 f /", "invalid stage index 7"),
    ("COPY --from=$X f /", "doesn't support variable expansion"),
    ("COPY --parents f /", "COPY --parents is not supported"),
    ("COPY --exclude=x f /", "COPY --exclude is not supported"),
    ("COPY http://localhost/x /", "source can't be a URL for COPY"),
    ("ADD https://localhost/x /", "ADD of a URL is not supported by `kubelab image build`: download it first"),
    ("ADD git@github.com:a/b.git /", "ADD of a git ref is not supported"),
    ("ADD https://github.com/a/b.git#main /", "ADD of a git ref is not supported"),
    ("ADD broken.tar /", "broken.tar: "),
    ("COPY wh /", "a name that begins with .wh."),
    ("RUN --mount=type=ssh true", "RUN --mount=type=ssh is not supported"),
    ("RUN --mount=type=bind,source=no,target=/x true", '"no": not found'),
    ("RUN --mount=type=cache true", "target is required"),
    ("RUN --mount=type=secret,id=x,required true", "secret x: not found"),
    ("RUN --mount=target=/ true", 'invalid mount target "/"'),
    ("RUN --security=insecure true", "RUN --security=insecure is not supported"),
    ("RUN --device=x true", "RUN --device is not supported"),
    ("USER nobody-here\nRUN true", "unable to find user nobody-here"),
    ("USER nobody-here\nWORKDIR /new", "unable to find user nobody-here"),
    ('RUN ["no-such-program"]', 'exec: "no-such-program": executable file not found in $PATH'),
    ("EXPOSE 99999", "invalid containerPort: 99999"),
    ("EXPOSE 1-x", "invalid containerPort: 1-x"),
    ("STOPSIGNAL SIGNONSENSE", "Invalid signal: SIGNONSENSE"),
    ('ENV A="${B:?must be set}"', "B: must be set"),
]


async def test_what_cannot_be_done_is_told_with_file_and_line(lab: Lab) -> None:
    """One lab for all: each case is an instruction and what is said about it."""
    archive = tar_of({"x": b""})[:600]
    files = {"f": b"", "d/f": b"", "over/dir": b"", "under/file/x": b"", "wh/.wh.f": b"", "broken.tar": archive}
    tar = context(files, {"loop": "loop"})
    start = "FROM host\nRUN echo > /file; mkdir -p /exists/dir; echo > /exists/file; ln -s loop /loop\n"
    wrong: list[str] = []
    for instruction, told in REFUSED:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await lab.build(f"{start}{instruction}\n", "v", context=tar)
        details, line = caught.value.details() or "", 3 + instruction.count("\n")
        right = details.startswith(f"Dockerfile:{line}: ") and told in details
        right &= caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        if not right or any(word in details for word in ("Errno", "/tmp/", "Traceback")):
            wrong.append(f"{instruction[:80]!r}: expected {told!r}, got {caught.value.code()} {details!r}")
    assert not wrong, "\n".join(wrong)
    assert "kl-monitor" not in lab.processes().values()
