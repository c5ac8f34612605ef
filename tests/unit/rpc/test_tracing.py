"""The causal thread: what goes out as metadata comes in again."""

from __future__ import annotations

import pytest

from kubelab.rpc import tracing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"01-{TRACE}-{SPAN}-00-more", True),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f"00-{TRACE[1:]}-{SPAN}-01", False),
        ("", False),
    ],
)
def test_parse_follows_the_standard(text: str, valid: bool) -> None:
    assert tracing.parse(text) == (tracing.SpanContext(TRACE, SPAN) if valid else None)


def test_what_goes_out_comes_in() -> None:
    with tracing.root() as here, tracing.cause("42"):
        told = tracing.incoming(tracing.outgoing("scheduler@cp-1"))
    assert told.span is not None
    assert told.span.trace_id == here.trace_id
    assert told.span.span_id != here.span_id
    assert (told.caller, told.cause) == ("scheduler@cp-1", "42")
    assert tracing.current() is None
    assert tracing.current_cause() == ""


def test_without_a_trace_each_call_starts_one() -> None:
    first, second = (tracing.incoming(tracing.outgoing("kctl")).span for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.trace_id != second.trace_id


def test_a_span_below_an_incoming_one_keeps_its_trace() -> None:
    parent = tracing.SpanContext(TRACE, SPAN)
    with tracing.span(parent) as outer, tracing.span() as inner:
        assert outer.trace_id == inner.trace_id == TRACE
        assert len({SPAN, outer.span_id, inner.span_id}) == 3
