"""Command lines that kubectl answers without a server, with its answers: ``tests/unit/kctl/golden/kubectl/*.txt``.

A case is ``$ `` with the words behind ``kubectl``, then standard output, standard error behind ``! ``, and ``= `` with
the exit code where that is not 0. It is the answer of 1.32, which is the version that kctl follows; where a newer
kubectl answers otherwise, its answer follows behind ``@ `` and that version. ``python -m tests.support.kubectlcases
[FILE …]`` asks the programs below ``build/clients`` and writes the answers anew.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.clients.programs import VERSIONS, program

FOLDER = Path(__file__).parents[1] / "unit" / "kctl" / "golden" / "kubectl"
FIRST = VERSIONS[0]


@dataclass(frozen=True, slots=True)
class Answer:
    stdout: str
    stderr: str = ""
    code: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """A command line without the program's name. ``file`` is where it stands; ``changed``: newer answers by version."""

    file: str
    line: str
    answer: Answer
    changed: Mapping[str, Answer]

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line)

    def answer_of(self, version: str) -> Answer:
        """Give what kubectl of a version says: its own answer, or that of the newest version before it."""
        known = [v for v in VERSIONS[: VERSIONS.index(version) + 1] if v in self.changed]
        return self.changed[known[-1]] if known else self.answer


def cases(*files: str) -> Iterator[Case]:
    """Read the cases of files, of all without any."""
    for path in sorted(FOLDER.glob("*.txt")):
        if files and path.name not in files:
            continue
        for block in ("\n" + path.read_text()).split("\n$ ")[1:]:
            line, _, answers = block.partition("\n")
            first, *newer = ("\n" + answers).split("\n@ ")
            versions = (text.partition("\n") for text in newer)
            yield Case(path.name, line, _answer(first[1:]), {version: _answer(text) for version, _, text in versions})


def _answer(text: str) -> Answer:
    lines = text.splitlines()
    code = 0
    if lines and lines[-1].startswith("= "):
        code = int(lines.pop()[2:])
    stdout = [line for line in lines if not line.startswith("! ")]
    stderr = [line[2:] for line in lines if line.startswith("! ")]
    return Answer("".join(f"{line}\n" for line in stdout), "".join(f"{line}\n" for line in stderr), code)


def _text(answer: Answer) -> str:
    errors = "".join(f"! {line}\n" for line in answer.stderr.splitlines())
    return answer.stdout + errors + (f"= {answer.code}\n" if answer.code else "")


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


def _write(files: list[str]) -> None:
    texts: dict[str, str] = {}
    for case in cases(*files):
        said: Answer | None = None
        text = f"$ {case.line}\n"
        for version in VERSIONS:
            kubectl = program("kubectl", version)
            if kubectl is None:
                raise SystemExit(f"error: no kubectl of {version}: make build/clients/{version}/kubectl")
            answer = ask(kubectl, case.words)
            if answer != said:
                text += ("" if version == FIRST else f"@ {version}\n") + _text(answer)
            said = answer
        texts[case.file] = texts.get(case.file, "") + text
    for name, text in texts.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    _write(sys.argv[1:])
