"""Run ``nft`` in the network namespace of the calling thread. It blocks."""

from __future__ import annotations

import shutil
import subprocess

from kubelab.apimachinery.errors import InternalError, Timeout
from kubelab.linux.nftables import Fragment, script

SECONDS = 5.0
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def apply(rules: Fragment) -> None:
    """Hand a script to the kernel as one transaction. Raises InternalError with nft's own words, Timeout."""
    program = shutil.which("nft", path=SYSTEM_PATH)
    if program is None:
        raise InternalError("nft: not found; install the package nftables")
    try:
        done = subprocess.run([program, "-f", "-"], input=script(rules), capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as err:
        raise Timeout(f"nft: {err}") from err
    except OSError as err:
        raise InternalError(f"nft: {err}") from err
    # The supervisor collects every child, so the exit code may be lost; nft prints nothing on success.
    message = done.stderr.decode(errors="replace").strip()
    if done.returncode or message:
        raise InternalError(f"nft: {message or f'exit code {done.returncode}'}")
