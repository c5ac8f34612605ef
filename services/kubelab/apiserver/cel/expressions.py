"""Expressions: compiled and type-checked once, evaluated within bounds.

The library is Google's own implementation in C++. It ends an expression after 10,000 steps of its loops, and refuses
one that is nested too deeply. It is loaded when the first expression is compiled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, Protocol, cast

MAX_EXPRESSION = 10_000  # characters
RESERVED = frozenset(  # words that CEL does not take for fields
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"}
    | {"let", "loop", "package", "namespace", "return", "var", "void", "while"}
)

TypeName = Literal["bool", "double", "dyn", "duration", "int", "list", "map", "string", "timestamp"]
_OUT_OF_BUDGET = "INTERNAL: Iteration budget exceeded"
_NO_KEY = re.compile(r'Key not found in map : "?(.*?)"?$')
_NO_VALUE = re.compile(r'No value with name "(.*?)" found in Activation')


class ExpressionError(ValueError):
    """An expression does not compile; the message is for people."""


class EvaluationError(ValueError):
    """An expression has no value; the message is upstream's where there is one."""


class OutOfBudget(EvaluationError):
    """An expression takes too many steps."""


class NoValue(EvaluationError):
    """An expression asks for a variable that it was not given: ``name``."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no value for {name}")
        self.name = name


class Result(Protocol):
    """A value of the library."""

    def type(self) -> Any: ...
    def value(self) -> Any: ...
    def plain_value(self) -> Any: ...


class Expression:
    """A compiled expression. ``returns`` is the type that it has, such as ``BOOL``, ``LIST<STRING>`` or ``DYN``."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self.returns = str(compiled.return_type().name()).upper()

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """Give the value, as Python has it. EvaluationError, OutOfBudget."""
        try:
            found = cast(Result, self._compiled.eval(data=dict(variables)))
        except RuntimeError as err:
            message = str(err)  # the library has one type of error for all
            if message.startswith(_OUT_OF_BUDGET):
                raise OutOfBudget("evaluation takes too many steps") from err
            raise EvaluationError(_worded(message)) from err
        if str(found.type().name()) == "ERROR":
            message = str(found.value())
            if missing := _NO_VALUE.search(message):
                raise NoValue(missing[1])
            raise EvaluationError(_worded(message))
        try:
            return found.plain_value()
        except TypeError as err:  # an optional value, for one
            raise EvaluationError("the value has a type that cannot be used") from err


def compile_expression(text: str, variables: Mapping[str, str]) -> Expression:
    """Compile an expression that may speak of these variables, whose types are a ``TypeName`` or what another
    expression ``returns``. A name with dots is a field of something that has no value of its own. ExpressionError."""
    if len(text) > MAX_EXPRESSION:
        raise ExpressionError(f"must have at most {MAX_EXPRESSION} characters")
    try:
        return Expression(_environment(tuple(sorted(variables.items()))).compile(text))
    except RuntimeError as err:
        message = str(err).removesuffix(" [INVALID_ARGUMENT]").removeprefix("INVALID_ARGUMENT: ")
        raise ExpressionError(message) from err


def _worded(message: str) -> str:
    """Say what the library says in the words of upstream's one."""
    code, _, rest = message.partition(": ")
    text = (rest if code.isupper() else message).strip()
    if found := _NO_KEY.search(text):
        return f"no such key: {found[1]}"
    if text.startswith("No matching overloads found"):
        return "no such overload"
    return {"divide by zero": "division by zero", "modulus by zero": "modulus by zero"}.get(text, text)


@lru_cache(maxsize=256)
def _environment(variables: tuple[tuple[str, str], ...]) -> Any:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_math, ext_optional, ext_strings

    from kubelab.apiserver.cel.library import extension

    kinds = cast(Any, cel).Type
    types: dict[str, Any] = {
        "bool": kinds.BOOL,
        "double": kinds.DOUBLE,
        "dyn": kinds.DYN,
        "duration": kinds.DURATION,
        "int": kinds.INT,
        "list": kinds.List(kinds.DYN),
        "map": kinds.Map(kinds.STRING, kinds.DYN),
        "string": kinds.STRING,
        "timestamp": kinds.TIMESTAMP,
    }
    extensions = [
        cast(Any, ext_strings).ExtStrings(),
        cast(Any, ext_optional).ExtOptional(),
        cast(Any, ext_math).ExtMath(),
        extension(),
    ]
    declared = {name: types[kind] if kind in types else kinds(kind.lower()) for name, kind in variables}
    return cast(Any, cel).NewEnv(variables=declared, extensions=extensions)
