"""A number or a name: ``8080``, ``http``."""

from __future__ import annotations

from kubelab.api.intstr.intstr_pb2 import IntOrString

INT, STRING = 0, 1


def from_int(number: int) -> IntOrString:
    return IntOrString(type=INT, intVal=number)


def from_string(name: str) -> IntOrString:
    return IntOrString(type=STRING, strVal=name)


def parse(text: str) -> IntOrString:
    """A number where the text is one, else a name."""
    return from_int(int(text)) if text.isdecimal() else from_string(text)


def is_set(value: IntOrString) -> bool:
    """Whether it says anything: zero and the empty name do not."""
    return bool(value.strVal if value.type == STRING else value.intVal)


def text(value: IntOrString) -> str:
    """As people write it."""
    return value.strVal if value.type == STRING else str(value.intVal)
