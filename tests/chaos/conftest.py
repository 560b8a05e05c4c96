"""How much chaos: `make chaos` asks for all of it, the tests for a short version."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
REPORT: list[str] = []


def pytest_collection_modifyitems(items) -> None:
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.chaos)
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def kills() -> int:
    """Processes to kill."""
    return int(os.environ.get("CHAOS_KILLS", 3))


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("CHAOS_SEED", 20260105))


@pytest.fixture
def report() -> Callable[[str], None]:
    """Say what happened, at the end of the test run."""
    return REPORT.append


def pytest_terminal_summary(terminalreporter) -> None:
    if REPORT:
        terminalreporter.section("chaos")
        for line in REPORT:
            terminalreporter.write_line(line)
