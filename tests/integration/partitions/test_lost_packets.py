"""Partitions, felt by real processes: on connections that are open, on new ones, and after they are healed."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from kubelab.topology.partitions import Partition, scripts

from .talkers import CONNECTIONS, Talk

pytestmark = pytest.mark.root

QUIET = 0.15  # seconds without a word before it counts as lost; what is not lost is there within a millisecond

TO_API = {"kubelet-api>", "proxy-api>", "pod-api>", "api-kubelet<", "api-pod<"}
FROM_API = {"kubelet-api<", "proxy-api<", "pod-api<", "api-kubelet>", "api-pod>"}
# What is lost one way: > from the connection's client to its server, < back.
ONE_WAY = {
    ("cp-1", "node-1"): FROM_API | {"scheduler-kubelet>"},
    ("node-1", "cp-1"): TO_API | {"scheduler-kubelet<"},
    ("api-server@cp-1", "node-1"): FROM_API,
    ("node-1", "api-server@cp-1"): TO_API,
    ("kubelet@node-1", "cp-1"): {"kubelet-api>", "api-kubelet<", "scheduler-kubelet<"},
    ("cp-1", "kubelet@node-1"): {"kubelet-api<", "api-kubelet>", "scheduler-kubelet>"},
    ("kubelet@node-1", "api-server@cp-1"): {"kubelet-api>", "api-kubelet<"},
    ("api-server@cp-1", "kubelet@node-1"): {"kubelet-api<", "api-kubelet>"},
    ("kube-proxy@node-1", "api-server@cp-1"): {"proxy-api>"},
    ("api-server@cp-1", "kube-proxy@node-1"): {"proxy-api<"},
    ("scheduler@cp-1", "api-server@cp-1"): {"scheduler-api>", "scheduler-api-lo>"},
    ("api-server@cp-1", "scheduler@cp-1"): {"scheduler-api<", "scheduler-api-lo<"},
    ("api-server@cp-1", "etcd@cp-1"): {"api-etcd>"},
    ("etcd@cp-1", "api-server@cp-1"): {"api-etcd<"},
    ("scheduler@cp-1", "kube-proxy@node-1"): set[str](),  # they do not talk
}
CASES = [(Partition(a, b, one_way=True), lost) for (a, b), lost in ONE_WAY.items()] + [
    (Partition(a, b), lost | ONE_WAY[b, a]) for (a, b), lost in ONE_WAY.items() if (b, a) in ONE_WAY and a < b
]


def named(case: object) -> str:
    return f"{case.source}{'->' if case.one_way else '<->'}{case.target}" if isinstance(case, Partition) else ""


@pytest.fixture(scope="module")
def talk() -> Generator[Talk]:
    made = Talk(f"kl-pt-{os.getpid()}")
    try:
        made.build()
        yield made
    finally:
        made.remove()


def put(talk: Talk, *partitions: Partition) -> None:
    for node, script in scripts(talk.topology(), partitions).items():
        talk.apply(node, script)


def unheard(talk: Talk, expected: set[str]) -> set[str]:
    """Let everybody say a word, and give which of them are lost: nobody waits for those that should be."""
    words = talk.say()
    hopeful = {name: {k: v for k, v in told.items() if k not in expected} for name, told in words.items()}
    hopeless = {name: {k: v for k, v in told.items() if k in expected} for name, told in words.items()}
    return talk.lost(hopeful, seconds=5) | talk.lost({n: t for n, t in hopeless.items() if t}, seconds=QUIET)


@pytest.mark.parametrize(("partition", "lost"), CASES, ids=named)
def test_what_is_lost_and_nothing_else(talk: Talk, partition: Partition, lost: set[str]) -> None:
    assert unheard(talk, set()) == set()  # and nobody has a window still closed by what was lost before
    put(talk, partition)
    try:
        words = talk.say()
        hopeful = {n: {k: v for k, v in told.items() if k not in lost} for n, told in words.items()}
        assert talk.lost(hopeful, seconds=5) == set()
        assert talk.lost({n: t for n, t in words.items() if lost & t.keys()}, seconds=QUIET) == lost
        cut = {word[:-1] for word in lost}
        for connection in CONNECTIONS:
            name, is_cut = f"new-{talk.said}-{connection.name}", connection.name in cut
            told = talk.open(connection, name=name, seconds=QUIET if is_cut else 5)
            assert told == ("TimeoutError" if is_cut else "open"), connection
    finally:
        put(talk)
    assert talk.lost(words, seconds=10) == set(), "open connections go on where they were, nothing was refused"


def test_several_at_once(talk: Talk) -> None:
    cut = [Partition("kube-proxy@node-1", "api-server@cp-1"), Partition("scheduler@cp-1", "api-server@cp-1")]
    lost = {"proxy-api>", "proxy-api<", "scheduler-api>", "scheduler-api<", "scheduler-api-lo>", "scheduler-api-lo<"}
    put(talk, *cut)
    try:
        assert unheard(talk, lost) == lost
        put(talk, cut[0])
        assert unheard(talk, {"proxy-api>", "proxy-api<"}) == {"proxy-api>", "proxy-api<"}
    finally:
        put(talk)


def test_a_connection_that_is_younger_than_the_partition_but_not_cut_by_it(talk: Talk) -> None:
    """Who has opened a connection is known for those that are opened meanwhile as well."""
    put(talk, Partition("kube-proxy@node-1", "api-server@cp-1"))
    try:
        api = next(c for c in CONNECTIONS if c.name == "kubelet-api")
        assert talk.open(api, name="young") == "open"
        assert talk.talkers["api-server@cp-1"].has("young")
        put(talk, Partition("kubelet@node-1", "api-server@cp-1", one_way=True))
        talk.talkers["kubelet@node-1"].say("young", "young>")
        talk.talkers["api-server@cp-1"].say("young", "young<")
        assert talk.talkers["kubelet@node-1"].heard(["young<"], seconds=5) == {"young<"}
        assert talk.talkers["api-server@cp-1"].heard(["young>"], seconds=QUIET) == set()
    finally:
        put(talk)


@pytest.fixture
def unmarked() -> Generator[Talk]:
    made = Talk(f"kl-pu-{os.getpid()}")
    try:
        made.build(marking=False)
        yield made
    finally:
        made.remove()


@pytest.mark.parametrize(
    ("a", "b"), [("api-server@cp-1", "kubelet@node-1"), ("kubelet@node-1", "api-server@cp-1"), ("cp-1", "node-1")]
)
def test_connections_that_are_older_than_their_marks(unmarked: Talk, a: str, b: str) -> None:
    """A cluster that was there before: not even the first packet from another node gets through."""
    unmarked.mark()
    put(unmarked, Partition(a, b, one_way=True))
    lost = ONE_WAY[a, b]
    words = unmarked.say()
    assert unmarked.lost({n: t for n, t in words.items() if lost & t.keys()}, seconds=QUIET) & lost == lost
