"""Command lines that kubectl answers without a server, with its answers: ``tests/unit/kctl/golden/kubectl/*.txt``.

A case is ``$ `` with the words behind ``kubectl``, then standard output, standard error behind ``! ``, and ``= `` with
the exit code where that is not 0. ``python -m tests.support.kubectlcases KUBECTL [FILE …]`` writes the answers anew.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "unit" / "kctl" / "golden" / "kubectl"


@dataclass(frozen=True, slots=True)
class Answer:
    stdout: str
    stderr: str = ""
    code: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """A command line without the program's name. ``file`` is where it stands."""

    file: str
    line: str
    answer: Answer

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line)


def cases(*files: str) -> Iterator[Case]:
    """Read the cases of files, of all without any."""
    for path in sorted(FOLDER.glob("*.txt")):
        if files and path.name not in files:
            continue
        for block in ("\n" + path.read_text()).split("\n$ ")[1:]:
            line, _, answer = block.partition("\n")
            yield Case(path.name, line, _answer(answer))


def _answer(text: str) -> Answer:
    lines = text.splitlines()
    code = 0
    if lines and lines[-1].startswith("= "):
        code = int(lines.pop()[2:])
    stdout = [line for line in lines if not line.startswith("! ")]
    stderr = [line[2:] for line in lines if line.startswith("! ")]
    return Answer("".join(f"{line}\n" for line in stdout), "".join(f"{line}\n" for line in stderr), code)


def ask(kubectl: Path | str, words: list[str]) -> Answer:
    """Run kubectl, which has no cluster to talk to; it calls itself kctl."""
    done = subprocess.run(
        [kubectl, *words],
        cwd=FOLDER,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "KUBECONFIG": "/nonexistent"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    stdout, stderr = (stream.replace("kubectl ", "kctl ") for stream in (done.stdout, done.stderr))
    return Answer(stdout, stderr, done.returncode)


def _write(kubectl: str, files: list[str]) -> None:
    texts: dict[str, str] = {}
    for case in cases(*files):
        answer = ask(kubectl, case.words)
        errors = "".join(f"! {line}\n" for line in answer.stderr.splitlines())
        code = f"= {answer.code}\n" if answer.code else ""
        texts[case.file] = texts.get(case.file, "") + f"$ {case.line}\n{answer.stdout}{errors}{code}"
    for name, text in texts.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    _write(sys.argv[1], sys.argv[2:])
