"""Words of a Dockerfile: how they are split, which quotes and variables they have.

A port of BuildKit's shell lexer (github.com/moby/buildkit, frontend/dockerfile/shell/lex.go), so that equal text means
equal words. Forms of variables: ``$a``, ``${a}``, ``${a:-b}``, ``${a-b}``, ``${a:+b}``, ``${a+b}``, ``${a:?b}``,
``${a?b}``, ``${a#b}``, ``${a##b}``, ``${a%b}``, ``${a%%b}``, ``${a/b/c}``, ``${a//b/c}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kubelab.runtime.build.errors import SyntaxFault
from kubelab.runtime.build.patterns import Pattern

MAX_NESTING = 50  # of ${a:-${b:-…}}
MAX_VALUE = 128 * 1024 - 1  # bytes: Linux takes no longer argument or variable (execve(2), MAX_ARG_STRLEN)
_SPECIAL = frozenset("@*#?-$!0")  # the shell's special parameters, never set here
_NO_VARIABLES: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Lexer:
    """How to read words. ``raw_*`` leave quotes or escapes where they are, ``keep_unset`` variables that are not set;
    ``quotes`` False: quotes are ordinary characters."""

    escape: str = "\\"
    raw_quotes: bool = False
    raw_escapes: bool = False
    keep_unset: bool = False
    quotes: bool = True
    limit: int = MAX_VALUE

    def word(self, text: str, variables: Mapping[str, str] = _NO_VARIABLES) -> str:
        """The text as one word, with variables put in; SyntaxFault."""
        return _Reader(self, text, variables).read()[0]

    def words(self, text: str, variables: Mapping[str, str] = _NO_VARIABLES) -> list[str]:
        """The text with variables put in, split at the spaces outside of quotes; SyntaxFault."""
        return _Reader(self, text, variables).read()[1]


def split(text: str, escape: str = "\\") -> list[str]:
    """Split at spaces outside of quotes; quotes and escapes stay, for :meth:`Lexer.word` to read."""
    words: list[str] = []
    word, quote, begun, at = "", "", False, 0
    while at < len(text):
        char = text[at]
        at += 1
        if not quote and char.isspace():
            if begun:
                words.append(word)
            word, begun = "", False
            continue
        begun = True
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        if char == escape and quote != "'":
            if at == len(text):
                break  # one at the end is dropped
            char += text[at]
            at += 1
        word += char
    return [*words, word] if word else words


class _Words:
    """Collects words. What a variable holds is split too, quoted text is not."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self._word = ""

    def add(self, text: str) -> None:
        for char in text:
            if not char.isspace():
                self._word += char
            elif self._word:
                self.done.append(self._word)
                self._word = ""

    def add_raw(self, text: str) -> None:
        self._word += text

    def finish(self) -> list[str]:
        if self._word:
            self.done.append(self._word)
            self._word = ""
        return self.done


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, lexer: Lexer, text: str, variables: Mapping[str, str]) -> None:
        self._lexer, self._text, self._variables = lexer, text, variables
        self._at = self._depth = 0

    def read(self) -> tuple[str, list[str]]:
        return self._until("", self._lexer.raw_escapes)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        char = self._peek()
        self._at += 1
        return char

    def _until(self, stop: str, raw_escapes: bool) -> tuple[str, list[str]]:
        parts: list[str] = []
        words = _Words()
        length = 0
        while char := self._peek():
            if char == stop:
                self._at += 1
                return "".join(parts), words.finish()
            if char == "$":
                value = self._dollar(raw_escapes)
                words.add(value)
            elif char in "'\"<" and (self._lexer.quotes or char == "<"):
                value = self._special(char, raw_escapes)
                words.add_raw(value)
            elif char == self._lexer.escape:
                self._at += 1
                value = (char if raw_escapes else "") + self._next()
                words.add_raw(value)
            else:
                self._at += 1
                value = char
                words.add(value)
            length += len(value)
            if length > self._lexer.limit:
                raise SyntaxFault(f"with its variables put in it is longer than {self._lexer.limit} characters")
            parts.append(value)
        if stop:
            raise SyntaxFault(f"unexpected end of statement while looking for matching {stop}")
        return "".join(parts), words.finish()

    def _special(self, char: str, raw_escapes: bool) -> str:
        if char == "'":
            return self._single_quoted()
        return self._double_quoted(raw_escapes) if char == '"' else self._perhaps_here_document()

    def _perhaps_here_document(self) -> str:
        """``<< EOF`` is one word."""
        begin = self._at
        self._at += 1
        if self._peek() == "<":
            self._at += 1
            while self._peek() in (" ", "\t"):
                self._at += 1
        return self._text[begin : self._at]

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise SyntaxFault("unexpected end of statement while looking for matching single-quote")
        raw = self._text[self._at : end + 1]
        self._at = end + 1
        return raw if self._lexer.raw_quotes else raw[1:-1]

    def _double_quoted(self, raw_escapes: bool) -> str:
        quote = '"' if self._lexer.raw_quotes else ""
        parts = [quote]
        length = 0
        self._at += 1
        while char := self._peek():
            if char == "$":
                parts.append(self._dollar(raw_escapes))
                length += len(parts[-1])
                if length > self._lexer.limit:
                    raise SyntaxFault(f"with its variables put in it is longer than {self._lexer.limit} characters")
                continue
            self._at += 1
            if char == '"':
                return "".join([*parts, quote])
            if char == self._lexer.escape:
                if raw_escapes:
                    parts.append(char)
                if not self._peek():
                    continue
                if self._peek() in ('"', "$", self._lexer.escape):
                    char = self._next()
            parts.append(char)
        raise SyntaxFault("unexpected end of statement while looking for matching double-quote")

    def _dollar(self, raw_escapes: bool) -> str:
        """What stands for ``$…``; a ``$`` where no name follows."""
        begin = self._at
        self._at += 1
        if self._peek() != "{":
            name = self._name()
            if not name:
                return "$"
            value = self._variables.get(name)
            return self._text[begin : self._at] if value is None and self._lexer.keep_unset else value or ""
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise SyntaxFault(f"variables are nested too deep: more than {MAX_NESTING} of ${{…}} in each other")
        try:
            self._at += 1
            return self._braced(raw_escapes)
        finally:
            self._depth -= 1

    def _braced(self, raw_escapes: bool) -> str:
        if not self._peek():
            raise SyntaxFault("syntax error: missing '}'")
        if self._peek() in "{}:":
            raise SyntaxFault("syntax error: bad substitution")
        name = self._name()
        value = self._variables.get(name)
        unset = value is None and self._lexer.keep_unset
        operator = self._next()
        if operator == "}":
            return f"${{{name}}}" if unset else value or ""
        if operator == "/":
            return self._replaced(name, value)
        empty_counts = operator == ":"
        modifier = self._next() if empty_counts else operator
        shown = operator + modifier if empty_counts else operator
        if not modifier or modifier not in "+-?#%":
            raise SyntaxFault(f"unsupported modifier ({shown}) in substitution")
        word = self._operand("}", raw=modifier in "#%", missing="}")
        if unset:
            return f"${{{name}{shown}{word}}}"
        if modifier in "#%":
            longest = word.startswith(modifier)
            pattern = Pattern(word[longest:])
            trimmed = pattern.without_prefix if modifier == "#" else pattern.without_suffix
            return trimmed(value or "", longest=longest)
        is_set = bool(value) if empty_counts else value is not None
        if modifier == "+":
            return word if is_set else ""
        if modifier == "?" and not is_set:
            what = "unset" if value is None else "empty"
            raise SyntaxFault(f"{name}: {word or f'is not allowed to be {what}'}")
        return (value or "") if is_set else word

    def _operand(self, stop: str, *, raw: bool, missing: str) -> str:
        try:
            return self._until(stop, raw)[0]
        except SyntaxFault as err:
            if self._peek():
                raise
            raise SyntaxFault(f"syntax error: missing '{missing}'") from err

    def _replaced(self, name: str, value: str | None) -> str:
        every = self._peek() == "/"
        self._at += every
        pattern = self._operand("/", raw=True, missing="/' in ${}")
        replacement = self._operand("}", raw=True, missing="}")
        if value is None and self._lexer.keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        return Pattern(pattern).replaced(value or "", replacement, every=every)

    def _name(self) -> str:
        """A name; ``$1`` and the shell's special parameters are names as well."""
        begin, text = self._at, self._text
        char = self._peek()
        if char.isdecimal():
            while self._peek().isdecimal():
                self._at += 1
        elif char and char in _SPECIAL:
            self._at += 1
        else:
            while self._peek() == "_" or self._peek().isalpha() or self._peek().isdecimal():
                self._at += 1
        return text[begin : self._at]
