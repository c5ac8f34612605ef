"""Whom a container runs as, by what its root says."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from kubelab.runtime.rootfs import users
from kubelab.runtime.rootfs.inroot import Root

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
broken:x:not:a:number:/:/bin/sh
huge:x:99999999999:1::/:/bin/sh
short:x:5
web:x:33:34:web:/srv:/bin/sh
homeless:x:40:41:::/bin/sh
"""
GROUP = "root:x:0:\nstaff:x:50:web,other\nbroken:x:many:web\nlogs:x:60:other,web\n"


@pytest.fixture
def root(tmp_path: Path) -> Generator[Root]:
    (tmp_path / "usr/etc").mkdir(parents=True)
    (tmp_path / "etc").symlink_to("/usr/etc")  # of the image, as the image means it
    (tmp_path / "usr/etc/passwd").write_text(PASSWD)
    (tmp_path / "usr/etc/group").write_text(GROUP)
    with Root.at(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("root", (0, 0, "/root", ())),
        ("0", (0, 0, "/root", ())),
        ("web", (33, 34, "/srv", (50, 60))),
        ("33", (33, 34, "/srv", (50, 60))),
        ("web:staff", (33, 50, "/srv", ())),
        ("web:7", (33, 7, "/srv", ())),
        ("homeless", (40, 41, "/", ())),
        ("7:8", (7, 8, "/", ())),
        ("2147483647", (2147483647, 0, "/", ())),
    ],
)
def test_a_user_is_found_by_name_and_number(
    root: Root, wanted: str, expected: tuple[int, int, str, tuple[int, ...]]
) -> None:
    found = users.find(wanted, root)
    assert (found.uid, found.gid, found.home, found.groups) == expected


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("nobody-here", "unable to find user nobody-here"),
        ("web:no-group", "unable to find group no-group"),
        ("broken", "unable to find user broken"),
        ("huge", "unable to find user huge"),
        ("web:broken", "unable to find group broken"),
        ("", "unable to find user"),
        ("-1", "unable to find user -1"),
        ("2147483648", "range 0-2147483647"),
        ("1:99999999999", "range 0-2147483647"),
    ],
)
def test_a_user_that_is_none_is_told(root: Root, wanted: str, told: str) -> None:
    with pytest.raises(users.UnknownUser, match=told):
        users.find(wanted, root)


@pytest.mark.parametrize("place", ["/etc", "../../../../../etc", "/dev/null", "loop"])
def test_the_files_of_the_machine_are_not_asked(tmp_path: Path, place: str) -> None:
    (tmp_path / "etc").symlink_to(place)
    (tmp_path / "loop").symlink_to("etc")
    with Root.at(tmp_path) as opened:
        assert users.find("0", opened) == users.Identity(0, 0)
        with pytest.raises(users.UnknownUser):
            users.find("root", opened)


def process(**user: Any) -> dict[str, Any]:
    every = ["CAP_CHOWN"]
    return {
        "user": {"additionalGids": [], "merge": True, **user},
        "env": ["PATH=/bin"],
        "capabilities": {"bounding": every, "effective": every, "permitted": every},
    }


def test_what_follows_from_a_user(root: Root) -> None:
    made = process(username="web", gid=7, additionalGids=[60, 61])
    users.settle(made, root)
    assert made["user"] == {"uid": 33, "gid": 7, "additionalGids": [7, 60, 61, 50]}
    assert made["env"] == ["PATH=/bin", "HOME=/srv"]
    assert made["capabilities"] == {"bounding": ["CAP_CHOWN"], "effective": [], "permitted": []}
    made = process(username="0")
    made["env"].append("HOME=/own")
    users.settle(made, root)
    assert made["user"] == {"uid": 0, "gid": 0, "additionalGids": [0]}
    assert made["env"] == ["PATH=/bin", "HOME=/own"]
    assert made["capabilities"]["effective"] == ["CAP_CHOWN"]


def test_the_groups_of_the_image_are_left_out_where_the_pod_says_so(root: Root) -> None:
    made = process(username="web", gid=7, additionalGids=[60], merge=False)
    users.settle(made, root)
    assert made["user"] == {"uid": 33, "gid": 7, "additionalGids": [7, 60]}
