"""The simple models that every trained one stands beside, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from models.recommend.base import CatalogueRecommender
from models.recommend.ease import Ease, EaseConfig
from models.recommend.popularity import Popularity
from models.recommend.transitions import TransitionConfig, Transitions

NAMES = ("popularity", "ease", "ease_recent", "transitions")


@dataclass(frozen=True)
class BaselineConfig:
    """``ease_recent`` is EASE asked with a history in which a play counts half after three further plays."""

    ease: EaseConfig = field(default_factory=EaseConfig)
    ease_recent: EaseConfig = field(default_factory=lambda: EaseConfig(half_life=3.0))
    transitions: TransitionConfig = field(default_factory=TransitionConfig)


def make(name: str, config: BaselineConfig | None = None) -> tuple[CatalogueRecommender, Mapping[str, Any]]:
    """-> (baseline, not fit yet; its parameters). Raises ValueError for a name that is not in NAMES."""
    config = config or BaselineConfig()
    if name == "popularity":
        return Popularity(), {}
    if name == "transitions":
        return Transitions(config.transitions), asdict(config.transitions)
    if name in ("ease", "ease_recent"):
        settings = getattr(config, name)
        return Ease(settings), asdict(settings)
    raise ValueError(f"no baseline is called {name!r}; there are: {', '.join(NAMES)}")
