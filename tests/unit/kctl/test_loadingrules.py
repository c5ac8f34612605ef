"""Which kubeconfig counts: kubectl's rules, for reading several files and for changing one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelab.client import loadingrules
from kubelab.client.kubeconfig import Kubeconfig, KubeconfigError, KubeconfigMissing
from kubelab.client.loadingrules import LoadingRules


def write(path: Path, *names: str, current: str = "", ca: str = "") -> Path:
    config = Kubeconfig()
    for name in names:
        config.set_cluster(name, server="https://127.0.0.1:1", ca=b"a", certificate=b"b", key=b"c", make_current=False)
        if ca:
            del config.document["clusters"][-1]["cluster"]["certificate-authority-data"]
            config.document["clusters"][-1]["cluster"]["certificate-authority"] = ca
    config.document["current-context"] = current
    config.write(path)
    return path


def set_cluster(rules: LoadingRules, name: str, port: int = 7) -> None:
    rules.set_cluster(name, server=f"https://127.0.0.1:{port}", ca=b"x", certificate=b"y", key=b"z")


@pytest.mark.parametrize(
    ("flag", "environ", "files", "explicit"),
    [
        ("", {"HOME": "/h"}, ("/h/.kube/config",), False),
        ("", {"HOME": "/h", "KUBECONFIG": ""}, ("/h/.kube/config",), False),
        ("", {"HOME": "/h", "KUBECONFIG": "/a:/b::/a:~/c"}, ("/a", "/b", "/h/c"), False),
        ("/f", {"HOME": "/h", "KUBECONFIG": "/a"}, ("/f",), True),
    ],
)
def test_which_files_count(flag: str, environ: dict[str, str], files: tuple[str, ...], explicit: bool) -> None:
    assert LoadingRules.of(flag, environ) == LoadingRules(tuple(map(Path, files)), explicit)


def test_the_first_file_that_says_something_wins(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "ca.crt").write_bytes(b"ca of the second")
    first = write(tmp_path / "first", "one")
    second = write(tmp_path / "sub" / "second", "two", current="two", ca="ca.crt")
    third = write(tmp_path / "third", "two", "three", current="three")
    merged = LoadingRules((tmp_path / "none", first, second, third)).load()
    assert [row.name for row in merged.contexts()] == ["one", "three", "two"]
    assert merged.current_context == "two"
    assert merged.access().ca == b"ca of the second", "a path is relative to its own file"


def test_a_named_file_must_exist_and_others_need_not(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigMissing, match="none: no such file"):
        LoadingRules((tmp_path / "none",), explicit=True).load()
    with pytest.raises(KubeconfigMissing):
        LoadingRules((tmp_path / "none", tmp_path / "nor this")).load()
    assert LoadingRules((tmp_path / "none",)).load_or_new().contexts() == []


def test_a_change_goes_to_one_file_and_leaves_the_others(tmp_path: Path) -> None:
    first = write(tmp_path / "first", "one", current="one")
    second = write(tmp_path / "second", "lab", "two", current="two")
    rules = LoadingRules((first, second))
    set_cluster(rules, "lab")
    assert [row.name for row in Kubeconfig.load(first).contexts()] == ["lab", "one"]
    assert [row.name for row in Kubeconfig.load(second).contexts()] == ["two"], "an older entry would be in the way"
    assert rules.load().current_context == "lab"
    rules.use_context("two")
    assert (Kubeconfig.load(first).current_context, rules.load().current_context) == ("two", "two")
    rules.remove_cluster("lab")
    assert [row.name for row in Kubeconfig.load(first).contexts()] == ["one"]
    assert rules.load().current_context == "two"
    with pytest.raises(KubeconfigError, match='no context exists with the name: "nope"'):
        rules.use_context("nope")


def test_what_up_has_made_goes_and_what_was_there_stays(tmp_path: Path) -> None:
    own = LoadingRules((tmp_path / "home" / ".kube" / "config",))
    set_cluster(own, "lab")
    own.remove_cluster("lab")
    assert not own.exist(), "nobody else has put anything into it"
    theirs = tmp_path / "theirs"
    theirs.write_text("preferences: {colors: true}\n")
    rules = LoadingRules((theirs,))
    set_cluster(rules, "lab")
    rules.remove_cluster("lab")
    rules.remove_cluster("lab")
    assert Kubeconfig.load(theirs).document["preferences"] == {"colors": True}


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real = write(tmp_path / "real", "one")
    link = tmp_path / "link"
    link.symlink_to(real)
    set_cluster(LoadingRules((link,)), "lab")
    assert link.is_symlink()
    assert [row.name for row in Kubeconfig.load(real).contexts()] == ["lab", "one"]


def test_kubectls_lock_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loadingrules, "LOCK_PAUSE_SECONDS", 0.0)
    path = write(tmp_path / "config", "one")
    lock = tmp_path / "config.lock"
    lock.touch()
    with pytest.raises(KubeconfigError, match=f"another program is changing it; if none is, remove {lock}"):
        set_cluster(LoadingRules((path,)), "lab")
    lock.unlink()
    set_cluster(LoadingRules((path,)), "lab")
    assert [found.name for found in tmp_path.iterdir()] == ["config"]
