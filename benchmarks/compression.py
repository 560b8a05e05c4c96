"""Sizes, latencies and quality of the ranker's and the sequential model's smaller versions, side by side.

    python -m benchmarks.compression [--data FOLDER] [--moments 3000] [--per-user 3]

FOLDER: listening sequences as ``benchmarks.recommendation`` reads them; without one, the lake of the settings. Every
model is asked the same: one held-out moment with its 500 candidates and their features, on one thread, in one run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.report import write_part

CANDIDATES = 500


def progress(values) -> None:
    """To the screen, a line each time."""
    print(dict(values), file=sys.stderr, flush=True)


def told(**values: float) -> None:
    progress(values)


def data_of(folder: Path | None):
    """Listening data in tie order, and what they are called."""
    from models.vocabulary import tie_order

    if folder is None:
        from lakehouse.settings import get_settings
        from models.lake_data import load

        settings = get_settings()
        data, name = load(settings)[0], "the lake of the settings"
    else:
        from benchmarks.recommendation import read

        data, name = read(folder), folder.name
    return data.in_order(np.argsort(tie_order(data.catalogue.ids))), name


def ranker_part(data, name: str, moments: int, per_user: int, out: Path) -> str:
    """Markdown of the ranker's versions."""
    from models.compress import compress_ranker, report
    from models.compress.heldout import held_out_moments
    from models.compress.ranker import judged_rows
    from models.evaluation.split import split
    from models.recommend.two_stage.config import TwoStageConfig
    from models.recommend.two_stage.groundwork import Groundwork, prepared
    from models.recommend.two_stage.lambdamart import fit_lambdamart
    from models.recommend.two_stage.rankers import TreeRanker
    from models.recommend.two_stage.trees import Trees
    from models.recommend.two_stage.two_stage import joined_rows

    train, hold_out = split(data)
    config = replace(TwoStageConfig(sequence=None).with_moments(moments), candidates=256)
    groundwork = Groundwork(config)
    train = groundwork.ordered(train)
    parts = groundwork.parts("next", train, told)
    trees = Trees.of(fit_lambdamart(*joined_rows(parts), config.next.ranker))
    stage, extra, _ = prepared(train, config, told)
    examples = held_out_moments(data, train, hold_out, stage, config, CANDIDATES, per_user)
    with tempfile.TemporaryDirectory(prefix="soundlake-compress-") as folder:
        judged = judged_rows(examples, extra)
        found, _ = compress_ranker(TreeRanker(trees, extra), parts, judged, Path(folder), progress=progress)
        (out / "compression-ranker.png").write_bytes(report.plot(found))
    return (
        f"**The ranker** ({name}: {train.n_tracks:,} tracks, trees learned from {moments:,} moments a cut; "
        f"{len(examples):,} held-out plays of {found.users:,} listeners)\n\n{report.markdown(found)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--moments", type=int, default=3000)
    parser.add_argument("--per-user", type=int, default=3)
    parser.add_argument("--plots", type=Path, default=Path("docs/screenshots"))
    args = parser.parse_args()
    data, name = data_of(args.data)
    parts = [ranker_part(data, name, args.moments, args.per_user, args.plots)]
    of_data = f" --data {args.data}" if args.data else ""
    command = f"python -m benchmarks.compression{of_data} --moments {args.moments} --per-user {args.per_user}"
    write_part("Compression", "\n\n".join(parts), command)


if __name__ == "__main__":
    main()
