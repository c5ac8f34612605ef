"""Executes templates; results and messages are those of Go's ``text/template``."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, cast

from kubelab.apimachinery.jsonpath.evaluate import go_text
from kubelab.kctl.gotemplate.functions import FUNCTIONS, SHORT_CIRCUIT, CallError, truth
from kubelab.kctl.gotemplate.lex import line_of
from kubelab.kctl.gotemplate.nodes import (
    Action,
    Branch,
    Call,
    Command,
    Dot,
    Fields,
    Function,
    Jump,
    Literal,
    Node,
    Pipeline,
    TemplateError,
    Text,
    Variable,
)
from kubelab.kctl.gotemplate.parse import parse

NO_VALUE = "<no value>"
MAX_DEPTH = 100  # of templates that call each other
_NOTHING = object()  # no value comes from the command before


class GoTemplate:
    """A template, parsed. Raises TemplateError when it cannot be."""

    def __init__(self, text: str, *, allow_missing_keys: bool = True) -> None:
        self._text = text
        self._template = parse(text, {*FUNCTIONS, *SHORT_CIRCUIT})
        self._allow_missing_keys = allow_missing_keys

    def execute(self, document: Any) -> str:
        """Give the text for a document. Raises TemplateError."""
        run = _Execution(self._text, self._template.defined, self._allow_missing_keys)
        run.walk(self._template.nodes, document, {"$": document})
        return "".join(run.written)


class _JumpOut(Exception):
    """A ``break`` or ``continue`` leaves the body of its range."""


class _Execution:
    def __init__(self, text: str, defined: dict[str, tuple[Node, ...]], allow_missing_keys: bool) -> None:
        self._text, self._defined, self._allow_missing_keys = text, defined, allow_missing_keys
        self.written: list[str] = []
        self._depth = 0

    def walk(self, nodes: Sequence[Node], dot: Any, variables: dict[str, Any]) -> None:
        """Write nodes; what they declare is gone behind them, what they assign to a variable from outside stays."""
        inner = _Scope(variables)
        for node in nodes:
            match node:
                case Text():
                    self.written.append(node.text)
                case Action():
                    value = self._pipeline(node.pipeline, dot, inner)
                    if not node.pipeline.variables:
                        self.written.append(NO_VALUE if value is None else go_text(value))
                case Branch():
                    self._branch(node, dot, inner)
                case Jump():
                    raise _JumpOut(node.kind)
                case Call():
                    self._call_template(node, dot, inner)

    def _branch(self, node: Branch, dot: Any, variables: dict[str, Any]) -> None:
        scope = _Scope(variables)
        if node.kind == "range":
            self._range(node, dot, scope)
            return
        value = self._pipeline(node.pipeline, dot, scope)
        if truth(value):
            self.walk(node.body, value if node.kind == "with" else dot, scope)
        else:
            self.walk(node.otherwise, dot, scope)

    def _range(self, node: Branch, dot: Any, scope: dict[str, Any]) -> None:
        bare = Pipeline(node.pipeline.commands, node.pipeline.place, node.pipeline.source)
        value = self._pipeline(bare, dot, scope)
        turns = self._turns(value, node.pipeline)
        if not turns:
            self.walk(node.otherwise, dot, scope)
        names = node.pipeline.variables
        for key, element in turns:
            turn = _Scope(scope)
            given = (key, element) if len(names) == 2 else (element,)
            for name, one in zip(names, given, strict=False):
                (scope if node.pipeline.assigns else turn)[name] = one
            try:
                self.walk(node.body, element, turn)
            except _JumpOut as jump:
                if str(jump) == "break":
                    break

    def _turns(self, value: Any, pipeline: Pipeline) -> list[tuple[Any, Any]]:
        if isinstance(value, dict):
            mapping = cast(dict[str, Any], value)
            return [(key, mapping[key]) for key in sorted(mapping)]
        if isinstance(value, list):
            return list(enumerate(cast(list[Any], value)))
        if value is None:
            return []
        raise self._fail(pipeline, f"range can't iterate over {go_text(value)}")

    def _call_template(self, node: Call, dot: Any, variables: dict[str, Any]) -> None:
        body = self._defined.get(node.name)
        if body is None:
            raise self._fail(node, f'template "{node.name}" not defined')
        value = self._pipeline(node.pipeline, dot, variables) if node.pipeline else None
        if self._depth >= MAX_DEPTH:
            raise self._fail(node, f"exceeded maximum template depth ({MAX_DEPTH})")
        self._depth += 1
        self.walk(body, value, {"$": value})
        self._depth -= 1

    def _pipeline(self, pipeline: Pipeline, dot: Any, variables: dict[str, Any]) -> Any:
        value: Any = _NOTHING
        for command in pipeline.commands:
            value = self._command(command, dot, variables, value)
        for name in pipeline.variables:
            if pipeline.assigns and isinstance(variables, _Scope):
                variables.assign(name, value)
            else:
                variables[name] = value
        return value

    def _command(self, command: Command, dot: Any, variables: dict[str, Any], final: Any) -> Any:
        first, *rest = command.operands
        if isinstance(first, Function):
            return self._call(first, command, dot, variables, final)
        if rest or final is not _NOTHING:
            if isinstance(first, Fields):
                value = self._operand(first, dot, variables)
                kind = "method" if value is not None else "field"
                raise self._fail(first, f"{first.names[-1]} is not a {kind} but has arguments")
            raise self._fail(first, f"can't give argument to non-function {first.source}")
        if isinstance(first, Literal) and first.value is None:
            raise self._fail(first, "nil is not a command")
        return self._operand(first, dot, variables)

    def _call(self, function: Function, command: Command, dot: Any, variables: dict[str, Any], final: Any) -> Any:
        operands = command.operands[1:]
        if function.name in SHORT_CIRCUIT:
            return self._short_circuit(function, operands, dot, variables, final)
        values = [self._operand(operand, dot, variables) for operand in operands]
        if final is not _NOTHING:
            values.append(final)
        target = FUNCTIONS[function.name]
        try:
            inspect.signature(target).bind(*values)
        except TypeError as err:
            wanted = [p for p in inspect.signature(target).parameters.values() if p.kind is not p.VAR_POSITIONAL]
            raise self._fail(
                function,
                f"wrong number of args for {function.name}: want {'at least ' * (len(wanted) < len(values))}"
                f"{len(wanted)} got {len(values)}",
            ) from err
        try:
            return target(*values)
        except CallError as err:
            raise self._fail(command, f"error calling {function.name}: {err}") from err

    def _short_circuit(
        self, function: Function, operands: Sequence[Any], dot: Any, variables: dict[str, Any], final: Any
    ) -> Any:
        value: Any = None
        if not operands and final is _NOTHING:
            raise self._fail(function, f"wrong number of args for {function.name}: want at least 1 got 0")
        for operand in operands:
            value = self._operand(operand, dot, variables)
            if truth(value) == (function.name == "or"):
                return value
        return value if final is _NOTHING else final

    def _operand(self, node: Any, dot: Any, variables: dict[str, Any]) -> Any:
        match node:
            case Literal():
                return node.value
            case Dot():
                return dot
            case Variable():
                return variables[node.name]
            case Fields():
                value = self._operand(node.of, dot, variables)
                for name in node.names:
                    value = self._field(value, name, node)
                return value
            case Function():
                return self._call(node, Command((node,), node.place, node.source), dot, variables, _NOTHING)
            case _:
                return self._pipeline(cast(Pipeline, node), dot, variables)

    def _field(self, value: Any, name: str, node: Fields) -> Any:
        if isinstance(value, dict):
            mapping = cast(dict[str, Any], value)
            if name not in mapping and not self._allow_missing_keys:
                raise self._fail(node, f'map has no entry for key "{name}"')
            return mapping.get(name)
        if value is None:
            if not self._allow_missing_keys:
                raise self._fail(node, f'nil data; no entry for key "{name}"')
            return None
        raise self._fail(node, f"can't evaluate field {name} in type interface {{}}")

    def _fail(self, node: Any, message: str) -> TemplateError:
        place: int = node.place
        column = len(self._text[self._text.rfind("\n", 0, place) + 1 : place].encode())
        return TemplateError(
            f'template: output:{line_of(self._text, place)}:{column}: executing "output" at <{node.source}>: {message}'
        )


class _Scope(dict[str, Any]):
    """Variables, with those of the blocks around them."""

    def __init__(self, outer: dict[str, Any]) -> None:
        super().__init__()
        self._outer = outer

    def __missing__(self, name: str) -> Any:
        return self._outer[name]

    def assign(self, name: str, value: Any) -> None:
        """Change a variable where it was declared."""
        if name in self or not isinstance(self._outer, _Scope):
            (self if name in self else self._outer)[name] = value
        else:
            self._outer.assign(name, value)
