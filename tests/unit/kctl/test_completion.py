"""``kctl completion``: what shells ask for, and the code that they evaluate."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kubelab.apimachinery.errors import Unavailable
from kubelab.kctl.completion.command import SHELLS
from tests.support.objects import node as make_node
from tests.support.objects import pod as make_pod
from tests.unit.kctl.conftest import Shell


@pytest.fixture(autouse=True)
def objects(shell: Shell, tmp_path: Path) -> None:
    shell.server.add(make_pod("web-1"), make_pod("web-2"), make_pod("other", namespace="user"), make_node("cp-1"))
    shell.environ["PATH"] = str(tmp_path)


ASKED = {
    "get|po": "pods poddisruptionbudgets.policy",
    "get|pods|": "web-1 web-2",
    "get|pods|web-1|": "web-2",
    "get|pods|-n|user|": "other",
    "-n|user|get|pods|": "other",
    "get|pod/": "pod/web-1 pod/web-2",
    "logs|w": "web-1 web-2",
    "config|use-context|": "test",
    "--context|": "test",
    "get|--context=": "test",
    "get|pods|-o|js": "json jsonpath jsonpath-as-json jsonpath-file",
    "get|--sort": "--sort-by",
    "config|view|--mini": "--minify",
    "config|get-c": "get-clusters get-contexts",
    "completion|": "bash fish zsh",
    "ver": "version",
    "explain|pods|": "",
    "get|pods|nope": "",
    "nope|": "",
}


@pytest.mark.parametrize("words", ASKED)
def test_candidates(shell: Shell, words: str) -> None:
    asked = shell("__complete", *words.split("|"))
    *lines, directive = asked.stdout.splitlines()
    assert " ".join(line.partition("\t")[0] for line in lines) == ASKED[words]
    assert (asked.code, asked.stderr, directive) == (0, "", ":4")


def test_files_are_candidates_of_a_file_flag(shell: Shell) -> None:
    assert shell("__complete", "create", "-f", "").stdout == ":0\n"


def test_a_cluster_that_is_down_has_no_names(shell: Shell) -> None:
    shell.server.fail(Unavailable("down"), verb="list")
    assert shell("__complete", "get", "pods", "").stdout == ":4\n"


def test_no_kubeconfig_has_no_names(shell: Shell) -> None:
    shell.kubeconfig.unlink()
    assert shell("__complete", "get", "pods", "").stdout == ":4\n"


@pytest.mark.parametrize("name", SHELLS)
def test_code_for_shells(shell: Shell, name: str) -> None:
    assert shell("completion", name).stdout == SHELLS[name]
    assert shell("completion", "csh").stderr.startswith('error: Unsupported shell type "csh".\n')
    assert shell("completion").stderr.startswith("error: Shell not specified.\n")


def test_bash_completes(tmp_path: Path) -> None:
    """A real bash evaluates the code and completes a word with what a program answers."""
    bash = shutil.which("bash")
    assert bash
    program = tmp_path / "kctl"
    program.write_text('#!/bin/sh\nprintf "%s\\tabout\\n" "$*" web-1 web-2 other; echo ":4"\n')
    program.chmod(0o755)
    (tmp_path / "code").write_text(SHELLS["bash"])
    script = """
        source "$1/code"
        COMP_WORDS=("$1/kctl" get pods we) COMP_CWORD=3
        __start_kctl 2>/dev/null
        echo "${COMPREPLY[@]}"
    """
    done = subprocess.run([bash, "-c", script, "bash", str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "web-1 web-2\n"
