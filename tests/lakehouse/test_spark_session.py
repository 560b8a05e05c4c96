"""What starting Spark leaves as it was."""

from __future__ import annotations

import signal

import pytest

from lakehouse.spark import _interrupts_kept


@pytest.fixture
def interrupts():
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def sparks_handler(*_) -> None: ...


def commands_handler(*_) -> None: ...


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (commands_handler, commands_handler),
        (signal.SIG_IGN, signal.SIG_IGN),
        (signal.default_int_handler, sparks_handler),
    ],
    ids=["of a command", "ignored", "default"],
)
def test_the_handler_of_ctrl_c(interrupts, before, after):
    signal.signal(signal.SIGINT, before)
    with _interrupts_kept():
        signal.signal(signal.SIGINT, sparks_handler)  # as PySpark does in the main thread
    assert signal.getsignal(signal.SIGINT) is after
