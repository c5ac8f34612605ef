"""Fakes and helpers that tests of several folders share: a clock, an api-server, a runtime, etcd, histories."""
