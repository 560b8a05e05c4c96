"""Raw bytes to lines; what becomes of the lines is tested with ``parse``."""

from __future__ import annotations

import gzip
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_zone import raw_event

from lakehouse import lines as reading
from lakehouse.lines import batches_of_pieces, read_lines, read_pieces

PLAY, SKIP = (json.dumps(raw_event(kind)).encode() for kind in ("play", "skip"))


def test_a_small_file_that_unpacks_to_much_is_unpacked_in_pieces():
    bomb = gzip.compress(b"\n" * (64 << 20))
    sizes = [len(piece) for piece in reading._decompressed(io.BytesIO(bomb))]
    assert sum(sizes) == 64 << 20
    assert max(sizes) <= reading._CHUNK


def test_lines_of_a_stream():
    found = list(read_lines(io.BytesIO(b"a\n\nb")))
    assert [(one.number, one.data, one.fault) for one in found] == [(1, b"a", None), (3, b"b", None)]


@given(st.lists(st.lists(st.sampled_from([PLAY, SKIP, b"", b" \t", b"bad"])), max_size=4), st.integers(1, 3))
def test_blocks_are_the_lines(files, batch_lines):
    pieces = [p for n, lines in enumerate(files) for p in read_pieces(io.BytesIO(b"\n".join(lines)), str(n))]
    expected = [
        (str(n), number, data) for n, lines in enumerate(files) for number, data in enumerate(lines, 1) if data.strip()
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BATCH_LINES", batch_lines)
        batches = list(batches_of_pieces(pieces))
    found = [lines.line(place) for lines in batches for place in range(len(lines))]
    assert [(one.path, one.number, one.data) for one in found if one.fault is None] == expected
    assert all(0 < len(lines) <= batch_lines for lines in batches)
    for lines in batches:
        assert lines.block(np.arange(len(lines))) == b"\n".join(lines.bytes_of(i) for i in range(len(lines)))
