"""What an experiment owes: written before it is done, found by whoever comes next."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelab.chaos import undolog
from kubelab.chaos.undolog import UndoEntry, UndoLogBusy

STOPPED = UndoEntry(undolog.START, "etcd@cp-1")
CUT = UndoEntry(undolog.HEAL, "node-1", "cp-1", one_way=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return undolog.path_of("test", tmp_path)


def test_entries_outlive_the_process_that_wrote_them(path: Path) -> None:
    with undolog.locked(path) as first:
        first.title = "what if"
        first.add(STOPPED)
        first.add(CUT)
        first.add(CUT)
    with undolog.locked(path) as second:
        assert (second.title, second.entries) == ("what if", [STOPPED, CUT])
        second.remove(STOPPED)
        second.remove(STOPPED)
    assert undolog.read(path)[0].entries == [CUT]


def test_the_file_goes_when_nothing_is_left_to_undo(path: Path) -> None:
    with undolog.locked(path) as undo_log:
        undo_log.add(STOPPED)
        assert path.exists()
        undo_log.remove(STOPPED)
    assert not path.exists()


def test_one_experiment_at_a_time(path: Path) -> None:
    with undolog.locked(path) as undo_log:
        undo_log.title = "the first"
        undo_log.add(STOPPED)
        message = r'another experiment is under way in this cluster: "the first", process'
        with pytest.raises(UndoLogBusy, match=message), undolog.locked(path):
            pass
    with undolog.locked(path):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": 1, "title": "", "entries": [{"undo": 1}]}'])
def test_a_broken_file_is_an_empty_undo_log(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert undolog.read(path)[0].entries == []


def test_entries_are_readable() -> None:
    assert [str(STOPPED), str(CUT)] == ["start etcd@cp-1", "heal node-1 → cp-1"]
