"""Sizes, latencies and quality of the ranker's and the sequential model's smaller versions, side by side.

    python -m benchmarks.compression [--data FOLDER] [--moments 3000] [--users 1000] [--per-user 3]
        [--parts ranker,sequence]

FOLDER: listening sequences as ``benchmarks.recommendation`` reads them; without one, the lake of the settings. Every
model is asked the same: one held-out moment with its 500 candidates and their features, on one thread, in one run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
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


def ranker_part(data, args: argparse.Namespace) -> str:
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
    config = TwoStageConfig(sequence=None).with_moments(args.moments)
    groundwork = Groundwork(config)
    train = groundwork.ordered(train)
    parts = groundwork.parts("next", train, told)
    trees = Trees.of(fit_lambdamart(*joined_rows(parts), config.next.ranker))
    stage, extra, _ = prepared(train, config, told)
    some = hold_out.sample(args.users)
    examples = held_out_moments(data, train, some, stage, config, CANDIDATES, args.per_user)
    judged = judged_rows(examples, extra)
    with tempfile.TemporaryDirectory(prefix="soundlake-compress-") as folder:
        found, _ = compress_ranker(TreeRanker(trees, extra), parts, judged, Path(folder), progress=progress)
        keep_plot(args.plots / f"compression-ranker{args.suffix}.png", report.plot(found))
    return (
        f"**The ranker of the next play**: {train.n_tracks:,} tracks, trees learned from {args.moments:,} moments a "
        f"cut; {len(examples):,} held-out plays of {found.users:,} listeners.\n\n{report.markdown(found)}"
    )


def sequence_part(data, args: argparse.Namespace) -> str:
    """Markdown of the sequential model's versions, and of the edge bundle where plays name a country."""
    from models.compress import compress_sequence, report
    from models.compress.edge import most_heard_country
    from models.evaluation.split import split
    from models.recommend.sequence.recommenders import GRU4Rec

    train, hold_out = split(data)
    scorer = GRU4Rec().fit(train, progress).scorer
    with tempfile.TemporaryDirectory(prefix="soundlake-compress-") as folder:
        found, _ = compress_sequence(scorer, train, hold_out.sample(args.users), Path(folder), progress=progress)
        keep_plot(args.plots / f"compression-sequence{args.suffix}.png", report.plot(found))
    text = (
        f"**The sequential model**: GRU4Rec with copying and followers, {train.n_tracks:,} tracks, the next play of "
        f"{found.users:,} listeners.\n\n{report.markdown(found)}"
    )
    country = most_heard_country(train)
    return text if country is None else text + "\n\n" + edge_part(scorer, train, hold_out, country)


def edge_part(scorer, data, hold_out, country: str) -> str:
    """Markdown of a bundle: size, milliseconds of an answer, agreement with the model that it was made of."""
    import tensorflow as tf

    from models.compress.edge import rank, read_bundle, region_tracks, write_bundle
    from models.compress.latency import Latency
    from models.compress.litert import LiteModel

    with tempfile.TemporaryDirectory(prefix="soundlake-edge-") as folder:
        out = Path(folder) / "bundle"
        write_bundle(scorer, data, country, out, "benchmark")
        size, started = out.stat().st_size, time.perf_counter()
        bundle = read_bundle(out)
        model = LiteModel(bundle.model)
        opened = (time.perf_counter() - started) * 1e3
    inside = np.zeros(data.n_tracks, bool)
    inside[region_tracks(data, country, len(bundle.tracks))] = True
    taken, alike = [], []
    for history in hold_out.sample(200).histories:
        asked = np.full((1, bundle.manifest["history"]), -1, np.int32)
        plays = history[inside[history]][::-1][: asked.shape[1]]
        asked[0, : len(plays)] = plays
        best = np.argsort(-np.where(inside, scorer(tf.constant(asked)).numpy()[0], -np.inf))[:10]
        started = time.perf_counter()
        ours = rank(bundle, model, data.catalogue.ids[plays[::-1]].tolist())
        taken.append((time.perf_counter() - started) * 1e3)
        alike.append(len({track for track, _ in ours} & set(data.catalogue.ids[best])) / 10)
    latency = Latency.of(taken)
    return (
        f"**The edge bundle** of {country}: {len(bundle.tracks):,} tracks, {size / 1024:,.0f} KiB, opened and checked "
        f"in {opened:.0f} ms; one answer {latency.median:.2f} ms (p99 {latency.p99:.2f}) on one thread. Of the ten "
        f"best of the float32 model over the same tracks and plays {np.mean(alike):.1%} are the same ({len(alike)} "
        "listeners)."
    )


def keep_plot(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--moments", type=int, default=3000)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--per-user", type=int, default=3)
    parser.add_argument("--parts", default="ranker,sequence")
    parser.add_argument("--plots", type=Path, default=Path("docs/screenshots"))
    args = parser.parse_args()
    data, name = data_of(args.data)
    args.suffix = f"-{name}" if args.data else ""
    makers = {"ranker": ranker_part, "sequence": sequence_part}
    parts = [makers[part](data, args) for part in args.parts.split(",")]
    of_data = f" --data {args.data}" if args.data else ""
    command = (
        f"python -m benchmarks.compression{of_data} --moments {args.moments} --users {args.users} --per-user "
        f"{args.per_user} --parts {args.parts}"
    )
    title = f"Compression: {name}, {args.parts.replace(',', ' and ')}"
    write_part(title, "\n\n".join(parts), command)


if __name__ == "__main__":
    main()
