"""Reads ``pods web app=x tier-``: which resources, what to set and what to remove (kubectl's words in the errors)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubelab.apimachinery import names
from kubelab.kctl.flags import UsageProblem


@dataclass(frozen=True, slots=True)
class Changes:
    """What a command line does to a map: ``KEY=VALUE`` sets, ``KEY-`` removes."""

    set: dict[str, str]
    remove: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.set or self.remove)

    def applied_to(self, before: dict[str, str]) -> dict[str, str]:
        """Give the map after the change."""
        return {key: value for key, value in {**before, **self.set}.items() if key not in self.remove}


def split(args: Sequence[str], noun: str) -> tuple[list[str], list[str]]:
    """Separate the resources from the changes behind them. ``noun`` is such as ``label``."""
    resources: list[str] = []
    pairs: list[str] = []
    for arg in args:
        if ("=" in arg and not arg.startswith("=")) or (arg.endswith("-") and arg != "-"):
            pairs.append(arg)
        elif pairs:
            raise UsageProblem(f"all resources must be specified before {noun} changes: {arg}")
        else:
            resources.append(arg)
    return resources, pairs


def parse_labels(pairs: Sequence[str]) -> Changes:
    """Read changes of labels: a value must be a label's."""
    values: dict[str, str] = {}
    remove: list[str] = []
    for pair in pairs:
        if "=" not in pair:
            remove.append(pair.removesuffix("-"))
            continue
        if pair.count("=") != 1:
            raise UsageProblem(f"invalid label spec: {pair}")
        key, _, value = pair.partition("=")
        if problems := names.label_value(value):
            raise UsageProblem(f'invalid label value: "{pair}": {";".join(problems)}')
        values[key] = value
    if any(key in values for key in remove):
        raise UsageProblem("can not both modify and remove a label in the same command")
    return Changes(values, tuple(remove))


def parse_annotations(pairs: Sequence[str]) -> Changes:
    """Read changes of annotations: a value is any text, with more ``=`` in it too."""
    values = {key: value for key, separator, value in (pair.partition("=") for pair in pairs) if separator}
    remove = tuple(pair.removesuffix("-") for pair in pairs if "=" not in pair)
    both = [key for key in remove if key in values]
    if both:
        raise UsageProblem(
            f"can not both modify and remove the following annotation(s) in the same command: {', '.join(both)}"
        )
    return Changes(values, remove)
