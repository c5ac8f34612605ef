"""What an experiment owes: written before it is done, found by whoever comes next."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelab.chaos import ledger
from kubelab.chaos.ledger import Debt, LedgerBusy

STOPPED = Debt(ledger.START, "etcd@cp-1")
CUT = Debt(ledger.HEAL, "node-1", "cp-1", one_way=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return ledger.path_of("test", tmp_path)


def test_debts_outlive_whoever_made_them(path: Path) -> None:
    with ledger.holding(path) as first:
        first.title = "what if"
        first.owe(STOPPED)
        first.owe(CUT)
        first.owe(CUT)
    with ledger.holding(path) as second:
        assert (second.title, second.debts) == ("what if", [STOPPED, CUT])
        second.paid(STOPPED)
        second.paid(STOPPED)
    assert ledger.read(path)[0].debts == [CUT]


def test_the_file_goes_when_nothing_is_owed(path: Path) -> None:
    with ledger.holding(path) as owed:
        owed.owe(STOPPED)
        assert path.exists()
        owed.paid(STOPPED)
    assert not path.exists()


def test_one_experiment_at_a_time(path: Path) -> None:
    with ledger.holding(path) as owed:
        owed.title = "the first"
        owed.owe(STOPPED)
        message = r'another experiment is under way in this cluster: "the first", process'
        with pytest.raises(LedgerBusy, match=message), ledger.holding(path):
            pass
    with ledger.holding(path):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": 1, "title": "", "debts": [{"undo": 1}]}'])
def test_a_broken_file_is_an_empty_ledger(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert ledger.read(path)[0].debts == []


def test_debts_are_readable() -> None:
    assert [str(STOPPED), str(CUT)] == ["start etcd@cp-1", "heal node-1 → cp-1"]
