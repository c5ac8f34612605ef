"""A layer with a shell and the usual small programs, copied from this machine: a base for images that need no host."""

from __future__ import annotations

import functools
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

NAMES = ("sh", "cat", "chmod", "cp", "echo", "grep", "id", "ln", "ls", "mkdir", "mv", "readlink", "rm", "sleep", "stat",
         "touch", "true", "wc")  # fmt: skip
LINKS = ("bin", "sbin", "lib", "lib64")  # into /usr, as most images have them


@functools.cache
def layer() -> bytes:
    """The layer's tar; programs lie in /usr/bin, and what they are linked with where they look for it."""
    files = {f"usr/bin/{name}": Path(shutil.which(name) or name) for name in NAMES}
    for program in list(files.values()):
        for word in subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout.split():
            if word.startswith("/"):
                files[inside(word)] = Path(word)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in LINKS:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tar.addfile(link)
        for name in ("usr", "usr/bin", "usr/lib", "usr/lib64", "tmp"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(folder)
        for name, path in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.mode, info.size = 0o755, path.stat().st_size
            with path.open("rb") as content:
                tar.addfile(info, content)
    return buffer.getvalue()


def inside(path: str) -> str:
    """Where a file lies in the layer: /lib64/x is /usr/lib64/x."""
    name = path.lstrip("/")
    return f"usr/{name}" if name.partition("/")[0] in LINKS else name
