"""What a process prints is read as it was printed."""

from __future__ import annotations

import pytest
from chaoslib.provider import process

from kubelab.chaos import decoding


@pytest.mark.parametrize("text", ["1.5\n", "ok", "", "42", "안녕 쿠버네티스\n", "é"])
def test_text_is_utf_8(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """chaostoolkit-lib#47: short ASCII texts were taken for UTF-16."""
    monkeypatch.setattr(process, "decode_bytes", process.decode_bytes)
    decoding.use()
    provider = {"type": "process", "path": "printf", "arguments": ["%s", text]}
    ran = process.run_process_activity({"type": "probe", "name": "p", "provider": provider}, {}, {})
    assert ran == {"status": 0, "stdout": text, "stderr": ""}


def test_what_is_no_utf_8_is_guessed() -> None:
    assert decoding.utf8_first("Überprüfung der Größe".encode("latin-1")) == "Überprüfung der Größe"
