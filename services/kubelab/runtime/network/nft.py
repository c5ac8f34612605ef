"""Running ``nft`` in the network namespace of the calling thread. It blocks."""

from __future__ import annotations

import shutil
import subprocess

from kubelab.linux.nftables import Fragment, script

SECONDS = 30.0


def apply(transaction: Fragment) -> None:
    """Hand a script to the kernel as one transaction, whole or not at all (nft(8), ``-f``). OSError, in nft's words."""
    program = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin")
    if program is None:
        raise OSError("nft: not found; install the package nftables")
    try:
        done = subprocess.run([program, "-f", "-"], input=script(transaction), capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise OSError(f"nft: no answer within {SECONDS:g} s") from None
    if done.returncode != 0:
        raise OSError(done.stderr.decode(errors="replace").strip() or f"nft: exit code {done.returncode}")
