"""Whether explanations are true, on the lake of the settings: what a reason names is taken away, and the model asked
again.

python -m benchmarks.explanations [requests]

Both two-stage recommenders, that of trees and that of the contextual network, are fit on the earlier plays and asked as
held-out listeners (at most ``requests``, 300 by default); the first track of each answer is explained.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.report import write_part
from benchmarks.simulated import fitted

if TYPE_CHECKING:
    from models.evaluation.split import HoldOut
    from models.recommend.base import CatalogueRecommender
    from models.recommend.fidelity import Fidelity

REQUESTS, DEPTH = 300, 10
MODELS = {"two_stage": "trees", "two_stage_network": "network"}


def measured(model: CatalogueRecommender, hold_out: HoldOut, n: int) -> dict[str, Fidelity]:
    """By task and what is taken away, of the score and of what it is above the mean of the others listed with it."""
    from models.recommend.explain import CONTEXT
    from models.recommend.explained import Explained
    from models.recommend.fidelity import PLAYS, fidelity, joined

    chosen = np.sort(np.random.default_rng(0).permutation(len(hold_out))[:n])
    listeners = [str(user) for user in hold_out.users[chosen]]
    explained, out = Explained(model), {}
    for task in ("next", "discover"):
        whole = hold_out.requests(task)
        asked = joined([whole[row : row + 1] for row in chosen.tolist()])
        ids, _ = model.recommend(asked, DEPTH)
        first, others = ids[:, 0].tolist(), [[track for track in row[1:] if track] for row in ids.tolist()]
        for name, kinds, against in (
            ("plays", PLAYS, None),
            ("plays, over others", PLAYS, others),
            ("field, over others", (CONTEXT,), others),
        ):
            try:
                found = fidelity(explained, asked, first, listeners=listeners, against=against, kinds=kinds)
            except ValueError as nothing:
                print(task, name, nothing, file=sys.stderr, flush=True)
                continue
            out[f"{task}: {name}"] = found
            print(task, name, found, file=sys.stderr, flush=True)
    return out


def table(found: dict[str, Fidelity]) -> str:
    from models.recommend.fidelity import HEADER

    lines = [f"| | {' | '.join(HEADER)} |", "|---|" + "---|" * len(HEADER)]
    lines += [f"| {name} | {' | '.join(one.row())} |" for name, one in found.items()]
    return "\n".join(lines)


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS
    models, hold_out = fitted(*MODELS)
    found = {
        f"{name}, {row}": one
        for model, name in zip(models, MODELS.values(), strict=True)
        for row, one in measured(model, hold_out, n).items()
    }
    text = (
        "Of the first track: its largest cause among the plays (a played track, or several of one artist or album) or "
        "among the fields of the moment is taken away, and as a control as much of the same kind, drawn at random. "
        '"Over others": the score less the mean of the nine listed after it. Intervals are over listeners.\n\n'
        + table(found)
    )
    command = "python -m benchmarks.explanations" + (f" {n}" if n != REQUESTS else "")
    write_part("Fidelity of explanations", text, command)


if __name__ == "__main__":
    main()
