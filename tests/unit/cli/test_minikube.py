"""minikube's words without a cluster: each is a command, or says what does it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kubelab.apimachinery.version import GIT_VERSION
from kubelab.cli.__main__ import COMMANDS, main
from kubelab.cli.minikube import words

# `minikube --help` of version 1.35, but for commands about minikube's own installation.
MINIKUBE = (
    *(
        "start",
        "status",
        "stop",
        "delete",
        "dashboard",
        "pause",
        "unpause",
        "docker-env",
        "podman-env",
        "cache",
        "image",
    ),
    *("addons", "config", "profile", "update-context", "service", "tunnel", "mount", "ssh", "kubectl", "node", "cp"),
    *("ssh-key", "ssh-host", "ip", "logs", "version"),
)


@pytest.fixture(autouse=True)
def empty_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBELAB_HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("KUBELAB_CLUSTER", raising=False)


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.mark.parametrize("word", MINIKUBE)
def test_every_word_of_minikube_is_known(word: str) -> None:
    assert word in {*COMMANDS, *words.COMMANDS, *words.ELSEWHERE}
    assert [word in some for some in (COMMANDS, words.COMMANDS, words.ELSEWHERE)].count(True) == 1


@pytest.mark.parametrize("word", words.COMMANDS)
def test_a_word_has_help(capsys: pytest.CaptureFixture[str], word: str) -> None:
    if word == "kubectl":  # its --help is kctl's
        return
    code, out, _ = run(capsys, word, "--help")
    assert code == 0
    assert out.startswith(f"Usage: kubelab {word} ")


@pytest.mark.parametrize("word", words.ELSEWHERE)
def test_a_word_without_a_command_says_what_does_it(capsys: pytest.CaptureFixture[str], word: str) -> None:
    code, out, err = run(capsys, word, "--flag", "argument")
    assert (code, out) == (1, "")  # `eval $(kubelab docker-env)` runs nothing
    assert err.startswith(f'Error: "{word}" is no command of kubelab: ')


def test_an_unknown_word_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "statsu", "-f", "x") == (
        1,
        "",
        'Error: unknown command "statsu" for "kubelab"\n\nDid you mean this?\n\tstatus\n\tstart\n\n'
        "Run 'kubelab --help' for usage.\n",
    )


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "version")[1] == f"kubelab version: {GIT_VERSION}\n"
    assert run(capsys, "version", "--short")[1] == f"{GIT_VERSION}\n"
    assert json.loads(run(capsys, "version", "-o", "json")[1]) == {"kubelabVersion": GIT_VERSION}


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["profile", "list"], "No kubelab profile was found."),
        (["profile", "other"], 'cluster "other" not found; start it with: kubelab start --name other'),
        (["update-context"], 'cluster "kubelab" not found'),
        (["ip"], 'cluster "kubelab" not found; start it with: kubelab up'),
        (["pause", "--profile", "lab"], 'cluster "lab" not found; start it with: kubelab up --name lab'),
        (["config", "set", "memory", "4096"], "kubelab up --set COMPONENT.KEY=VALUE"),
        (["node", "add"], "kubelab up --name OTHER --nodes N"),
        (["logs", "-f"], "name the component to follow"),
        (["service"], "name a service, or list, or give --all"),
        (["start", "--no-such-flag"], "No such option"),
    ],
)
def test_what_cannot_be_done_says_why(capsys: pytest.CaptureFixture[str], argv: list[str], told: str) -> None:
    code, _, err = run(capsys, *argv)
    assert code == 1
    assert told in err


def test_delete_of_what_is_not_there_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["delete"], ["delete", "--all"], ["stop"]):
        assert run(capsys, *argv)[0] == 0


@pytest.mark.parametrize(("word", "known"), [("list", "ls"), ("remove", "rm"), ("unload", "rm")])
def test_images_have_minikubes_other_words(capsys: pytest.CaptureFixture[str], word: str, known: str) -> None:
    shown = run(capsys, "image", word, "--help")[1]
    assert shown == run(capsys, "image", known, "--help")[1].replace(f"image {known}", f"image {word}")
    assert f"  {word} " not in run(capsys, "image", "--help")[1]
