"""YAML in the style of sigs.k8s.io/yaml: text that looks like a number is in double quotes, long lines are folded."""

from __future__ import annotations

import re
from typing import Any

import yaml

from kubelab.apimachinery.manifest.yamlnodes import resolve
from kubelab.apimachinery.terminal import QUOTED, acts

END = "\n...\n"  # libyaml marks the end of a document whose last text ends in empty lines; kubectl does not
WIDTH = 80  # columns, after which a line is folded at its next space

_UNICODE = {number: code for number, code in QUOTED.items() if number >= 0x80}  # libyaml spells out the rest itself

_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")


class _Dumper(_DUMPER):
    def ignore_aliases(self, data: object) -> bool:
        return True  # an object that is there twice is written twice


def _text(dumper: Any, text: str) -> yaml.ScalarNode:
    if acts(text):
        style = '"'  # where what a terminal would act on can be spelled out
    elif "\n" in text:
        style = "|"
    elif _looks_otherwise(dumper, text):
        style = '"'
    else:
        style = None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _looks_otherwise(dumper: Any, text: str) -> bool:
    """Say whether some YAML reader would take the text for something else if it stood there without quotes."""
    if not text or text == "<<" or not isinstance(resolve(text), str) or _BASE_60.fullmatch(text):
        return True
    tag: str = dumper.resolve(yaml.ScalarNode, text, (True, False))
    return tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:yaml")  # the latter: "!", "&" and "*"


_Dumper.add_representer(str, _text)


def dump(document: Any) -> str:
    """Write one document; keys keep their order."""
    text: str = yaml.dump(
        document, Dumper=_Dumper, default_flow_style=False, sort_keys=False, allow_unicode=True, width=WIDTH
    )
    text = text.removesuffix(END) + "\n" if text.endswith(END) else text
    return text.translate(_UNICODE) if acts(text) else text
