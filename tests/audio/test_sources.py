"""Sources: the file made of pieces behaves as a file; the refusals of names are in test_io.py."""

import io
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.audio.sources import SPOOL_BYTES, Pieces, open_source, size_of

DATA = bytes(range(200))

piece = st.one_of(
    st.binary(max_size=20), st.tuples(st.integers(0, 200), st.integers(0, 200)).map(lambda pair: tuple(sorted(pair)))
)
step = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 80), st.just(0)),
    st.tuples(st.just("seek"), st.integers(-50, 300), st.sampled_from([0, 1, 2])),
)


@settings(deadline=None, max_examples=50)
@given(pieces=st.lists(piece, max_size=5), steps=st.lists(step, max_size=12))
def test_pieces_behave_as_the_bytes_they_stand_for(pieces, steps):
    whole = b"".join(p if isinstance(p, bytes) else DATA[p[0] : p[1]] for p in pieces)
    ours, model = Pieces(io.BytesIO(DATA), tuple(pieces)), io.BytesIO(whole)
    assert ours.size == size_of(ours) == len(whole)
    for name, n, whence in steps:
        if name == "read":
            assert ours.read(n) == model.read(n)
        else:
            base = (0, model.tell(), len(whole))[whence]
            assert ours.seek(n, whence) == model.seek(max(0, base + n))
        assert ours.tell() == model.tell()


def test_pieces_of_a_file_that_became_shorter():
    ours = Pieces(io.BytesIO(DATA), ((150, 260), b"tail"))
    assert ours.read(1_000) == DATA[150:]
    assert ours.read(1_000) == b""


def test_an_open_file_is_read_from_where_it_stands_and_stays_open(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(DATA)
    with open(path, "rb") as file:
        file.seek(100)
        with open_source(file) as opened:
            assert size_of(opened) == 100 and opened.read() == DATA[100:]
        assert not file.closed


def test_a_pipe_is_read_to_its_end():
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as end:
        end.write(DATA)
    with os.fdopen(reading, "rb") as pipe, open_source(pipe) as opened:
        assert opened.seek(0, os.SEEK_END) == 200 and opened.seek(0) == 0 and opened.read() == DATA


def test_a_large_stream_goes_to_disk():
    class Endless:
        def __init__(self):
            self.left = SPOOL_BYTES + 1

        def read(self, n):
            n = min(n, self.left)
            self.left -= n
            return bytes(n)

    with open_source(Endless()) as opened:
        assert size_of(opened) == SPOOL_BYTES + 1


def test_a_path_is_closed_again(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(DATA)
    with open_source(path) as opened:
        assert opened.read(3) == DATA[:3]
    with pytest.raises(ValueError, match="closed file"):
        opened.read()
