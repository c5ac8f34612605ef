r"""Escape the texts of objects for a terminal, so that they cannot move the cursor, change the title or reverse a line.

kubectl writes ESC as ``^[`` and the carriage return as ``\r`` (cli-runtime's ``printers.WriteEscaped``). Here the same
is done to every other character that a terminal acts on: C0 (BEL, BS …) and DEL in caret notation, C1 (the 8-bit CSI
and OSC), line and paragraph separators and the bidirectional controls (https://trojansource.codes) as Go escapes them.
Tabs and line feeds stay: the code that prints columns or lines handles them itself.
"""

from __future__ import annotations

_KEPT = "\t\n"
_CARET = {number: f"^{chr(number ^ 0x40)}" for number in (*range(0x20), 0x7F) if chr(number) not in _KEPT}
_BIDI = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CODES = {number: f"\\u{number:04x}" for number in (*range(0x80, 0xA0), 0x2028, 0x2029, *_BIDI)}
ESCAPES: dict[int, str] = {**_CARET, ord("\r"): "\\r", **_CODES}

# The same characters within JSON's and YAML's quotes, where they can be spelled out and read back.
QUOTED: dict[int, str] = {number: f"\\u{number:04x}" for number in ESCAPES}
_SUSPECT = frozenset(map(chr, ESCAPES))


def escaped(text: str) -> str:
    """The text as it may be printed."""
    if text.isascii() and text.isprintable():
        return text
    return text.translate(ESCAPES)


def acts(text: str) -> bool:
    """Whether a terminal would act on something in the text."""
    return not _SUSPECT.isdisjoint(text)
