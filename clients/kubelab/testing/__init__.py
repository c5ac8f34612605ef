"""Fakes for tests: a clock, an api-server, a runtime."""
