"""Encoded JSON beside the caches: once a revision, once a version, within its budget."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.scheme import CONFIG_MAPS
from kubelab.apiserver.httpfront import jsoncache
from kubelab.apiserver.httpfront.jsoncache import JSONCache
from kubelab.apiserver.storage.wire import Envelope
from kubelab.apiserver.strategies.base import Strategy
from kubelab.apiserver.watchcache.changes import Entry, Kind

STRATEGY: Any = Strategy(CONFIG_MAPS)
KIND = Kind(CONFIG_MAPS, Envelope(CONFIG_MAPS), STRATEGY.selectable_fields)


def entry(name: str, revision: int, size: int = 1) -> Entry:
    obj = core_pb2.ConfigMap(data={"x": "y" * size})
    obj.metadata.name = name
    return Entry(KIND, f"/registry/configmaps/default/{name}", obj.SerializeToString(), revision)


def test_an_object_is_encoded_once_for_each_revision() -> None:
    cache = JSONCache()
    first, again, later = entry("a", 1), entry("a", 1), entry("a", 2)
    body = cache.of(CONFIG_MAPS, first)
    assert cache.of(CONFIG_MAPS, again) is body
    assert json.loads(body)["metadata"]["resourceVersion"] == "1"
    assert json.loads(cache.of(CONFIG_MAPS, later))["metadata"]["resourceVersion"] == "2"


def test_what_is_kept_is_bounded_and_the_least_used_goes_first() -> None:
    cache = JSONCache(max_bytes=4000)
    bodies = {name: cache.of(CONFIG_MAPS, entry(name, 1, 1000)) for name in "ab"}
    assert cache.of(CONFIG_MAPS, entry("a", 1, 1000)) is bodies["a"]
    cache.of(CONFIG_MAPS, entry("c", 1, 1000))
    assert cache.bytes <= 4000
    assert cache.of(CONFIG_MAPS, entry("a", 1, 1000)) is bodies["a"]
    assert cache.of(CONFIG_MAPS, entry("b", 1, 1000)) is not bodies["b"]
    cache.of(CONFIG_MAPS, entry("d", 1, 10_000))
    assert cache.bytes <= 4000


def test_a_reader_of_the_past_does_not_replace_the_present() -> None:
    cache = JSONCache()
    now = cache.of(CONFIG_MAPS, entry("a", 2))
    assert json.loads(cache.of(CONFIG_MAPS, entry("a", 1)))["metadata"]["resourceVersion"] == "1"
    assert cache.of(CONFIG_MAPS, entry("a", 2)) is now


def test_two_versions_of_a_kind_are_two_documents() -> None:
    cache, other = JSONCache(), replace(CONFIG_MAPS, version="v2")
    assert cache.of(CONFIG_MAPS, entry("a", 1)) is not cache.of(other, entry("a", 1))


def test_the_kind_comes_first() -> None:
    kind = jsoncache.GroupVersionKind("v1", "ConfigMap")
    assert jsoncache.with_kind(kind, b'{"a":1}') == b'{"kind":"ConfigMap","apiVersion":"v1","a":1}'
    assert jsoncache.with_kind(kind, b"{}") == b'{"kind":"ConfigMap","apiVersion":"v1"}'
