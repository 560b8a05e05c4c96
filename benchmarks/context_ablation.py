"""What each part of the moment adds to both rankers, and which is the better one, on the lake of the settings.

The first stage sees no context, so its candidates and features are made once; the ranker is fit again for every group
of fields that is hidden, and judged at several held-out plays of each listener, each in its own context.

python -m benchmarks.context_ablation [moments learned from] [seeds] [alone: without "added to all the others"]
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.report import write_part

if TYPE_CHECKING:
    from models.data import ListeningData
    from models.evaluation.split import HoldOut
    from models.recommend.two_stage.context_features import ContextFeatures
    from models.recommend.two_stage.contextual_answers import Answers
    from models.recommend.two_stage.examples import RankingExamples

CUT, HELD_OUT, PER_USER, WIDTH, HARD = 0.75, 0.1, 6, 48, 24
TREES_METRIC = "next_ndcg_at_10"
METRICS = (TREES_METRIC, "play_log_loss", "skip_log_loss", "completion_log_loss")


def ablation(n: int = 12_000, seeds: int = 1, last: bool = True) -> str:
    """Markdown: the table of the ablation, and how far the outcomes' probabilities can be believed."""
    from lakehouse.settings import get_settings
    from models.evaluation.ablation import ablate
    from models.evaluation.bootstrap import paired_interval
    from models.evaluation.moments import moments
    from models.evaluation.split import split
    from models.lake_data import load
    from models.recommend.two_stage.contextual_answers import Answers
    from models.recommend.two_stage.contextual_config import ContextualConfig
    from models.recommend.two_stage.contextual_trainer import fit_contextual
    from models.recommend.two_stage.moments import Moments, before, next_moments

    data, _ = load(get_settings())
    train, _ = split(data, HELD_OUT)
    held = moments(train, data.keep(data.times > train.times.max()), PER_USER)
    early = train.keep(before(train, CUT))
    learned = _examples(train, early, next_moments(train, CUT, 1.0, n, np.random.default_rng(0)), WIDTH)
    place = {user: at for at, user in enumerate(data.users)}
    users = np.array([place[user] for user in held.users])
    plays = data.offsets[users] + np.array([len(history) for history in held.histories])
    judged = _examples(data, train, Moments("next", plays, users), 256, keep_all=True)

    def fit(part: ListeningData, seed: int) -> Answers:
        told = replace(learned, context=part.context[learned.plays])
        fields = part.context_fields, part.profile_fields
        return Answers(fit_contextual(told, part.catalogue, early.plays, *fields, ContextualConfig(seed=seed)))

    def judge(answers: Answers, asked: HoldOut) -> Mapping[str, np.ndarray]:
        codes = data.context_fields.encode(asked.context, len(asked))
        return by_listener(answers, replace(judged, context=codes.astype(np.int16)))

    def fit_trees(part: ListeningData, seed: int) -> TreeAnswers:
        told = replace(learned, context=part.context[learned.plays])
        return TreeAnswers.fit(told, part.keep(before(train, CUT)), part, seed)

    def judge_trees(answers: TreeAnswers, asked: HoldOut) -> Mapping[str, np.ndarray]:
        codes = data.context_fields.encode(asked.context, len(asked))
        return {TREES_METRIC: _gained(answers.scores(replace(judged, context=codes.astype(np.int16))), judged)}

    def told(variant: str) -> None:
        print(f"fit: {variant}", file=sys.stderr, flush=True)

    found = ablate(fit, train, held, metrics=METRICS, seeds=range(seeds), last=last, judge=judge, progress=told)
    of_trees = ablate(
        fit_trees, train, held, metrics=[TREES_METRIC], seeds=range(seeds), last=last, judge=judge_trees, progress=told
    )
    network = fit(train, 0)
    trees = fit_trees(train, 0)
    between = paired_interval(*(_gained(ranker.scores(judged), judged) for ranker in (trees, network)))
    calibrated = network.calibration(judged)
    lines = ["| outcome | base rate | ECE | Brier skill |", "|---|---|---|---|"]
    lines += [f"| {name} | {c.base_rate:.3f} | {c.ece} | {c.brier_skill} |" for name, c in calibrated.items()]
    return (
        f"{len(learned):,} moments learned from, {len(judged):,} held-out plays of {len(set(held.users)):,} listeners. "
        "The first stage sees no context. Losses are in nats and better where they are less; that of the play is over "
        "its candidates.\n\n**The contextual network**\n\n" + found.markdown() + "\n\n" + "\n".join(lines)
        + "\n\n**LambdaMART**\n\n" + of_trees.markdown()
        + f"\n\nThe network minus LambdaMART, both with all of the moment: {TREES_METRIC} {between:+}."
    )  # fmt: skip


