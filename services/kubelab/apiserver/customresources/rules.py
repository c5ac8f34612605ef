"""The CEL rules of a schema, ``x-kubernetes-validations``, in upstream's words
(https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from kubelab.apimachinery import durations
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.manifest.jsonmapping import parse_time
from kubelab.apimachinery.patch.values import JSONArray, JSONObject, equal
from kubelab.apiserver.cel.expressions import (
    RESERVED,
    EvaluationError,
    Expression,
    ExpressionError,
    OutOfBudget,
    TypeName,
    compile_expression,
)
from kubelab.apiserver.customresources.schema import Schema
from kubelab.apiserver.strategies import causes

VALIDATIONS = "x-kubernetes-validations"
MAX_RULES = 1_000  # of one schema
MAX_EVALUATIONS = 5_000  # of the rules of one object
_OLD = re.compile(r"\boldSelf\b")
_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"
_REASONS = ("FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate")
_KINDS: dict[str, TypeName] = {
    "object": "map",
    "array": "list",
    "string": "string",
    "integer": "int",
    "number": "double",
    "boolean": "bool",
}
_FORMATS: dict[str, TypeName] = {"date-time": "timestamp", "duration": "duration"}


@dataclass(frozen=True, slots=True)
class _Rule:
    text: str
    expression: Expression
    message: str
    message_expression: Expression | None
    reason: str
    path: str
    changes: bool
    """Whether it speaks of the object before."""
    creates: bool
    """Whether it is evaluated where there was none before, too."""


@dataclass(slots=True)
class _Node:
    """The rules of one schema and of those below it; what has none is left out."""

    schema: Schema
    rules: list[_Rule] = field(default_factory=list[_Rule])
    properties: dict[str, _Node] = field(default_factory=dict[str, "_Node"])
    values: _Node | None = None
    items: _Node | None = None


def _kind_of(schema: Schema) -> TypeName:
    if schema.int_or_string or schema.nullable:
        return "dyn"
    if schema.type == "string":
        return _FORMATS.get(schema.raw.get("format", ""), "string")
    return _KINDS.get(schema.type, "dyn")


def _compiled(schema: Schema, raw: JSONObject) -> _Rule:
    """Compile one rule; ExpressionError."""
    kind = _kind_of(schema)
    optional = bool(raw.get("optionalOldSelf"))
    variables: dict[str, TypeName] = {"self": kind, "oldSelf": "dyn" if optional else kind}
    expression = compile_expression(raw["rule"], variables)
    if expression.returns not in ("BOOL", "DYN"):
        raise ExpressionError("cel expression must evaluate to a bool")
    given = raw.get("messageExpression")
    message = compile_expression(given, variables) if given else None
    text = raw["rule"].strip()
    return _Rule(
        text,
        expression,
        raw.get("message", "").strip(),
        message,
        raw.get("reason", ""),
        raw.get("fieldPath", ""),
        _OLD.search(raw["rule"]) is not None,
        optional,
    )


def _node(schema: Schema) -> _Node | None:
    node = _Node(schema, [_compiled(schema, raw) for raw in schema.raw.get(VALIDATIONS, ())])
    node.properties = {key: made for key, below in schema.properties.items() if (made := _node(below)) is not None}
    node.values = _node(schema.values) if schema.values is not None else None
    node.items = _node(schema.items) if schema.items is not None else None
    return node if node.rules or node.properties or node.values or node.items else None


class Rules:
    """All rules of one schema, which was validated. They are compiled when the first object is checked."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._has_rules = any(True for _ in _given(schema, ""))
        self._root: _Node | None = None

    def __bool__(self) -> bool:
        return self._has_rules

    def check(self, new: JSONObject, old: JSONObject | None) -> list[Cause]:
        """Give the complaints about an object, and about the change where there was another one before."""
        if self._root is None:
            self._root = _node(self._schema)
        if self._root is None:
            return []
        checking = _Checking()
        try:
            checking.walk(new, old, self._root, "")
        except OutOfBudget:
            checking.found.append(Cause("<nil>", f'Invalid value: "": {_BUDGET}', "FieldValueInvalid"))
        return checking.found


