"""The user's editor on a temporary file: ``$KUBE_EDITOR``, ``$EDITOR`` or vi, as kubectl starts it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from kubelab.kctl.session import Failed

VARIABLES = ("KUBE_EDITOR", "EDITOR")
DEFAULT = "vi"
_NEEDS_SHELL = frozenset("\"'\\")


def command(environ: Mapping[str, str], path: str) -> list[str]:
    """Give the command that opens a file; one with quotes is left to the shell."""
    editor = next((environ[name] for name in VARIABLES if environ.get(name)), DEFAULT)
    if _NEEDS_SHELL & set(editor):
        return [environ.get("SHELL") or "/bin/bash", "-c", f'{editor} "{path}"']
    return [*editor.split(" "), path] if " " in editor else [editor, path]


def edit(text: str, environ: Mapping[str, str], *, suffix: str, windows: bool = False) -> tuple[str, Path]:
    """Let the user edit a text; gives it as it is then, and the file that has it. Raises Failed.

    With ``windows``, lines end with CR LF in the file; the text that is given has LF.
    """
    handle, name = tempfile.mkstemp(prefix="kctl-edit-", suffix=suffix)  # readable for nobody else
    path = Path(name)
    with os.fdopen(handle, "w", encoding="utf-8", newline="\r\n" if windows else "\n") as file:
        file.write(text)
    words = command(environ, name)
    try:
        subprocess.run(words, check=True)
        return path.read_text(encoding="utf-8"), path
    except subprocess.CalledProcessError as err:
        path.unlink(missing_ok=True)
        raise Failed(f'error: there was a problem with the editor "{words[0]}"') from err
    except (OSError, UnicodeDecodeError) as err:
        path.unlink(missing_ok=True)
        raise Failed(f'error: unable to launch the editor "{words[0]}"') from err