class TreeAnswers:
    """LambdaMART asked about examples."""

    def __init__(self, booster, extra: ContextFeatures):
        self._booster, self._extra = booster, extra

    @classmethod
    def fit(cls, learned: RankingExamples, early: ListeningData, train: ListeningData, seed: int) -> TreeAnswers:
        """early: plays before the examples, which say what suits a moment; train: those before the held-out ones."""
        import xgboost

        from models.recommend.two_stage.context_features import ContextFeatures, appended, telling_fields
        from models.recommend.two_stage.lambdamart import LambdaMartConfig, fit_lambdamart

        fields = telling_fields(train)
        features, relevant, group = learned.rows()
        wide = appended(features, ContextFeatures.count(early, fields=fields), learned, group)
        raw = fit_lambdamart(wide, relevant, group, LambdaMartConfig(seed=seed))
        return cls(xgboost.Booster(model_file=bytearray(raw)), ContextFeatures.count(train, fields=fields))

    def scores(self, examples: RankingExamples) -> np.ndarray:
        """float32 [Q, C]; ``UNRANKED`` where there is no candidate."""
        import xgboost

        from models.recommend.base import UNRANKED
        from models.recommend.two_stage.context_features import appended

        features, _, group = examples.rows()
        out = np.full(examples.candidates.shape, UNRANKED, np.float32)
        rows = xgboost.DMatrix(appended(features, self._extra, examples, group))
        out[examples.candidates >= 0] = self._booster.predict(rows)
        return out


def _examples(data, counted, moments, width: int, keep_all: bool = False) -> RankingExamples:
    """Moments of ``data``, their candidates and features from the plays ``counted``."""
    from models.recommend.two_stage.config import TwoStageConfig
    from models.recommend.two_stage.examples import ranking_examples
    from models.recommend.two_stage.groundwork import traced
    from models.recommend.two_stage.scorer import FirstStage
    from models.recommend.two_stage.tables import Tables

    config = TwoStageConfig(candidates=256)
    stage = traced(FirstStage(Tables.count(counted, config), config), "next", config)
    rng = np.random.default_rng(0)
    return ranking_examples(data, moments, stage, width, HARD, rng, history=config.history, keep_all=keep_all)


def by_listener(answers: Answers, examples: RankingExamples) -> dict[str, np.ndarray]:
    """METRICS, each the mean of a listener's moments; losses over those whose play is among the candidates."""
    from models.recommend.two_stage.contextual_config import HEADS

    scores, chances = answers.scores(examples), answers.chances(examples)
    found = examples.relevant.any(1)
    top = scores.max(1, keepdims=True)
    normaliser = top[:, 0] + np.log(np.exp(scores - top).sum(1))
    lost = normaliser - np.where(examples.relevant, scores, 0).sum(1)
    out = {
        TREES_METRIC: _gained(scores, examples),
        "play_log_loss": _means(lost[found], examples.users[found]),
    }
    for name in ("skip", "completion"):
        happened = examples.outcomes[..., HEADS.index(name)]
        row, at = np.nonzero(happened >= 0)
        chance = np.clip(chances[name][row, at].astype(np.float64), 1e-6, 1 - 1e-6)
        loss = -np.log(np.where(happened[row, at] == 1, chance, 1 - chance))
        out[f"{name}_log_loss"] = _means(loss, examples.users[row])
    return out


def _gained(scores: np.ndarray, examples: RankingExamples) -> np.ndarray:
    """NDCG@10 of the next play, the mean of each listener's moments."""
    order = np.argsort(-scores, 1, kind="stable")[:, :10]
    gained = np.take_along_axis(examples.relevant, order, 1) @ (1 / np.log2(2 + np.arange(order.shape[1])))
    return _means(gained, examples.users)


def _means(values: np.ndarray, users: np.ndarray) -> np.ndarray:
    _, row = np.unique(users, return_inverse=True)
    return np.bincount(row, values) / np.bincount(row)


def main() -> None:
    numbers = [int(value) for value in sys.argv[1:] if value.isdecimal()]
    n, seeds = [*numbers, *(12_000, 1)[len(numbers) :]]
    text = ablation(n, seeds, last="alone" not in sys.argv)
    write_part("What the moment adds to the ranker", text, "python -m benchmarks.context_ablation")


if __name__ == "__main__":
    main()
