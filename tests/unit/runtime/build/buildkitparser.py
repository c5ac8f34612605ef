"""Compares how kubelab and BuildKit read generated Dockerfiles: ``python buildkitparser.py SEED COUNT``.

BuildKit's parser comes as the package dockerfile (github.com/asottile/dockerfile). What each makes of an instruction's
words is not compared, only where instructions, flags and here-documents begin and end.
"""

from __future__ import annotations

import importlib
import random
import sys
from typing import Any

from kubelab.runtime.build import lines
from kubelab.runtime.build.errors import BuildError

PIECES = [
    *("RUN", "COPY", "ENV", "FROM", "run", " ", "  ", "\t", "\\", "\\\n", "\\ \n", "\n", "\n", "\r\n", "#", "# c\n"),
    *("# escape=`\n", "`", "`\n", "a", "b c", "--x", "--x=1", "--x='a b'", "--", "<<EOF", "<<-E", "<<'E'", "EOF\n"),
    *("\tE\n", "E\n", '"', "'", "$A", "[", "]", "=", "A=1"),
]
ONLY_IN_LINES = ("heredoc", "file with no instructions")  # its other errors are about an instruction's words

buildkit: Any = importlib.import_module("dockerfile")


def theirs(text: str) -> list[Any] | str:
    """An instruction without a name (a lone escape) is left out."""
    try:
        found = buildkit.parse_string(text)
    except buildkit.GoParseError as err:
        return str(err)
    return [
        (one.start_line, one.cmd.upper(), tuple(one.flags), tuple((doc.name, doc.content) for doc in one.heredocs))
        for one in found
        if one.cmd
    ]


def ours(text: str) -> list[Any] | str:
    try:
        found = lines.read(text, "D").lines
    except BuildError as err:
        return str(err)
    return [
        (line.number, line.name, line.flags, tuple((document.name, document.content) for document in line.documents))
        for line in found
    ]


def equal(text: str) -> bool:
    expected, found = theirs(text), ours(text)
    if isinstance(expected, str):
        return isinstance(found, str) or not any(word in expected for word in ONLY_IN_LINES)
    return found == expected or (not expected and isinstance(found, str))


def main(seed: int, count: int) -> int:
    chance = random.Random(seed)
    for _ in range(count):
        text = "".join(chance.choices(PIECES, k=chance.randint(1, 14)))
        if chance.random() < 0.7:
            text = f"RUN {text}"
        if not equal(text):
            print(f"{text!r}\n  BuildKit: {theirs(text)}\n  kubelab:  {ours(text)}")  # noqa: T201
            return 1
    print(f"{count} equal")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
