"""Words of Dockerfiles: quotes, escapes, variables and their forms, as BuildKit's lexer has them."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubelab.runtime.build import words
from kubelab.runtime.build.errors import SyntaxFault
from kubelab.runtime.build.patterns import Glob, Pattern
from kubelab.runtime.build.words import Lexer

VARIABLES = {"A": "one", "EMPTY": "", "PATHS": "/a/b:/a/c", "FILE": "x.tar.gz", "SPACE": "x y"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A/${A}", "one/one"),
        ("${B:-two} ${A:-two}", "two one"),
        ("${A:+set}${B:+set}", "set"),
        ("${EMPTY:-two} ${EMPTY-two} ${B-two} ${EMPTY+set}", "two  two set"),
        ("${B:-${A}s} ${B:-${B:-${A}}}", "ones one"),
        ("${A:?must} ${EMPTY?must}", "one "),
        ("${FILE#*.} ${FILE##*.} ${FILE%.*} ${FILE%%.*}", "tar.gz gz x.tar x"),
        ("${PATHS#/a} ${PATHS%/?} ${PATHS#nothing}", "/b:/a/c /a/b:/a /a/b:/a/c"),
        ("${PATHS/a/z} ${PATHS//a/z} ${PATHS//\\/?/-}", "/z/b:/a/c /z/b:/z/c --:--"),
        (r"\$A $C.", "$A ."),
        ("$ 5$", "$ 5$"),
        ("'$A x'", "$A x"),
        ('"$A x"', "one x"),
        (r'"\$A \" \n"', r'$A " \n'),
        ("don\\'t", "don't"),
        ("$1$@$$", ""),
        ("a\\", "a"),
    ],
)
def test_variables(text: str, expected: str) -> None:
    assert Lexer().word(text, VARIABLES) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("'x", "unexpected end of statement while looking for matching single-quote"),
        ('"x', "unexpected end of statement while looking for matching double-quote"),
        ("${A", "unsupported modifier () in substitution"),
        ("${", "syntax error: missing '}'"),
        ("${A:-x", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${:-x}", "syntax error: bad substitution"),
        ("${A!x}", "unsupported modifier (!) in substitution"),
        ("${A:x}", "unsupported modifier (:x) in substitution"),
        ("${B:?}", "B: is not allowed to be unset"),
        ("${EMPTY:?}", "EMPTY: is not allowed to be empty"),
        ("${B?said so}", "B: said so"),
        ("${A#\\x}", "invalid pattern (\\x) in substitution: invalid escape '\\x'"),
        ("${A:-" * 60 + "}" * 60, "variables are nested too deep"),
    ],
)
def test_words_that_cannot_be_read(text: str, told: str) -> None:
    with pytest.raises(SyntaxFault, match=re.escape(told)):
        Lexer().word(text, VARIABLES)


def test_the_escape_may_be_a_backtick() -> None:
    assert Lexer(escape="`").word("C:\\$A`$A", VARIABLES) == "C:\\one$A"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a 'b c' d\\ e", ["a", "b c", "d e"]),
        ('$SPACE "$SPACE"', ["x", "y", "x y"]),
        ("  ", []),
        ("'' a", ["a"]),
    ],
)
def test_what_a_variable_holds_is_split_where_it_has_no_quotes(text: str, expected: list[str]) -> None:
    assert Lexer().words(text, VARIABLES) == expected


def test_splitting_keeps_quotes() -> None:
    assert words.split("A=1 B='two words' C=a\\ b ''") == ["A=1", "B='two words'", "C=a\\ b", "''"]


def test_what_doubles_itself_ends_early() -> None:
    """Forty lines of ENV A=$A$A would be a terabyte."""
    value = "x"
    for _ in range(16):
        value = Lexer().word("$A$A", {"A": value})
    with pytest.raises(SyntaxFault, match="longer than"):
        Lexer().word("$A$A", {"A": value})
    with pytest.raises(SyntaxFault, match="longer than"):
        Lexer().word('"$A$A"', {"A": "x" * words.MAX_VALUE})
    with pytest.raises(SyntaxFault, match="too long"):
        Lexer().word("${A//?/$A}", {"A": "x" * 60_000})


@given(st.text(alphabet="$A{}:-+?#%/'\"\\ <a*", max_size=30))
@settings(max_examples=500)
def test_any_text_is_read_or_refused(text: str) -> None:
    for lexer in (Lexer(), Lexer(raw_quotes=True, raw_escapes=True, keep_unset=True), Lexer(quotes=False)):
        try:
            lexer.words(text, VARIABLES)
        except SyntaxFault:
            continue


@given(st.text(alphabet="ab*?", max_size=6), st.text(alphabet="ab", max_size=6))
def test_patterns_match_as_regular_expressions_do(pattern: str, value: str) -> None:
    """The matcher never backtracks; regular expressions are what it is compared with."""
    regex = re.escape(pattern).replace("\\*", ".*").replace("\\?", ".")
    starts = [n for n in range(len(value) + 1) if re.fullmatch(regex, value[:n])]
    ends = [n for n in range(len(value) + 1) if re.fullmatch(regex, value[n:])]
    made = Pattern(pattern)
    for longest in (False, True):
        begin = (max if longest else min)(starts, default=0)
        assert made.without_prefix(value, longest=longest) == value[begin:]
        end = (min if longest else max)(ends, default=len(value))
        assert made.without_suffix(value, longest=longest) == value[:end]
    assert Glob(pattern).matches(value) == (re.fullmatch(regex, value) is not None)


def test_a_hostile_pattern_takes_no_time() -> None:
    assert Pattern("*a" * 500 + "b").without_prefix("a" * 5000, longest=True) == "a" * 5000
    assert not Glob("*a" * 100 + "b").matches("a" * 255)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*.c", ["a.c", ".c"], ["a.h", "c"]),
        ("[a-c]?", ["ax", "cx"], ["dx", "a"]),
        ("[^a-c]", ["d", "-"], ["a"]),
        ("\\*", ["*"], ["a"]),
        ("[\\]]", ["]"], ["\\"]),
        ("a[[]b", ["a[b"], ["ab"]),
    ],
)
def test_names_of_files(pattern: str, matching: list[str], other: list[str]) -> None:
    glob = Glob(pattern)
    assert [glob.matches(name) for name in itertools.chain(matching, other)] == [True] * len(matching) + [False] * len(
        other
    )


@pytest.mark.parametrize("pattern", ["[", "[]", "[a", "[a-", "[a-]", "[-a]", "\\", "[\\"])
def test_patterns_that_are_none(pattern: str) -> None:
    with pytest.raises(SyntaxFault, match="syntax error in pattern"):
        Glob(pattern)
