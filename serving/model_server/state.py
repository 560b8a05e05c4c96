"""The life of one model version in the server: START, LOADING, AVAILABLE, UNLOADING, END."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.model_server.servable import Servable


class State(IntEnum):
    """States with the numbers of `ModelVersionStatus.State`."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass
class VersionEntry:
    """One version the server has heard of; kept after END so that its last status can be asked for.

    `aspired` says that configuration and file system want it served now. `error_code` is a canonical code (0 = OK).
    """

    version: int
    path: str
    aspired: bool = True
    state: State = State.START
    error_code: int = 0
    error_message: str = ""
    servable: Servable | None = None
    in_flight: int = 0

    def end(self, error_code: int = 0, error_message: str = "") -> None:
        """Go to END, let go of the model, and remember why."""
        self.state = State.END
        self.servable = None
        self.error_code, self.error_message = error_code, error_message


def next_action(entries: list[VersionEntry]) -> tuple[str, VersionEntry] | None:
    """What to do next for one model: ("unload" | "load", entry), or None when nothing is left to do.

    The availability-preserving policy of TensorFlow Serving: a version that is no longer wanted is unloaded only
    when a wanted one serves already, when none is wanted at all, or when another unwanted one still serves; of the
    wanted versions the highest is loaded first.
    """
    aspired = [entry for entry in entries if entry.aspired]
    leaving = [entry for entry in entries if not entry.aspired and entry.state is State.AVAILABLE]
    aspired_serving = any(entry.state is State.AVAILABLE for entry in aspired)
    if leaving and (not aspired or aspired_serving or len(leaving) > 1):
        return "unload", min(leaving, key=lambda entry: entry.version)
    waiting = [entry for entry in aspired if entry.state is State.START]
    if waiting:
        return "load", max(waiting, key=lambda entry: entry.version)
    return None
