"""When a member of etcd begins a cluster, joins one or goes on, in containers and in local clusters."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = (ROOT / "deploy/images/etcd-container", ROOT / "services/kubelab/supervisor/etcd-member")
FAKES = {
    "etcd": 'echo "$@"',
    # the others begin to answer after so many seconds as the file says; nobody waits for them
    "sleep": 'seconds=$(cat "$FOLDER/late"); [ "$seconds" = 1 ] && touch "$FOLDER/well/etcd-2"\n'
    'echo $((seconds - 1)) >"$FOLDER/late"',
    "etcdctl": 'for last in "$@"; do :; done\n'
    "host=${1#--endpoints=https://}; host=${host%:*}\n"
    'case "$*" in\n'
    '*"endpoint health") [ -e "$FOLDER/well/$host" ] ;;\n'
    '*"member list") cat "$FOLDER/members" ;;\n'
    '*"member remove"*) grep -v "^$last," "$FOLDER/members" >"$FOLDER/fewer"; mv "$FOLDER/fewer" "$FOLDER/members" ;;\n'
    "esac",
}
MEMBERS = """\
a1, started, cp-1, https://etcd:2380, https://etcd:2379, false
b2, started, cp-2, https://etcd-2:2380, https://etcd-2:2379, false
c3, started, cp-3, https://etcd-3:2380, https://etcd-3:2379, false
"""


@dataclass
class Member:
    """cp-1: its two volumes, and the programs that it starts, below a folder."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self) -> subprocess.CompletedProcess[str]:
        """Run the script to where etcd would go on; its stdout is what etcd was told."""
        return subprocess.run(
            [self.folder / "bin/etcd-container", "cp-1", "etcd", "etcd-2", "etcd-3"],
            env={"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "FOLDER": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )

    def has_written(self) -> None:
        """Etcd has begun: its log is there."""
        (self.data / "member/wal").mkdir(parents=True)
        (self.data / "member/wal/0.wal").write_text("entries")
        (self.data / "member/snap").mkdir()
        (self.data / "member/snap/db").write_bytes(bytes(200_000))

    def lose_log(self) -> None:
        """Only the snapshots and the database are left."""
        shutil.rmtree(self.data / "member/wal")

    def lose_data(self) -> None:
        """Another volume is mounted where the data were."""
        self.data.rename(self.folder / "lost")
        self.data.mkdir()


@pytest.fixture
def member(tmp_path: Path) -> Member:
    for name in ("bin", "data", "well", "keys/etcd@cp-1"):
        (tmp_path / name).mkdir(parents=True)
    for name, text in FAKES.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    (tmp_path / "late").write_text("0")
    (tmp_path / "members").write_text(MEMBERS)
    for script in SCRIPTS:
        copy = tmp_path / "bin" / script.name
        text = script.read_text().replace("/etc/kubelab", f"{tmp_path}/keys")
        copy.write_text(text.replace("/var/lib/etcd", f"{tmp_path}/data"))
        copy.chmod(0o755)
    return Member(tmp_path)


def test_the_first_member_begins_a_cluster(member: Member) -> None:
    assert "--initial-cluster=cp-1=https://etcd:2380 --initial-cluster-state=new" in member.start().stdout


def test_a_beginning_that_was_interrupted_is_made_again(member: Member) -> None:
    member.start()
    assert "--initial-cluster-state=new" in member.start().stdout


def test_who_has_data_goes_on_with_them_alone(member: Member) -> None:
    member.start()
    member.has_written()
    assert "--initial-cluster-state=existing" in member.start().stdout


def test_a_cluster_whose_data_are_gone_is_not_begun_a_second_time(member: Member) -> None:
    member.start()
    member.has_written()
    member.lose_data()
    refused = member.start()
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "etcd: the data of cp-1 are gone, and no majority of the other members answers" in refused.stderr
    assert "https://etcd-2:2379 https://etcd-3:2379" in refused.stderr
    assert "docker compose down --volumes" in refused.stderr
    assert member.start().returncode == 1, "the next start of the container has not forgotten it"


def test_a_member_that_lost_only_its_log_does_not_begin_with_the_rest(member: Member) -> None:
    member.start()
    member.has_written()
    member.lose_log()
    assert member.start().returncode == 1
    assert (member.data / "member/snap/db").exists(), "what is left is not touched while nobody can join"
    (member.folder / "late").write_text("5")
    assert "--initial-cluster-state=existing" in member.start().stdout
    assert not (member.data / "member").exists()


def test_a_join_that_was_interrupted_goes_on_without_a_majority(member: Member) -> None:
    """The announced member counts: the others may have no majority without it."""
    member.start()
    member.has_written()
    member.lose_data()
    (member.folder / "late").write_text("5")
    told = member.start().stdout
    for well in (member.folder / "well").iterdir():
        well.unlink()
    (member.folder / "late").write_text("0")
    assert member.start().stdout == told


def test_data_from_before_there_was_a_note_of_them_are_noted(member: Member) -> None:
    member.has_written()
    member.start()
    member.lose_data()
    assert member.start().returncode == 1


def test_who_has_lost_its_data_waits_for_the_others_and_joins_them(member: Member) -> None:
    member.start()
    member.has_written()
    member.lose_data()
    (member.folder / "late").write_text("5")
    told = member.start().stdout
    assert "--initial-cluster-state=existing" in told
    assert "--initial-cluster=cp-2=https://etcd-2:2380,cp-3=https://etcd-3:2380,cp-1=https://etcd:2380 " in told
    assert "a1" not in (member.folder / "members").read_text(), "the member that it was is taken out first"
