"""The text of Dockerfiles: directives, continued lines, comments, here-documents, bytes that are none."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubelab.runtime.build import lines, stages
from kubelab.runtime.build.errors import BuildError, DockerfileError
from kubelab.runtime.build.lines import HereDocument


def read(text: str) -> list[tuple[int, str, tuple[str, ...], str]]:
    return [(line.number, line.name, line.flags, line.rest) for line in lines.read(text, "Dockerfile").lines]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a\n# c\n\nRUN b\n", [(1, "FROM", (), "a"), (4, "RUN", (), "b")]),
        ("from\ta\nRUN one \\\n  # between\n  two\n", [(1, "FROM", (), "a"), (2, "RUN", (), "one   two")]),
        ("RUN one \\ \t\n\n  two", [(1, "RUN", (), "one   two")]),
        ("RUN one \\\\\nRUN two", [(1, "RUN", (), "one \\\\"), (2, "RUN", (), "two")]),
        ("\ufeffFROM a\r\nRUN b \\\r\n c\r\n", [(1, "FROM", (), "a"), (2, "RUN", (), "b  c")]),
        ("# escape=`\nRUN a `\n b\\\nRUN c", [(2, "RUN", (), "a  b\\"), (4, "RUN", (), "c")]),
        ("#Escape = ` \nRUN a `\n b", [(2, "RUN", (), "a  b")]),
        ("# a comment\n# escape=`\nRUN a `\nRUN b", [(3, "RUN", (), "a `"), (4, "RUN", (), "b")]),
        ("RUN --a=b --c='d e' -- x", [(1, "RUN", ("--a=b", "--c=d e"), "x")]),
        ("RUN --a=b\\ c --d x --e", [(1, "RUN", ("--a=b c", "--d"), "x --e")]),
        ("RUN echo a \\\n# at the end", [(1, "RUN", (), "echo a")]),
        ("  RUN a\\", [(1, "RUN", (), "a")]),
    ],
)
def test_instructions(text: str, expected: list[tuple[int, str, tuple[str, ...], str]]) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RUN <<EOF\na\n # b\nEOF\nRUN x", [HereDocument("EOF", "a\n # b\n")]),
        ("RUN <<-E\n\ta\n\tE\n", [HereDocument("E", "\ta\n", chomp=True)]),
        ("RUN <<'E'\n$A\nE", [HereDocument("E", "$A\n", expand=False)]),
        ('RUN <<e"o"f\neof', [HereDocument("eof", "", expand=False)]),
        ("RUN <<  E\nE", [HereDocument("E", "")]),
        ("RUN 3<<E x\nE", [HereDocument("E", "")]),
        ("COPY <<a <<b /x\n1\na\n2\nb", [HereDocument("a", "1\n"), HereDocument("b", "2\n")]),
        ("ONBUILD RUN <<E\na\nE", [HereDocument("E", "a\n")]),
        ("RUN <<E\r\na\r\nE\r\n", [HereDocument("E", "a\r\n")]),
        ("RUN [ -f x ] && cat <<E\na\nE", [HereDocument("E", "a\n")]),
        ("RUN \\\n cat <<E\na\\\nE", [HereDocument("E", "a\\\n")]),
        ('RUN ["<<E"]', []),
        ('RUN "<<E"', []),
        ("RUN cat <<<E", []),
        ("RUN $((1<<2)) && let a=1<<B; x\n", []),
        ("USER <<E", []),
    ],
)
def test_here_documents(text: str, expected: list[HereDocument]) -> None:
    assert list(lines.read(text, "Dockerfile").lines[0].documents) == expected


def test_tabs_at_the_beginning_do_not_count_after_a_dash() -> None:
    (line,) = lines.read("RUN <<-E\n\t\ta\n\t b\n\tE\n", "Dockerfile").lines
    assert line.documents[0].text == "a\n b\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Dockerfile: file with no instructions"),
        ("# nothing\n\n", "Dockerfile: file with no instructions"),
        ("\\\n", "Dockerfile: file with no instructions"),
        ("# escape=x\nFROM a", "Dockerfile:1: invalid escape token 'x' does not match ` or \\"),
        ("# escape=`\n# escape=`\nFROM a", "Dockerfile:2: only one escape parser directive can be used"),
        ("FROM a\nRUN <<E\na", "Dockerfile:2: unterminated heredoc: there is no line E"),
        ("FROM a\nRUN " + "x" * 70_000, "Dockerfile:2: dockerfile line greater than max allowed size of 65535"),
        ("FROM a\n\0", "Dockerfile:2: the line has a NUL byte: this is no text"),
        ("FROM a\n" * 200_000, "Dockerfile: the Dockerfile is larger than 1048576 bytes"),
    ],
)
def test_what_is_no_dockerfile(text: str, told: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        lines.read(text, "Dockerfile")
    assert str(caught.value) == told


def test_directives_that_mean_nothing_here_are_noted() -> None:
    found = lines.read(
        "# syntax=docker/dockerfile:1\n# check=skip=all\n# escape=`\nFROM a\nRUN b `\n\n c", "Dockerfile"
    )
    assert found.notes == [
        "Dockerfile:1: # syntax=docker/dockerfile:1 has no effect in `kubelab image build`",
        "Dockerfile:2: # check=skip=all has no effect in `kubelab image build`",
        "Dockerfile:5: Empty continuation line found in: RUN b  c",
    ]


PIECES = [
    *(
        "FROM a\n",
        "RUN ",
        "COPY ",
        "ENV ",
        "ARG ",
        "HEALTHCHECK ",
        "ONBUILD ",
        "SHELL ",
        "EXPOSE ",
        "VOLUME ",
        "LABEL ",
    ),
    *("--mount=", "--from=0", "--link", "<<E", "<<-'E'", "\nE\n", "\\\n", "`", "# escape=`\n", "#", "\n", " ", "\t"),
    *('"', "'", "$", "${A", "}", '["a", "b"]', "[[[", "=", "A=1", "x", "\r\n", "\ufeff", "é", "\ud800", "\x85", "-"),
    "9" * 30,
]


def refusal(text: str) -> str:
    """Why a Dockerfile is refused; "" for one that is read."""
    try:
        stages.read(text, "Dockerfile").resolve({})
    except BuildError as err:
        return str(err)
    return ""


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
@settings(max_examples=500)
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    told = refusal(text)
    assert not told or told.startswith("Dockerfile")
    assert len(told) <= 2000


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_words(content: bytes) -> None:
    told = refusal(content.decode(errors="surrogateescape"))
    assert not told or told.startswith("Dockerfile")


def test_deep_lists_are_no_lists() -> None:
    assert lines.json_list("[" * 60_000) is None


@pytest.mark.skipif(
    importlib.util.find_spec("dockerfile") is None, reason="BuildKit's parser is not made for this machine"
)
def test_generated_files_are_read_as_buildkit_reads_them() -> None:
    """In a process of its own: BuildKit's parser brings the runtime of Go with it, which must not be forked."""
    script = Path(__file__).with_name("buildkitparser.py")
    done = subprocess.run([sys.executable, str(script), "1", "20000"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "20000 equal\n"), done.stdout + done.stderr