class _Checking:
    def __init__(self) -> None:
        self.found: list[Cause] = []
        self._left = MAX_EVALUATIONS

    def walk(self, new: Any, old: Any, node: _Node, path: str) -> None:
        if new is None or (old is not None and equal(new, old)):
            return  # what an update leaves as it is stays allowed
        for rule in node.rules:
            if rule.changes and old is None and not rule.creates:
                continue
            self._left -= 1
            if self._left < 0:
                raise OutOfBudget(_BUDGET)
            self._evaluate(rule, new, old, node.schema, path)
        if isinstance(new, dict):
            body = cast(JSONObject, new)
            before = cast(JSONObject, old) if isinstance(old, dict) else {}
            for key, part in body.items():
                below = node.properties.get(key) or (node.values if key not in node.schema.properties else None)
                if below is not None:
                    self.walk(part, before.get(key), below, f"{path}.{key}" if path else key)
        elif isinstance(new, list) and node.items is not None:
            others = _by_keys(old, node.schema)
            for at, part in enumerate(cast(JSONArray, new)):
                self.walk(part, others.get(_key(part, node.schema)), node.items, f"{path}[{at}]")

    def _evaluate(self, rule: _Rule, new: Any, old: Any, schema: Schema, path: str) -> None:
        variables: dict[str, Any] = {"self": to_cel(new, schema), "oldSelf": None}
        if old is not None:
            variables["oldSelf"] = to_cel(old, schema)
        elif not rule.creates:
            variables["oldSelf"] = variables["self"]  # the rule does not speak of it
        try:
            if rule.expression.evaluate(variables) is True:
                return
            message = self._message(rule, variables)
        except OutOfBudget:
            raise
        except EvaluationError as err:
            message = f"{err} evaluating rule: {rule.message or rule.text}"
        where = path + rule.path if path or not rule.path else rule.path.removeprefix(".")
        self.found.append(_cause(rule.reason, where or "<nil>", _KIND_NAMES.get(schema.type, schema.type), message))

    @staticmethod
    def _message(rule: _Rule, variables: Mapping[str, Any]) -> str:
        if rule.message_expression is not None:
            try:
                said = rule.message_expression.evaluate(variables)
            except EvaluationError:
                said = ""
            if isinstance(said, str) and said.strip() and "\n" not in said:
                return said.strip()
        return rule.message or f"failed rule: {rule.text}"


_KIND_NAMES = {"": "object"}


def _cause(reason: str, path: str, kind: str, message: str) -> Cause:
    match reason:
        case "FieldValueForbidden":
            return causes.forbidden(path, message)
        case "FieldValueRequired":
            return causes.required(path, message)
        case "FieldValueDuplicate":
            return causes.duplicate(path, kind)
        case _:
            return causes.invalid(path, kind, message)


def _key(part: Any, schema: Schema) -> str:
    if schema.list_type != "map" or not isinstance(part, dict):
        return ""
    return repr([(key, part.get(key)) for key in schema.list_keys])  # pyright: ignore[reportUnknownMemberType]


def _by_keys(old: Any, schema: Schema) -> dict[str, Any]:
    """Give the elements that an associative list had before, by their keys; other lists' elements are not the same
    ones."""
    if schema.list_type != "map" or not isinstance(old, list):
        return {}
    return {_key(part, schema): part for part in cast(JSONArray, old)}


