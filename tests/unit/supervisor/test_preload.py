"""What a local cluster's processes share stays shared when they make objects of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Three hundred pages with one free place each; then a fork makes as many objects, and tells how much of its memory is
# its own (kB).
_PROGRAM = """
import os, sys
from pathlib import Path
from kubelab.supervisor.preload import share

size, objects = int(sys.argv[1]) - 33, 4096 // int(sys.argv[1]) * 300
pages = [bytes(size) for _ in range(objects)]
del pages[:: 4096 // int(sys.argv[1])]
if sys.argv[2] == "shared":
    share()
sys.stdout.flush()
if os.fork():
    os.wait()
    sys.exit()

def own():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))

before = own()
mine = [bytes(size) for _ in range(300)]
print(own() - before)
"""


@pytest.mark.parametrize("size", [64, 128, 256])
def test_a_forks_objects_do_not_lie_among_those_that_are_shared(size: int) -> None:
    def own(how: str) -> int:
        command = [sys.executable, "-c", _PROGRAM, str(size), how]
        return int(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)

    alone, shared = own("as they are"), own("shared")
    assert alone > 800, "the pages have no free places"
    assert shared < alone / 2
