"""The simulated listening world: demo input, and the environment policies are tried in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulation.run import SimulationSummary, simulate
    from simulation.world import DayBatch, World

__all__ = ["DayBatch", "SimulationSummary", "World", "simulate"]


def __getattr__(name: str) -> Any:
    """Load on first use, so that importing the package stays quick."""
    import importlib

    if name in ("simulate", "SimulationSummary"):
        return getattr(importlib.import_module("simulation.run"), name)
    if name in ("World", "DayBatch"):
        return getattr(importlib.import_module("simulation.world"), name)
    raise AttributeError(f"module 'simulation' has no attribute {name!r}")
