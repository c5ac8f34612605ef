"""Frames of SPDY/3.1: what is encoded is decoded again, however the bytes are cut; bytes that are no frames end as
ProtocolError and as nothing else."""

from __future__ import annotations

import contextlib
import zlib
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.spdy import frames
from kubelab.spdy.errors import ProtocolError
from kubelab.spdy.headers import DICTIONARY, MAX_BLOCK, HeaderCompressor, HeaderDecompressor

STREAMS = st.integers(1, frames.MAX_STREAM)
NUMBERS = st.integers(0, 2**32 - 1)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz-:", min_size=1, max_size=20)
HEADERS = st.dictionaries(NAMES, st.text(st.characters(max_codepoint=255), max_size=50), max_size=6)
FRAMES = st.one_of(
    st.builds(frames.SynStream, STREAMS, HEADERS, st.booleans(), st.integers(0, 7), st.just(0), st.booleans()),
    st.builds(frames.SynReply, STREAMS, HEADERS, st.booleans()),
    st.builds(frames.Headers, STREAMS, HEADERS, st.booleans()),
    st.builds(frames.RstStream, STREAMS, NUMBERS),
    st.builds(frames.Settings, st.binary(max_size=30)),
    st.builds(frames.Ping, NUMBERS),
    st.builds(frames.GoAway, STREAMS, NUMBERS),
    st.builds(frames.WindowUpdate, STREAMS, STREAMS),
    st.builds(frames.Data, STREAMS, st.binary(max_size=300), st.booleans()),
)


def whole(parts: list[frames.Frame]) -> list[frames.Frame]:
    """Join the parts of each data frame: all up to the next frame, or to a part with its end."""
    joined: list[frames.Frame] = []
    for frame in parts:
        match (joined[-1] if joined else None, frame):
            case frames.Data(stream, before, False), frames.Data(same, data, fin) if stream == same:
                joined[-1] = frames.Data(stream, before + data, fin)
            case _:
                joined.append(frame)
    return joined


@given(st.lists(FRAMES, max_size=12), st.data())
def test_frames_come_back_however_their_bytes_are_cut(sent: list[frames.Frame], data: st.DataObject) -> None:
    encoder, decoder = frames.FrameEncoder(), frames.FrameDecoder()
    wire = b"".join(encoder.encode(frame) for frame in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=10)))
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    received = [frame for piece in pieces for frame in decoder.feed(piece)]
    assert whole(received) == whole(sent)


@given(st.binary(max_size=200))
def test_what_is_no_frame_ends_as_a_protocol_error(junk: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert all(isinstance(frame, frames.Frame) for frame in frames.FrameDecoder().feed(junk))


@given(st.lists(FRAMES, min_size=1, max_size=4), st.data())
def test_a_changed_byte_ends_as_frames_or_as_a_protocol_error(sent: list[frames.Frame], data: st.DataObject) -> None:
    encoder, decoder = frames.FrameEncoder(), frames.FrameDecoder()
    wire = bytearray(b"".join(encoder.encode(frame) for frame in sent))
    wire[data.draw(st.integers(0, len(wire) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ProtocolError):
        assert all(isinstance(frame, frames.Frame) for frame in decoder.feed(bytes(wire)))


def test_the_first_header_block_names_the_protocols_dictionary() -> None:
    """``78 bb`` says zlib with a dictionary, the four bytes after it which: spdystream refuses any other."""
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2
    assert HeaderCompressor().compress({"streamtype": "data"})[:6] == bytes.fromhex("78bbe3c6a7c2")


def test_a_stream_is_opened_with_the_bytes_of_the_specification() -> None:
    wire = frames.FrameEncoder().encode(frames.SynStream(5, {"port": "80"}, fin=True, priority=2))
    assert wire[:8].hex() == "8003000101" + f"{len(wire) - 8:06x}"
    assert wire[8:18].hex() == "00000005000000004000"


def test_a_block_that_grows_beyond_the_bound_is_refused() -> None:
    bomb = zlib.compressobj(zdict=DICTIONARY)
    packed = bomb.compress(bytes(64 << 20)) + bomb.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(ProtocolError, match=f"more than {MAX_BLOCK} bytes"):
        HeaderDecompressor().decompress(packed)


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        ("800200060000000400000001", "version 2: expected 3"),
        ("8003000600ffffff", "at most 65536 are allowed"),
        ("8003000600000003000000", "a control frame of type 6 with 3 bytes"),
        ("80030001000000020000", "a control frame of type 1 with 2 bytes"),
        ("800300020000000600000001ffff", "zlib refuses"),
    ],
)
def test_broken_frames_are_named(wire: str, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        list(frames.FrameDecoder().feed(bytes.fromhex(wire)))


def test_a_large_data_frame_is_not_kept_until_it_is_complete() -> None:
    decoder = frames.FrameDecoder()
    wire = frames.FrameEncoder().encode(frames.Data(1, b"x" * 100_000, fin=True))
    parts = [frame for start in range(0, len(wire), 1000) for frame in decoder.feed(wire[start : start + 1000])]
    assert next(part.data for part in parts if isinstance(part, frames.Data)) == b"x" * 992
    assert [key for key, _ in groupby(isinstance(p, frames.Data) and p.fin for p in parts)] == [False, True]
