"""What policy rules allow, and which rules cover others."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.apimachinery.rbac import rules
from kubelab.apimachinery.rbac.rules import Rule

PODS = Rule(("get",), ("",), ("pods",))


@pytest.mark.parametrize(
    ("rule", "target", "allowed"),
    [
        (PODS, "get//pods//", True),
        (PODS, "get//pods//web", True),
        (PODS, "list//pods//", False),
        (PODS, "get/apps/pods//", False),
        (PODS, "get//pods/log/web", False),
        (PODS._replace(resources=("pods/log",)), "get//pods/log/web", True),
        (PODS._replace(resources=("pods/log",)), "get//pods//web", False),
        (PODS._replace(resources=("*/log",)), "get//pods/log/web", True),
        (PODS._replace(resources=("*/log",)), "get//pods//web", False),
        (PODS._replace(resources=("*",)), "get//pods/log/web", True),
        (PODS._replace(resources=("*",)), "get/apps/pods//", False),
        (PODS._replace(groups=("*",)), "get/apps/pods//", True),
        (PODS._replace(verbs=("*",)), "delete//pods//web", True),
        (PODS._replace(names=("web",)), "get//pods//web", True),
        (PODS._replace(names=("web",)), "get//pods//db", False),
        (PODS._replace(names=("web",)), "get//pods//", False),
        (Rule(("*",), urls=("*",)), "get//pods//", False),
    ],
)
def test_what_a_rule_allows(rule: Rule, target: str, allowed: bool) -> None:
    verb, group, resource, subresource, name = target.split("/")
    assert rule.allows(verb, group, resource, subresource, name) == allowed


@pytest.mark.parametrize(
    ("url", "path", "allowed"),
    [
        ("/metrics", "/metrics", True),
        ("/metrics", "/metrics/", False),
        ("/metrics", "/metrics/a", False),
        ("/api/*", "/api/v1", True),
        ("/api/*", "/api", False),
        ("/api*", "/apis", True),
        ("*", "/anything", True),
        ("/a*b", "/ab", False),
    ],
)
def test_what_a_rule_allows_of_paths(url: str, path: str, allowed: bool) -> None:
    assert Rule(("get",), urls=(url,)).allows_path("get", path) == allowed
    assert not Rule(("post",), urls=(url,)).allows_path("get", path)
    assert not Rule(("get",), ("*",), ("*",)).allows_path("get", path)


VERBS, GROUPS = ("get", "list", "*"), ("", "apps", "*")
RESOURCES, NAMES = ("pods", "pods/log", "jobs", "*/log", "*"), ("a", "")
URLS = ("/a", "/a/*", "/a/b", "*")


def some(values: tuple[str, ...], least: int = 1) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), min_size=least, max_size=2, unique=True).map(tuple)


NONE = st.just(())
RULES = st.builds(Rule, some(VERBS), some(GROUPS), some(RESOURCES), some(NAMES, 0), NONE) | st.builds(
    Rule, some(VERBS), NONE, NONE, NONE, some(URLS)
)
REQUESTS = list(product(("get", "list", "x"), ("", "apps", "y"), ("pods", "jobs"), ("", "log", "z"), ("", "a", "b")))
PATHS = list(product(("get", "list", "x"), ("/a", "/a/b", "/a/", "/c")))


@given(st.lists(RULES, max_size=3), st.lists(RULES, max_size=2))
def test_who_grants_what_rules_cover_grants_nothing_new(owned: list[Rule], wanted: list[Rule]) -> None:
    """Nothing is allowed by covered rules that the owner's rules do not allow."""
    if rules.uncovered(owned, wanted):
        return
    for request in REQUESTS:
        assert not any(one.allows(*request) for one in wanted) or any(one.allows(*request) for one in owned)
    for verb, path in PATHS:
        assert not any(one.allows_path(verb, path) for one in wanted) or any(
            one.allows_path(verb, path) for one in owned
        )


@given(RULES)
def test_a_rule_covers_itself_and_all_is_covered_by_everything(rule: Rule) -> None:
    everything = [Rule(("*",), ("*",), ("*",)), Rule(("*",), urls=("*",))]
    assert rules.uncovered([rule], [rule]) == []
    assert rules.uncovered(everything, [rule]) == []
    assert rules.uncovered([], [rule]) == list(rules.breakdown(rule))


def test_words() -> None:
    rule = Rule(("get", "list"), ("",), ("pods", "pods/log"), ("web",))
    assert rules.compact_string(rule) == (
        '{APIGroups:[""], Resources:["pods" "pods/log"], ResourceNames:["web"], Verbs:["get" "list"]}'
    )
    urls = Rule(("get", "put"), urls=("/a",))
    assert rules.cells([rule, rule, urls]) == [
        ["pods/log", "[]", "[web]", "[get list]"],
        ["pods", "[]", "[web]", "[get list]"],
        ["", "[/a]", "[]", "[get]"],
        ["", "[/a]", "[]", "[put]"],
    ]
