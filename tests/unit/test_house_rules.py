"""Rules of the house that no linter knows: they are read off the source itself."""

from __future__ import annotations

import ast
import functools
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for folder in ("base", "clients", "services") for path in (ROOT / folder).rglob("*.py"))
CLOCK = ROOT / "base/kubelab/apimachinery/clock.py"

# Calls that read the machine's time or wait by it. Whoever needs one is given a Clock.
TIME = {
    *("time.time", "time.monotonic", "time.sleep", "datetime.now", "datetime.datetime.now"),
    *("asyncio.sleep", "asyncio.timeout", "asyncio.timeout_at", "asyncio.wait_for"),
}
TIMERS = ("call_later", "call_at")  # of an event loop
DEADLINES = {  # who waits for what no clock of a test could hurry
    "clients/kubelab/client/transport.py": "a connection, which the kernel makes or refuses",
    "clients/kubelab/cluster/launch.py": "another process, to begin or to end",
    "clients/kubelab/cluster/programs.py": "another program",
    "tests/support/apiserver.py": "a test that waits for what has surely been sent",
    "tests/support/clock.py": "nothing: it is the clock of tests",
    "tests/support/cri.py": "a test that waits for what has surely been sent",
}
OWNED = {  # who looks after a task without a TaskGroup, because its first end or its caller's decides
    "clients/kubelab/cluster/compose.py": "what is listened to goes on while a pause is over; cancelled at the end",
    "clients/kubelab/kctl/remotecommand/cp.py": "a thread that packs or unpacks ends with its pipe, and is waited for",
    "clients/kubelab/kctl/remotecommand/streams.py": "what is sent counts no more when the command has ended",
    "tests/support/clock.py": "a TaskGroup would wait for the timer",
    "services/kubelab/apiserver/storage/etcd.py": "a guard ends with its watch",
    "services/kubelab/apiserver/storage/members.py": "the first of several counts, the others are cancelled",
    "services/kubelab/component/component.py": "the first of several events counts, the others are cancelled",
    "services/kubelab/kubelet/logs/follow.py": "the first of several counts, the others are cancelled",
    "services/kubelab/runtime/__main__.py": "the first of several counts, the others are cancelled",
    "services/kubelab/runtime/build/running.py": "a step that is cancelled is waited for",
    "services/kubelab/runtime/pods/commands.py": "the end of a command is waited for when its caller is cancelled",
    "services/kubelab/runtime/pods/uninterruptible.py": "a change goes on when its caller is cancelled",
}
PACES = {  # who may look again after a while, or go at a pace
    "tests/support/polling.py": "for what nothing tells of",
    "tests/e2e/terminal.py": "eyes: what a person sees is printed by commands, which tell of no change",
    "tests/e2e/test_faults.py": "requests come at a pace",
}


class Call(NamedTuple):
    """What is called where, with its first argument: "" for none. The trees themselves would fill the memory."""

    line: int
    name: str
    given: str


class Reading(NamedTuple):
    """What the rules look for in a file, which is read once for all of them."""

    calls: tuple[Call, ...]
    told_by_text: tuple[int, ...]  # lines that look for something in the text of an error
    rules_by_hand: tuple[int, ...]  # lines that put a kernel rule together from text


@functools.cache
def read(path: Path) -> Reading:
    calls: list[Call] = []
    told_by_text: list[int] = []
    rules_by_hand: list[int] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            calls.append(Call(node.lineno, dotted(node.func), ast.unparse(node.args[0]) if is_short(node) else ""))
        elif isinstance(node, ast.Compare) and is_looked_up_in_text(node):
            told_by_text.append(node.lineno)
        if RULE_WORDS.search(made_by_hand(node)):
            rules_by_hand.append(getattr(node, "lineno", 0))
    return Reading(tuple(calls), tuple(told_by_text), tuple(rules_by_hand))