def to_cel(value: Any, schema: Schema | None) -> Any:
    """Give a value with the types that a rule sees: numbers, times and durations as the schema has them, and names that
    are words of CEL between underscores."""
    if isinstance(value, dict):
        properties = schema.properties if schema is not None else {}
        others = schema.values if schema is not None else None
        escape = others is None
        return {
            (_escaped(key) if escape else key): to_cel(part, properties.get(key) or others)
            for key, part in cast(JSONObject, value).items()
        }
    if isinstance(value, list):
        items = schema.items if schema is not None else None
        return [to_cel(part, items) for part in cast(JSONArray, value)]
    if schema is None:
        return value
    if schema.type == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if schema.type == "integer" and isinstance(value, float):
        return int(value)
    if isinstance(value, str) and schema.type == "string":
        return _formatted(value, schema.raw.get("format", ""))
    return value


def _formatted(value: str, form: str) -> Any:
    if form == "date-time" and (moment := parse_time(value)) is not None:
        return Timestamp(seconds=moment[0], nanos=moment[1])
    if form == "duration":
        seconds, nanos = divmod(durations.parse_nanoseconds(value), 10**9)
        return Duration(seconds=seconds, nanos=nanos)
    return base64.b64decode(value) if form == "byte" else value


def _escaped(key: str) -> str:
    if key in RESERVED:
        return f"__{key}__"
    escaped = key.replace("__", "__underscores__")
    for sign, name in ((".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")):
        escaped = escaped.replace(sign, name)
    return escaped


# --- in a definition


def _given(schema: Schema, path: str) -> Iterator[tuple[Schema, str, JSONObject]]:
    """Give every rule with its schema and its place."""
    for at, raw in enumerate(schema.raw.get(VALIDATIONS, ())):
        yield schema, f"{path}.{VALIDATIONS}[{at}]", raw
    for key, below in schema.properties.items():
        yield from _given(below, f"{path}.properties[{key}]")
    if schema.values is not None:
        yield from _given(schema.values, f"{path}.additionalProperties")
    if schema.items is not None:
        yield from _given(schema.items, f"{path}.items")


def validate(schema: Schema, path: str) -> list[Cause]:
    """Give the complaints about rules that do not compile."""
    given = list(_given(schema, path))
    if len(given) > MAX_RULES:
        return [causes.forbidden(path, f"must have at most {MAX_RULES} validation rules, has {len(given)}")]
    return [cause for schema, where, raw in given for cause in _rule(schema, where, raw)]


def _rule(schema: Schema, where: str, raw: JSONObject) -> Iterator[Cause]:
    text, message = raw.get("rule", ""), raw.get("message", "")
    if not text.strip():
        yield causes.required(f"{where}.rule", "rule is not specified")
        return
    if "message" in raw and not message.strip():
        yield causes.invalid(f"{where}.message", message, "message must be non-empty if specified")
    elif "\n" in message:
        yield causes.invalid(f"{where}.message", message, "message must not contain line breaks")
    if raw.get("reason") is not None and raw["reason"] not in _REASONS:
        yield causes.unsupported(f"{where}.reason", raw["reason"], _REASONS)
    try:
        rule = _compiled(schema, raw)
    except ExpressionError as err:
        yield causes.invalid(f"{where}.rule", causes.Raw(_shown(raw)), f"compilation failed: {err}")
        return
    if rule.message_expression is not None and rule.message_expression.returns not in ("STRING", "DYN"):
        why = "messageExpression compilation failed: messageExpression must evaluate to a string"
        yield causes.invalid(f"{where}.messageExpression", raw["messageExpression"], why)


def _shown(raw: JSONObject) -> str:
    """Write a rule as Go prints it."""
    words = [causes.quoted(raw.get(key, "")) for key in ("rule", "message", "messageExpression", "fieldPath")]
    rule, message, expression, path = words
    return (
        f"apiextensions.ValidationRule{{Rule:{rule}, Message:{message}, MessageExpression:{expression}, "
        f"Reason:(*apiextensions.FieldValueErrorReason)(nil), FieldPath:{path}, OptionalOldSelf:(*bool)(nil)}}"
    )
