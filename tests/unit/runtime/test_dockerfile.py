"""Dockerfiles as people write them, and what is said about those that cannot be built."""

from __future__ import annotations

import pytest

from kubelab.runtime import dockerfile
from kubelab.runtime.dockerfile import DockerfileError, Instruction

WAY_ROUND = "docker save NAME | kubelab image load -"


def test_comments_continued_lines_and_tabs() -> None:
    text = '# a comment\nARG VERSION=18\nfrom\tnode:$VERSION\n\nRUN echo one \\\n  # in between\n  two\nCMD ["node"]\n'
    found = [(i.line, i.name, i.text) for i in dockerfile.parse(text, "Dockerfile")]
    assert found == [
        (2, "ARG", "VERSION=18"),
        (3, "FROM", "node:$VERSION"),
        (5, "RUN", "echo one two"),
        (8, "CMD", '["node"]'),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("FROM a\nHEALTHCHECK CMD true", "Dockerfile:2: HEALTHCHECK is not supported"),
        ("FROM a\n\nVOLUME /data", "Dockerfile:3: VOLUME is not supported"),
        ("FROM a\nCOPY --from=b /x /y", "Dockerfile:2: COPY --from is not supported"),
        ("FROM a\nRUN true\nFROM b", "Dockerfile:3: a second FROM (multi-stage) is not supported"),
    ],
)
def test_what_is_not_supported_is_named_with_its_line_and_a_way_round(text: str, told: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        dockerfile.parse(text, "Dockerfile")
    assert str(caught.value).startswith(told)
    assert WAY_ROUND in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Dockerfile: the Dockerfile is empty"),
        ("# nothing\n", "Dockerfile: the Dockerfile is empty"),
        ("RUN true", "Dockerfile:1: expected FROM, got RUN: no build stage in current context"),
        ("FROM", "Dockerfile:1: FROM requires at least one argument"),
        ("FROM a\nRUN <<EOF", "Dockerfile:2: RUN with a here-document is not supported by `kubelab image build`"),
    ],
)
def test_what_is_no_dockerfile(text: str, told: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        dockerfile.parse(text, "Dockerfile")
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A/${A}", "one/one"),
        ("${B:-two} ${A:-two}", "two one"),
        ("${A:+set}${B:+set}", "set"),
        ("${EMPTY:-two} ${EMPTY-two} ${B-two} ${EMPTY+set}", "two  two set"),
        ("${B:-${A}s}", "ones"),
        (r"\$A $C.", "$A ."),
        ("$ 5$", "$ 5$"),
        ("'$A x'", "$A x"),
        ('"$A x"', "one x"),
        (r'"\$A \" \n"', r'$A " \n'),
        ("don\\'t", "don't"),
    ],
)
def test_variables(text: str, expected: str) -> None:
    instruction = Instruction(1, "ENV", "")
    assert dockerfile.expand(text, {"A": "one", "EMPTY": ""}, instruction, "Dockerfile") == expected


@pytest.mark.parametrize("text", ["'x", '"x', "${A", "${A:?x}", "${}"])
def test_words_that_cannot_be_read(text: str) -> None:
    with pytest.raises(DockerfileError, match=r"^Dockerfile:1: ENV: "):
        dockerfile.expand(text, {}, Instruction(1, "ENV", ""), "Dockerfile")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1 B='two words'", {"A": "1", "B": "two words"}),
        ("A two words", {"A": "two words"}),
        ("B=$TWO C=\"$TWO\" D='$TWO' E=a\\ b", {"B": "x y", "C": "x y", "D": "$TWO", "E": "a b"}),
        ("B $TWO", {"B": "x y"}),
    ],
)
def test_pairs(text: str, expected: dict[str, str]) -> None:
    assert dockerfile.pairs(Instruction(1, "ENV", text), "Dockerfile", {"TWO": "x y"}) == expected


def test_an_argument_with_no_default_is_not_one_that_is_empty() -> None:
    declared = dockerfile.arguments(Instruction(1, "ARG", "A B= C=$X"), "Dockerfile", {"X": "x"})
    assert declared == {"A": None, "B": "", "C": "x"}


@pytest.mark.parametrize("text", ['COPY "a /b', "COPY a", "ADD http://example.com/x /x"])
def test_copies_that_cannot_be(text: str) -> None:
    (_, instruction) = dockerfile.parse(f"FROM a\n{text}", "Dockerfile")
    with pytest.raises(DockerfileError, match=r"^Dockerfile:2: "):
        dockerfile.sources_and_target(instruction, "Dockerfile", {})


def test_both_forms_of_a_command() -> None:
    assert Instruction(1, "CMD", '["node", "/app.js"]').command() == ["node", "/app.js"]
    assert Instruction(1, "CMD", "node /app.js").command() == ["/bin/sh", "-c", "node /app.js"]