def dotted(node: ast.expr) -> str:
    """Give the source of what is called, without parentheses around its parts; quicker than to unparse all of it."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{dotted(value)}.{name}"
        case _:
            return ast.unparse(node)


def is_looked_up_in_text(node: ast.Compare) -> bool:
    text = ast.unparse(node) if any(isinstance(op, ast.In) for op in node.ops) else ""
    return "str(err)" in text or "str(error)" in text


def is_short(call: ast.Call) -> bool:
    return bool(call.args) and isinstance(call.args[0], ast.Constant)


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def test_every_package_that_lies_in_one_folder_says_what_lives_there() -> None:
    """docs/decisions/0001: ``kubelab`` and ``kubelab.rpc`` span several folders."""
    spanning = [ROOT / "base/kubelab/rpc"]
    packages = sorted({path.parent for path in SOURCES})
    silent = [folder for folder in packages if folder not in spanning and not _docstring(folder / "__init__.py")]
    assert names(silent) == []
    assert not any((folder / "__init__.py").exists() for folder in spanning)
    assert not any((ROOT / root / "kubelab/__init__.py").exists() for root in ("base", "clients", "services"))


def _docstring(path: Path) -> str | None:
    return ast.get_docstring(ast.parse(path.read_text())) if path.exists() else None


def test_time_comes_from_the_clock() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in SOURCES
        if path != CLOCK and str(path.relative_to(ROOT)) not in DEADLINES
        for line, name, given in read(path).calls
        if (name in TIME or name.endswith(TIMERS)) and not is_a_turn(name, given)
    ]
    assert found == []


def is_a_turn(name: str, given: str) -> bool:
    """``asyncio.sleep(0)`` lets others run, and waits for no time."""
    return name == "asyncio.sleep" and given == "0"


def test_every_task_has_an_owner() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in SOURCES
        if str(path.relative_to(ROOT)) not in OWNED
        for line, name, _ in read(path).calls
        if name in ("asyncio.create_task", "asyncio.ensure_future")
        or (name.endswith(".create_task") and "loop" in name)
    ]
    assert found == []


def test_channels_are_opened_in_one_place() -> None:
    """There they get keepalive and a quick reconnect, and none leads through $http_proxy, as gRPC's do by default."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCES
        if path != ROOT / "base/kubelab/rpc/channels.py"
        for line, name, _ in read(path).calls
        if name.endswith((".insecure_channel", ".secure_channel"))
    ]
    assert found == []


def test_errors_are_told_apart_by_type_and_never_by_their_text() -> None:
    found = [f"{path.relative_to(ROOT)}:{line}" for path in SOURCES for line in read(path).told_by_text]
    assert found == []


@pytest.mark.parametrize("folder", ["unit", "integration", "e2e", "compose", "."])
def test_tests_wait_for_conditions(folder: str) -> None:
    files = (ROOT / "tests" / folder).glob("*.py" if folder == "." else "**/*.py")
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in files
        if str(path.relative_to(ROOT)) not in PACES
        for line, name, given in read(path).calls
        if (name in ("time.sleep", "asyncio.sleep") and not is_a_turn(name, given))
        or name.endswith(TIMERS)
        or is_a_pause(name, given)
    ]
    assert found == []


def is_a_pause(name: str, given: str) -> bool:
    """``Event().wait(0.05)``: less than a second is no deadline but a sleep by another name."""
    return name.endswith(".wait") and bool(re.fullmatch(r"0?\.\d+|\d+(?:\.\d*)?e-\d+", given))


@pytest.mark.parametrize("exceptions", [DEADLINES, OWNED, PACES], ids=["deadlines", "owned", "paces"])
def test_exceptions_are_of_files_that_are_there(exceptions: dict[str, str]) -> None:
    assert [name for name in exceptions if not (ROOT / name).exists()] == []


RULE_WORDS = re.compile(
    r"\b(?:add|delete|flush|create|insert|replace|destroy) (?:table|chain|rule|element|map|set|ruleset)\b"
    r"|\bhook (?:ingress|prerouting|input|forward|output|postrouting)\b"
    r"|\b(?:ip|ip6|ether) [sd]addr\b|\b(?:tcp|udp|th) [sd]port\b|\bmeta l4proto\b|\bct (?:mark|state|count|status)\b"
    r"|\b(?:vmap|masquerade|numgen|iifname|oifname)\b"
)


def made_by_hand(node: ast.AST) -> str:
    """The constant text of an f-string, of ``%``, of ``+`` or of ``.format``; "" for anything else."""
    match node:
        case ast.JoinedStr(values=values) if any(isinstance(one, ast.FormattedValue) for one in values):
            parts: list[ast.AST] = [*values]
        case ast.BinOp(left=left, op=ast.Mod() | ast.Add(), right=right):
            parts = [left, right]
        case ast.Call(func=ast.Attribute(value=ast.Constant() as text, attr="format")):
            parts = [text]
        case _:
            return ""
    return " ".join(one.value for one in parts if isinstance(one, ast.Constant) and isinstance(one.value, str))


def test_kernel_rules_are_made_of_typed_values_alone() -> None:
    found = [f"{path.relative_to(ROOT)}:{line}" for path in SOURCES for line in read(path).rules_by_hand]
    assert found == []


def test_whatever_is_handed_to_nft_was_made_of_typed_values() -> None:
    """Who runs ``nft -f -`` gives it ``script(...)``, which takes nothing else."""
    found = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if re.search(r'"-f", "-"', (text := path.read_text())) and "nft" in text and "script(" not in text
    ]
    assert found == []


def test_no_module_needs_itself() -> None:
    """Imports inside of functions and for types count: two modules that need each other are one, or need a third."""
    graph = grimp.build_graph("kubelab", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    circles: list[list[str]] = []
    while True:
        try:
            TopologicalSorter(imports).prepare()
        except CycleError as err:
            circle: list[str] = err.args[1]
            circles.append(circle)
            imports[circle[1]].discard(circle[0])
        else:
            break
    assert circles == []
