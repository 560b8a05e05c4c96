"""Models of plays alone, by name: the simple ones that every trained one stands beside, and the other candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from models.data import ListeningData
from models.recommend.als import ALS_SPACE, Als, AlsConfig
from models.recommend.base import CatalogueRecommender
from models.recommend.cold_start.cold_start import ColdStart
from models.recommend.cold_start.config import COLD_START_SPACE, ColdStartConfig
from models.recommend.ease import EASE_RECENT, EASE_SPACE, Ease, EaseConfig
from models.recommend.item_knn import ITEM_KNN_SPACE, ItemKnn, ItemKnnConfig
from models.recommend.ncf import Ncf
from models.recommend.ncf_config import GMF, MLP, NCF_SPACE, NEUMF, NcfConfig
from models.recommend.popularity import POPULARITY_SPACE, RECENT, Popularity, PopularityConfig
from models.recommend.space import Space
from models.recommend.transitions import OWN, OWN_SPACE, TRANSITION_SPACE, TransitionConfig, Transitions

SIDE_BY_SIDE = ("popularity", "ease", "ease_recent", "transitions")  # fit in every training, in seconds


@dataclass(frozen=True)
class BaselineConfig:
    """One configuration a name; their defaults were chosen on a validation tail, as each class says."""

    ease: EaseConfig = field(default_factory=EaseConfig)
    ease_recent: EaseConfig = EASE_RECENT
    transitions: TransitionConfig = field(default_factory=TransitionConfig)
    transitions_own: TransitionConfig = OWN
    popularity: PopularityConfig = field(default_factory=PopularityConfig)
    popularity_recent: PopularityConfig = RECENT
    item_knn: ItemKnnConfig = field(default_factory=ItemKnnConfig)
    als: AlsConfig = field(default_factory=lambda: AlsConfig(half_life=None))
    als_recent: AlsConfig = field(default_factory=AlsConfig)
    gmf: NcfConfig = GMF
    mlp: NcfConfig = MLP
    neumf: NcfConfig = NEUMF
    cold_start: ColdStartConfig = field(default_factory=ColdStartConfig)


@dataclass(frozen=True)
class Kind:
    """How models of a name are made from a configuration, and where tuning may look for a better one."""

    make: Callable[[Any], CatalogueRecommender]
    space: Space


def _without(space: Space, *names: str) -> Space:
    return {name: where for name, where in space.items() if name not in names}


KINDS: Mapping[str, Kind] = {
    "popularity": Kind(Popularity, {}),
    "popularity_recent": Kind(Popularity, POPULARITY_SPACE),
    "ease": Kind(Ease, _without(EASE_SPACE, "half_life")),
    "ease_recent": Kind(Ease, EASE_SPACE),
    "transitions": Kind(Transitions, TRANSITION_SPACE),
    "transitions_own": Kind(Transitions, OWN_SPACE),
    "item_knn": Kind(ItemKnn, ITEM_KNN_SPACE),
    "als": Kind(Als, _without(ALS_SPACE, "half_life")),  # starts Spark to fit
    "als_recent": Kind(Als, ALS_SPACE),
    "gmf": Kind(Ncf, NCF_SPACE),
    "mlp": Kind(Ncf, NCF_SPACE),
    "neumf": Kind(Ncf, NCF_SPACE),
    "cold_start": Kind(lambda config: ColdStart(Ease(EaseConfig()), config), COLD_START_SPACE),
}
NAMES = tuple(KINDS)


def make(name: str, config: BaselineConfig | None = None) -> tuple[CatalogueRecommender, Mapping[str, Any]]:
    """-> (model, not fit yet; its parameters). Raises ValueError for a name that is not in NAMES."""
    kind, settings = _kind(name), getattr(config or BaselineConfig(), name)
    return kind.make(settings), asdict(settings)


def tuned(name: str, data: ListeningData, config: BaselineConfig | None = None, **options: Any) -> BaselineConfig:
    """The configurations with that of one model chosen on the tail of ``data``, which is training data only.

    options: as :func:`models.tuning.tune` takes them (objective, budget, seed). Raises ValueError as ``make`` does.
    """
    from models.tuning import tune

    kind, config = _kind(name), config or BaselineConfig()
    found = tune(kind.make, getattr(config, name), kind.space, data, **options)
    return replace(config, **{name: found.config})


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise ValueError(f"no baseline is called {name!r}; there are: {', '.join(NAMES)}")
    return KINDS[name]
