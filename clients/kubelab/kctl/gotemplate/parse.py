"""Parses templates; the grammar and the messages are those of Go's ``text/template/parse``."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection

from kubelab.kctl.gotemplate.lex import Piece, Token, fail, pieces
from kubelab.kctl.gotemplate.nodes import (
    Action,
    Branch,
    Call,
    Command,
    Dot,
    Fields,
    Function,
    Int,
    Jump,
    Literal,
    Node,
    Pipeline,
    Template,
    TemplateError,
    Text,
    Variable,
)

_BRANCHES = ("if", "range", "with")
_KEYWORDS = (*_BRANCHES, "block", "break", "continue", "define", "else", "end", "nil", "template", ".")
_WORDS = {"true": True, "false": False, "nil": None}
_STARTS = ("space", "string", "raw", "char", "number", "field", "variable", "word")


def parse(text: str, functions: Collection[str]) -> Template:
    """Read a template that may call these functions. Raises TemplateError."""
    return _Parser(text, functions).template()


class _Parser:
    """Reads pieces one after the other; a branch reads its own up to its ``end``."""

    def __init__(self, text: str, functions: Collection[str]) -> None:
        self._text, self._functions = text, functions
        self._pieces = list(pieces(text))
        self._next = 0
        self._variables: list[str] = ["$"]
        self._loops = 0
        self._made = Template()

    def template(self) -> Template:
        nodes, ending = self._block()
        if ending is not None:
            raise fail(self._text, ending.start, f"unexpected {{{{{_keyword(ending)}}}}}")
        self._made.nodes = nodes
        return self._made

    def _block(self) -> tuple[tuple[Node, ...], Piece | None]:
        """Read nodes up to an ``end`` or ``else``, or to the end of the text."""
        nodes: list[Node] = []
        depth = len(self._variables)
        while self._next < len(self._pieces):
            piece = self._pieces[self._next]
            self._next += 1
            if piece.tokens is None:
                nodes.append(Text(piece.text))
                continue
            word = _keyword(piece)
            if word in ("end", "else"):
                del self._variables[depth:]
                return tuple(nodes), piece
            if (node := self._action(piece, word)) is not None:
                nodes.append(node)
        del self._variables[depth:]
        return tuple(nodes), None

    def _action(self, piece: Piece, word: str) -> Node | None:
        reader = _Tokens(self, piece)
        if word in _BRANCHES:
            reader.skip(1)
            return self._branch(word, reader)
        if word in ("break", "continue"):
            if not self._loops:
                raise fail(self._text, piece.start, f"{{{{{word}}}}} outside {{{{range}}}}")
            return Jump(word)
        if word in ("template", "define", "block"):
            return self._named(word, reader)
        return Action(reader.whole_pipeline("command"))

    def _branch(self, kind: str, reader: _Tokens) -> Branch:
        depth = len(self._variables)
        pipeline = reader.whole_pipeline(kind, ranging=kind == "range")
        self._loops += kind == "range"
        body, ending = self._block()
        self._loops -= kind == "range"
        otherwise: tuple[Node, ...] = ()
        if ending is not None and _keyword(ending) == "else":
            following = _Tokens(self, ending)
            following.skip(1)
            if (again := following.word()) in ("if", "with") and again == kind:
                following.skip(1)
                otherwise = (self._branch(kind, following),)
                del self._variables[depth:]
                return Branch(kind, pipeline, body, otherwise)
            following.finish("else")
            otherwise, ending = self._block()
            if ending is not None and _keyword(ending) == "else":
                raise fail(self._text, ending.start, "expected end; found {{else}}")
        if ending is None:
            raise fail(self._text, len(self._text), "unexpected EOF")
        del self._variables[depth:]
        return Branch(kind, pipeline, body, otherwise)

    def _named(self, word: str, reader: _Tokens) -> Node | None:
        reader.skip(1)
        token = reader.take()
        if token is None or token.kind not in ("string", "raw"):
            raise fail(self._text, reader.start, f"unexpected {_shown(token)} in {word} clause")
        name = str(_unquoted(self._text, token))
        pipeline = None
        if word == "define":
            reader.finish("define clause")
        elif word == "block" or not reader.at_end():
            pipeline = reader.whole_pipeline(f"{word} clause")
        if word != "template":
            kept, self._variables = self._variables, ["$"]
            body, ending = self._block()
            self._variables = kept
            if ending is None or _keyword(ending) != "end":
                raise fail(self._text, reader.start, f"unexpected EOF in {word} clause")
            self._made.defined[name] = body
        source = f"{{{{template {token.text}{f' {pipeline.source}' if pipeline else ''}}}}}"
        return None if word == "define" else Call(name, pipeline, token.place, source)

    # --- what the tokens of one action need to know

    @property
    def text(self) -> str:
        return self._text

    def declare(self, names: tuple[str, ...]) -> None:
        self._variables += names

    def variable(self, token: Token) -> Variable:
        if token.text not in self._variables:
            raise fail(self._text, token.place, f'undefined variable "{token.text}"')
        return Variable(token.text, token.place, token.text)

    def function(self, token: Token) -> Function:
        if token.text not in self._functions:
            raise fail(self._text, token.place, f'function "{token.text}" not defined')
        return Function(token.text, token.place, token.text)


class _Tokens:
    """Reads the tokens of one action."""

    def __init__(self, parser: _Parser, piece: Piece) -> None:
        self._parser, self._tokens = parser, piece.tokens or []
        self._place = 0
        self.start, self._end = piece.start, piece.end

    def peek(self) -> Token | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def skip(self, count: int) -> None:
        """Skip so many tokens, spaces not counted."""
        for _ in range(count):
            self.take()

    def take(self) -> Token | None:
        """Take the next token that is no space."""
        self._space()
        token = self.peek()
        self._place += token is not None
        return token

    def word(self) -> str:
        self._space()
        token = self.peek()
        return token.text if token and token.kind == "word" else ""

    def at_end(self) -> bool:
        self._space()
        return self.peek() is None

    def finish(self, context: str) -> None:
        if not self.at_end():
            raise self._fail(f"unexpected {_shown(self.peek())} in {context}")

    def whole_pipeline(self, context: str, *, ranging: bool = False) -> Pipeline:
        """Read declarations and a pipeline, up to the end of the action."""
        variables, assigns = self._declarations(context, ranging)
        pipeline = self._pipeline(context)
        self.finish(context)
        if variables and not assigns:
            self._parser.declare(variables)
        return Pipeline(pipeline.commands, pipeline.place, pipeline.source, variables, assigns)

    def _declarations(self, context: str, ranging: bool) -> tuple[tuple[str, ...], bool]:
        """Read ``$x :=``, ``$x =``, ``$k, $v :=``; what is none of these stays to be read."""
        start, names = self._place, []
        while (token := self.take()) is not None and token.kind == "variable":
            names.append(token.text)
            mark = self.take()
            if mark is not None and mark.text in (":=", "="):
                if mark.text == "=":
                    for name in names:
                        self._parser.variable(Token("variable", name, token.place))
                return tuple(names), mark.text == "="
            if mark is None or mark.text != "," or not ranging or len(names) > 1:
                break
        if len(names) > 1:
            raise self._fail(f"too many declarations in {context}")
        self._place = start
        return (), False

    def _pipeline(self, context: str) -> Pipeline:
        self._space()
        start = self._here()
        commands: list[Command] = []
        while True:
            command = self._command(context)
            commands.append(command)
            self._space()
            token = self.peek()
            if token is None or token.text != "|" or token.kind != "mark":
                break
            self._place += 1
        for number, command in enumerate(commands):
            if number and isinstance(command.operands[0], (Literal, Dot)):
                raise self._fail(f"non executable command in pipeline stage {number + 1}")
        return Pipeline(tuple(commands), start, self._source(start))

    def _command(self, context: str) -> Command:
        self._space()
        start = self._here()
        operands: list[Literal | Dot | Fields | Variable | Function | Pipeline] = []
        while (token := self.peek()) is not None and (token.kind in _STARTS or token.text in ("(", ".")):
            if token.kind == "space":
                self._place += 1
                continue
            operands.append(self._operand(token))
            following = self.peek()
            if following is not None and following.kind != "space" and following.text not in ("|", ")"):
                raise self._fail(f"unexpected {_shown(following)} in operand")
        if not operands:
            if self.peek() is None or (self.peek() or token) is None:
                raise self._fail(f"missing value for {context}")
            raise self._fail(f"unexpected {_shown(self.peek())} in {context}")
        return Command(tuple(operands), start, self._source(start))

    def _operand(self, token: Token) -> Literal | Dot | Fields | Variable | Function | Pipeline:
        self._place += 1
        text, place = token.text, token.place
        if token.kind == "field":
            behind, names = self._here(), self._names()
            return Fields(Dot(place), (text[1:], *names), behind if names else place, self._source(place))
        if token.kind == "variable":
            variable = self._parser.variable(token)
            behind, names = self._here(), self._names()
            return Fields(variable, names, behind, self._source(place)) if names else variable
        if token.kind == "word":
            if text in _WORDS:
                return Literal(_WORDS[text], place, text)
            return self._parser.function(token)
        if text == ".":
            return Dot(place)
        if text == "(":
            pipeline = self._pipeline("parenthesized pipeline")
            closing = self.take()
            if closing is None or closing.text != ")":
                raise self._fail("unclosed left paren")
            behind, names = self._here(), self._names()
            return Fields(pipeline, names, behind, self._source(place)) if names else pipeline
        return Literal(_unquoted(self._parser.text, token), place, text)

    def _names(self) -> tuple[str, ...]:
        """Read the fields that stand directly behind an operand."""
        names: list[str] = []
        while (token := self.peek()) is not None and token.kind == "field":
            names.append(token.text[1:])
            self._place += 1
        return tuple(names)

    def _space(self) -> None:
        while (token := self.peek()) is not None and token.kind == "space":
            self._place += 1

    def _here(self) -> int:
        token = self.peek()
        return token.place if token else self.start

    def _source(self, start: int) -> str:
        last = self._tokens[self._place - 1]
        return self._parser.text[start : last.place + len(last.text)].strip()

    def _fail(self, message: str) -> TemplateError:
        return fail(self._parser.text, self.start, message)


def _keyword(piece: Piece) -> str:
    """Give the word that an action begins with, "" when it begins with something else."""
    token = next((t for t in piece.tokens or () if t.kind != "space"), None)
    return token.text if token is not None and token.kind == "word" else ""


def _shown(token: Token | None) -> str:
    if token is None:
        return "EOF"
    return f"<{token.text}>" if token.text in _KEYWORDS else json.dumps(token.text, ensure_ascii=False)


def _unquoted(text: str, token: Token) -> str | int | float:
    if token.kind == "raw":
        return token.text[1:-1]
    try:
        if token.kind == "number":
            digits = token.text
            whole = re.fullmatch(r"[+-]?(0[xX][0-9a-fA-F_]+|[0-9_]+)", digits)
            return Int(digits, 0) if whole and not re.fullmatch(r"[+-]?0[0-9_]+", digits) else float(digits)
        value = ast.literal_eval(token.text)
    except (ValueError, SyntaxError) as err:
        raise fail(text, token.place, f"bad syntax: {token.text}") from err
    return Int(ord(value)) if token.kind == "char" and len(value) == 1 else str(value)
