"""What a listener is doing when no event says it: commute, work, exercise, relax, social, home, … as the lake names it.

Gradient-boosted trees (Chen & Guestrin 2016) over the moment (hour, weekday, device, network, weather) and the session
so far (:mod:`models.context.session_shape`), learned from the plays that do say it. Probabilities are calibrated by
temperature on a later part (Guo et al. 2017). Trees pass a value that is missing down a branch of its own, so every
input may be unknown, and one that always is costs nothing.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from models.context import FIELDS, UNKNOWN, Categories
from models.context.session_shape import NAMES, of_plays, of_queries
from models.data import Catalogue, ListeningData
from models.recommend.requests import Queries, Requests

WORDS, NUMBERS = ("device", "network", "weather"), ("hour", "weekday", "temperature")
BOOSTER, SETTINGS = "activity.ubj", "activity.json"
MIN_PLAYS = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ActivityConfig:
    """fields: of the context, those that are looked at. max_examples: plays learned from, drawn evenly.

    tail: share of the labelled plays, the latest, that choose the number of trees and the temperature.
    confidence: an activity is filled in only where it is at least so probable; below, it stays unknown.
    """

    fields: tuple[str, ...] = ("hour", "weekday", "device", "network", "weather", "temperature")
    tail: float = 0.15
    max_examples: int = 300_000
    trees: int = 400
    patience: int = 20
    depth: int = 6
    learning_rate: float = 0.15
    min_child_weight: float = 20.0
    confidence: float = 0.5
    threads: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.fields:
            if name not in (*WORDS, *NUMBERS):
                raise ValueError(f"ActivityConfig.fields: {name!r} is not of {', '.join((*WORDS, *NUMBERS))}")
        if not 0 < self.tail < 1:
            raise ValueError(f"ActivityConfig.tail: {self.tail} must lie between 0 and 1")


class ActivityClassifier:
    """>>> activity = ActivityClassifier().fit(train)
    >>> activity.fill(train)                            # training plays
    >>> activity.fill_requests(requests)                # what a recommender is asked
    """

    def __init__(self, config: ActivityConfig | None = None):
        self.config = config or ActivityConfig()
        self._booster = None

    @property
    def activities(self) -> tuple[str, ...]:
        """The classes, in the order of the columns of probabilities; by code of the field ``activity``."""
        return self._fields.names["activity"]

    @property
    def booster(self):
        """XGBoost's trees; those after the first ``trees`` rounds are not used."""
        return self._booster

    @property
    def trees(self) -> int:
        return self._trees

    def fit(self, data: ListeningData) -> ActivityClassifier:
        """Learn from the plays of ``data`` that say the activity.

        Raises ValueError without a true clock (there are no sessions then) and where fewer than MIN_PLAYS plays or
        than two activities are named.
        """
        import xgboost as xgb

        labelled = said(data)
        classes = len(np.unique(data.of_context("activity")[labelled]))
        if data.times is None:
            raise ValueError("activity: the plays have no true clock, and without one neither hours nor sessions")
        if len(labelled) < MIN_PLAYS or classes < 2:
            raise ValueError(
                f"activity: {len(labelled)} plays name {classes} activities; at least {MIN_PLAYS} and two are needed. "
                "Leave activity recognition out, or ingest events whose context says the activity"
            )
        self._fields = data.context_fields
        config = self.config
        early, late = self._parts(data, labelled)
        matrices = [
            xgb.DMatrix(self._inputs_of_plays(data, rows), data.of_context("activity")[rows]) for rows in (early, late)
        ]
        self._booster = xgb.train(
            {
                "objective": "multi:softprob", "num_class": len(self.activities), "eval_metric": "mlogloss",
                "tree_method": "hist", "max_depth": config.depth, "eta": config.learning_rate,
                "min_child_weight": config.min_child_weight, "nthread": config.threads, "seed": config.seed,
            },
            matrices[0], config.trees, evals=[(matrices[1], "tail")],
            early_stopping_rounds=config.patience, verbose_eval=False,
        )  # fmt: skip
        self._trees = self._booster.best_iteration + 1
        margins = self._booster.predict(matrices[1], output_margin=True, iteration_range=(0, self._trees))
        self.temperature = best_temperature(margins, data.of_context("activity")[late])
        log.info(
            "activity: %d plays, %d trees, temperature %.3f, log loss of the tail %.4f",
            len(early), self._trees, self.temperature, self._booster.best_score,
        )  # fmt: skip
        return self

    def _parts(self, data: ListeningData, labelled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Plays to learn from and the later ones to stop and calibrate by, both ascending."""
        cutoff = np.quantile(data.times[labelled], 1 - self.config.tail)
        later = data.times[labelled] > cutoff
        rng = np.random.default_rng(self.config.seed)

        def drawn(plays: np.ndarray, most: int) -> np.ndarray:
            return plays if len(plays) <= most else np.sort(rng.choice(plays, most, replace=False))

        most = self.config.max_examples
        return drawn(labelled[~later], most), drawn(labelled[later], max(1, int(most * self.config.tail)))

    def probabilities(self, data: ListeningData, plays: np.ndarray) -> np.ndarray:
        """float32 [P, A] just before each of the plays (ascending indices into ``data.items``)."""
        return self._answer(self._inputs_of_plays(data, plays))

    def probabilities_of_requests(self, requests: Requests, catalogue: Catalogue) -> np.ndarray:
        """float32 [B, A]; ``catalogue`` says how the tracks of the histories sound."""
        queries = requests.encode(catalogue.vocabulary, self._fields, Categories.of(()))
        return self._answer(self._inputs_of_queries(queries, catalogue))

    def fill(self, data: ListeningData) -> ListeningData:
        """``data`` with the likeliest activity at the plays that say none, where it is probable enough."""
        missing = np.flatnonzero(data.of_context("activity") == UNKNOWN)
        if not len(missing):
            return data
        ours = Categories.of(("activity",), activity=self.activities)
        theirs = Categories.of(("activity",), activity=data.context_fields.names["activity"])
        context = data.context.copy()
        chosen = self.choose(self.probabilities(data, missing))
        context[missing, FIELDS.index("activity")] = theirs.recode(chosen[:, None], ours)[:, 0]
        return replace(data, context=context)

    def fill_requests(self, requests: Requests, catalogue: Catalogue) -> Requests:
        """``requests`` with the likeliest activity where they say none and it is probable enough, else None."""
        told = list(requests.context.get("activity", [None] * len(requests)))
        rows = [row for row, name in enumerate(told) if name is None or name == ""]
        if rows:
            codes = self.choose(self.probabilities_of_requests(requests, catalogue))
            for row in rows:
                told[row] = None if codes[row] < 0 else self.activities[codes[row]]
        return replace(requests, context={**requests.context, "activity": told})

    def choose(self, probabilities: np.ndarray) -> np.ndarray:
        """int16 [N]: the likeliest activity, UNKNOWN where it is less probable than ``confidence``."""
        best = probabilities.argmax(1)
        sure = probabilities[np.arange(len(best)), best] >= self.config.confidence
        return np.where(sure, best, UNKNOWN).astype(np.int16)

    def _answer(self, inputs: np.ndarray) -> np.ndarray:
        import xgboost as xgb

        if self._booster is None:
            raise RuntimeError("activity: not fitted yet; call fit(data) first")
        if not len(inputs):
            return np.zeros((0, len(self.activities)), np.float32)
        margins = self._booster.predict(xgb.DMatrix(inputs), output_margin=True, iteration_range=(0, self._trees))
        return softmax(margins / self.temperature)

    def _inputs_of_plays(self, data: ListeningData, plays: np.ndarray) -> np.ndarray:
        codes = self._fields.recode(data.context[plays], data.context_fields)
        return np.column_stack([self._moment(codes), of_plays(data, plays)])

    def _inputs_of_queries(self, queries: Queries, catalogue: Catalogue) -> np.ndarray:
        return np.column_stack([self._moment(queries.context), of_queries(catalogue.acoustic, queries)])

    def _moment(self, context: np.ndarray) -> np.ndarray:
        """float32 [N, M]: numbers as they are, words as indicators; NaN where unknown."""
        columns = []
        for name in self.config.fields:
            codes = context[:, self._fields.column(name)]
            if name in WORDS:
                size = len(self._fields.names[name])
                one_hot = (codes[:, None] == np.arange(size)).astype(np.float32)
                columns.append(np.where(codes[:, None] >= 0, one_hot, np.nan))
            else:
                columns.append(np.where(codes >= 0, codes, np.nan)[:, None])
        return np.column_stack([np.zeros((len(context), 0)), *columns]).astype(np.float32)

    @property
    def input_names(self) -> list[str]:
        """What the columns of the trees' input are."""
        moment = [
            f"{name} {word}" if name in WORDS else name
            for name in self.config.fields
            for word in (self._fields.names[name] if name in WORDS else ("",))
        ]
        return [*moment, *NAMES]

    def save(self, folder: Path) -> None:
        """Write the trees and what is needed to ask them into ``folder``."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._booster.save_model(folder / BOOSTER)
        names = {name: list(words) for name, words in self._fields.names.items()}
        settings = {"config": asdict(self.config), "names": names, "trees": self._trees, "t": self.temperature}
        (folder / SETTINGS).write_text(json.dumps(settings, indent=1))

    @classmethod
    def load(cls, folder: Path) -> ActivityClassifier:
        import xgboost as xgb

        settings = json.loads((Path(folder) / SETTINGS).read_text())
        config = settings["config"] | {"fields": tuple(settings["config"]["fields"])}
        model = cls(ActivityConfig(**config))
        model._fields = Categories(FIELDS, {name: tuple(words) for name, words in settings["names"].items()})
        model._booster = xgb.Booster(model_file=Path(folder) / BOOSTER)
        model._trees, model.temperature = settings["trees"], settings["t"]
        return model


def said(data: ListeningData) -> np.ndarray:
    """int64 [P]: the plays whose event says the activity."""
    return np.flatnonzero(data.of_context("activity") >= 0)


def softmax(logits: np.ndarray) -> np.ndarray:
    """float32, over the last axis."""
    exp = np.exp(logits - logits.max(-1, keepdims=True))
    return (exp / exp.sum(-1, keepdims=True)).astype(np.float32)


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The t > 0 for which softmax(logits / t) has the least log loss (temperature scaling, Guo et al. 2017)."""
    from scipy.optimize import minimize_scalar

    def loss(log_t: float) -> float:
        scaled = logits / np.exp(log_t)
        top = scaled.max(1)
        normaliser = top + np.log(np.exp(scaled - top[:, None]).sum(1))
        return float(np.mean(normaliser - scaled[np.arange(len(labels)), labels]))

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))
