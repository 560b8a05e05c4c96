"""What less of the same costs: accuracy beside diversity of re-ranked lists, on the lake of the settings.

python -m benchmarks.diversity [model]

The model (two_stage by default, or a name of the line-up) is fit once and gives every held-out listener its best
hundred new tracks; each row of the table re-ranks these lists.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.report import write_part
from benchmarks.simulated import fitted

if TYPE_CHECKING:
    from models.evaluation.split import HoldOut
    from models.recommend.base import CatalogueRecommender
    from models.recommend.diversify import Diversity

DEPTH, PLACES = 100, 10
TRADEOFFS = {"mmr": (0.9, 0.8, 0.6, 0.4), "dpp": (0.95, 0.9, 0.8, 0.6)}
SHOWN = ("discover_ndcg_at_10", "discover_diversity_at_10", "discover_coverage_at_10", "discover_novelty_at_10")
TASK = "discover"


def variants() -> list[Diversity]:
    """No change first."""
    from models.recommend.diversify import Diversity

    plain, capped = (Diversity("mmr", 1.0, cap, DEPTH) for cap in (None, 2))
    return [plain, capped, *(Diversity(m, t, 2, DEPTH) for m, each in TRADEOFFS.items() for t in each)]


def trade_off(model: CatalogueRecommender, hold_out: HoldOut) -> str:
    """Markdown: the table, differences paired over listeners against the lists as they were."""
    from models.evaluation.metrics import compare, evaluate_lists
    from models.recommend.diversified import Diversified

    ids, scores = model.recommend(hold_out.requests(TASK), DEPTH)
    vocabulary, judged, most = hold_out.catalogue.vocabulary, [], []
    started = time.perf_counter()
    for how in variants():
        listed, _ = Diversified(model, how, PLACES).rerank(ids, scores, PLACES)
        tracks = vocabulary.lookup(listed.ravel().tolist()).reshape(listed.shape)
        judged.append(evaluate_lists({TASK: tracks}, hold_out, _named(how)))
        most.append(_most_of_one_artist(tracks, hold_out.catalogue.artist))
    seconds = (time.perf_counter() - started) / len(judged)
    lines = [
        "| lists | NDCG@10 | against as ranked | diversity@10 | coverage@10 | novelty@10 | tracks of the most frequent "
        "artist |",
        "|---|---|---|---|---|---|---|",
    ]
    for evaluation, tracks_of_one in zip(judged, most, strict=True):
        change = f"{compare(judged[0], evaluation, SHOWN[0]):+}" if evaluation is not judged[0] else ""
        values = [str(evaluation.metrics[name]) if name in evaluation.metrics else "" for name in SHOWN]
        lines.append(f"| {' | '.join([evaluation.model, values[0], change, *values[1:], f'{tracks_of_one:.2f}'])} |")
    return (
        f"{model.name}, {len(hold_out):,} listeners, tracks new to them; held out: {hold_out.description}. Re-ranking "
        f"the best {DEPTH} and judging all lists takes {seconds:.1f} s a row.\n\n" + "\n".join(lines)
    )


def _named(how: Diversity) -> str:
    if how.tradeoff == 1:
        return "as ranked" if how.artist_cap is None else f"at most {how.artist_cap} of an artist"
    return f"{how.method.upper()} {how.tradeoff:g}, at most {how.artist_cap} of an artist"


def _most_of_one_artist(tracks: np.ndarray, artist: np.ndarray) -> float:
    """Mean over lists."""
    of = np.where(tracks >= 0, artist[tracks], -1)
    counts = [np.unique(row[row >= 0], return_counts=True)[1].max(initial=0) for row in of]
    return float(np.mean(counts))


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "two_stage"
    command = "python -m benchmarks.diversity" + (f" {name}" if name != "two_stage" else "")
    [model], hold_out = fitted(name)
    write_part("Diversity against accuracy", trade_off(model, hold_out), command)


if __name__ == "__main__":
    main()
