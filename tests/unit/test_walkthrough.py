"""How a document's commands are read and compared, and that the tutorial says the same in both languages."""

from __future__ import annotations

import pytest

from tests.e2e.terminal import ROOT
from tests.support.walkthrough import difference, steps

DOCUMENT = """\
Words.

```console
$ one
a
b

$ two | sort
```

```sh
$ not typed
```
"""


def test_commands_are_read_with_their_output() -> None:
    assert [(step.command, step.output, step.line) for step in steps(DOCUMENT)] == [
        ("one", ("a", "b"), 4),
        ("two | sort", (), 8),
    ]
    with pytest.raises(ValueError, match="line 2: a block begins with its command: 'output'"):
        steps("```console\noutput\n```\n")


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        (["a", "b"], "a\nb\n"),
        (["a", "…", "c"], "a\nb\nb\nc\n"),
        (["…"], ""),
        (["…", "c"], "c\n"),
        (["web   1/1   Running   0   1s"], "web   1/1   Running   0          2m13s\n"),
        (["http://127.0.0.1:1 |---|"], "http://127.0.0.1:65000 |-----|\n"),
        (["replication-controller-abcde gone"], "replication-controller-x2z4k gone\n"),
        (['Cluster "kubelab" is up; kubelab status'], 'Cluster "t-9" is up; kubelab status --name t-9\n'),
    ],
)
def test_what_varies_by_nature_is_equal(expected: list[str], printed: str) -> None:
    assert difference(expected, printed, cluster="t-9") == ""


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        (["a"], ""),
        ([], "a\n"),
        (["a", "…", "c"], "a\nb\n"),
        (["a", "c"], "a\nb\nc\n"),
        (["web 1/1 Running"], "web 0/1 Running\n"),
        (["cp-1 Ready"], "cp-2 Ready\n"),
        (["192.168.49.2"], "192.168.49.3\n"),
    ],
)
def test_all_else_is_a_difference(expected: list[str], printed: str) -> None:
    assert difference(expected, printed)


def test_nodes_vary_where_that_is_asked_for() -> None:
    expected = "scheduler@cp-1            cp-1     7325   5s      0          Healthy   20Mi     leader"
    printed = "scheduler@cp-3            cp-3     99     1m2s    0          Healthy   9Mi      leader\n"
    assert difference([expected], printed, nodes_vary=True) == ""
    assert difference([expected], printed)


def test_the_tutorial_is_the_same_in_both_languages() -> None:
    english, korean = (steps((ROOT / "docs" / name).read_text()) for name in ("tutorial.md", "tutorial.ko.md"))
    assert [(step.command, step.output) for step in english] == [(step.command, step.output) for step in korean]
    assert len(english) > 50
