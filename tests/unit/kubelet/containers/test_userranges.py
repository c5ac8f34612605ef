"""Ranges of users for pods: no two pods share one, whatever ends in between."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kubelab.kubelet.containers.environment import ConfigError
from kubelab.kubelet.containers.userranges import UserRanges


def test_every_pod_has_its_own_and_keeps_it_over_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "state" / "users.json"
    ranges = UserRanges(file, 3)
    assert [ranges.of(uid) for uid in ("a", "b", "a", "c")] == [65_536, 131_072, 65_536, 196_608]
    again = UserRanges(file, 3)
    assert again.of("c") == 196_608
    with pytest.raises(ConfigError, match=r"spec\.hostUsers: false: all 3 ranges of users are in use"):
        again.of("d")
    again.forget("b")
    again.forget("nobody")
    assert again.of("d") == 131_072
    again.keep({"d"})
    assert json.loads(file.read_text()) == {"d": 131_072}
    assert UserRanges(file, 3).of("e") == 65_536


def test_pods_that_start_at_once_share_no_range(tmp_path: Path) -> None:
    ranges = UserRanges(tmp_path / "users.json", 200)
    with ThreadPoolExecutor(16) as workers:
        given = list(workers.map(ranges.of, [str(n) for n in range(150)]))
        assert len(set(given)) == 150
        list(workers.map(ranges.forget, [str(n) for n in range(0, 150, 2)]))
    assert not ranges.has("0")
    assert json.loads((tmp_path / "users.json").read_text()) == {str(n): given[n] for n in range(1, 150, 2)}


@pytest.mark.parametrize("text", ["", "[]", '{"a": "b"}', '{"a": true}'])
def test_a_broken_file_gives_no_range_twice(tmp_path: Path, text: str) -> None:
    file = tmp_path / "users.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"users\.json"):
        UserRanges(file, 3).of("a")
    assert file.read_text() == text
