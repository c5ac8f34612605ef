"""ADD of an archive: what counts as one, and unpacking it."""

from __future__ import annotations

import stat
from pathlib import Path

from kubelab.runtime.images import layers
from kubelab.runtime.build.errors import SyntaxFault
from kubelab.runtime.rootfs.inroot import Root
from kubelab.runtime.oci.compression import opened
from kubelab.runtime.oci.limits import BadImage, Budget, Limits

_BLOCK = 512
_MAGIC = slice(257, 262)
_CHECKSUM = slice(148, 156)


def is_archive(root: Root, path: str) -> bool:
    """Whether a file is a tar archive, compressed or not, by what is in it (moby's IsArchivePath)."""
    if not stat.S_ISREG(root.lstat(path).st_mode):
        return False
    with root.open_file(path, follow=False) as file:
        try:
            with opened(file, Budget(Limits()), path) as plain:
                head = b""
                while len(head) < _BLOCK and (more := plain.read(_BLOCK - len(head))):
                    head += more
        except BadImage:
            return False
    return len(head) == _BLOCK and (head[_MAGIC] == b"ustar" or _has_checksum(head))


def _has_checksum(head: bytes) -> bool:
    """Archives older than POSIX have no magic, but a sum over their first block (with spaces in its own place)."""
    try:
        checksum = int(head[_CHECKSUM].strip(b"\0 ") or b"-1", 8)
    except ValueError:
        return False
    return checksum == sum(head) - sum(head[_CHECKSUM]) + 8 * ord(" ") and any(head)


def unpack(root: Root, path: str, folder: Path) -> None:
    """Unpack an archive into a new folder; SyntaxFault."""
    folder.mkdir()
    with root.open_file(path, follow=False) as file:
        try:
            layers.unpack(file, folder, whiteouts=False)
        except layers.BadLayer as err:
            raise SyntaxFault(f"{path.lstrip('/')[:200]}: {err}") from err
