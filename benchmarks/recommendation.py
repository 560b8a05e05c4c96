"""Recommenders side by side on ordered listening sequences, by the common protocol (per-user split, full ranking).

    python -m benchmarks.recommendation --data FOLDER [--models ease_recent,gru4rec,two_stage] [--seed 0]
        [--split validation] [--out FOLDER] [--rectools PYTHON [--minutes 20]]

FOLDER holds sequences.lst.gz (a listener a line: id,track:track:…) and, optionally, track_artist_album.csv.gz. Rankings
are written as <model>.<task>.parquet (user_id, rank, track_id), for a scorer of one's own. PYTHON: the interpreter of
an environment with ``rectools[torch]``, whose SASRec is then trained and judged in the same run, so many minutes long.
"""

from __future__ import annotations

import argparse
import gzip
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from benchmarks.report import write_part

MODELS = "popularity,item_knn,ease_recent,transitions_own,gru4rec,two_stage"


def read(folder: Path):
    """-> listening data of a folder of sequences."""
    from models.data import ListeningData

    users, lists = [], []
    with gzip.open(folder / "sequences.lst.gz", "rt") as lines:
        for line in lines:
            user, _, plays = line.rstrip("\n").partition(",")
            users.append(user)
            lists.append(plays.split(":"))
    sequences = pa.record_batch({"user_key": users, "track_ids": lists, "clock": ["synthetic"] * len(users)})
    return ListeningData.from_batches([sequences], [_tracks(folder, lists)])


def _tracks(folder: Path, lists: list[list[str]]) -> pa.RecordBatch:
    ids = sorted({track for plays in lists for track in plays})
    columns = {"track_id": ids}
    file = folder / "track_artist_album.csv.gz"
    if file.exists():
        text = csv.ConvertOptions(column_types={n: pa.string() for n in ("track_id", "artist_id", "album_id")})
        rows = csv.read_csv(file, convert_options=text).to_pydict()
        for name in ("artist_id", "album_id"):
            known = dict(zip(rows["track_id"], rows[name], strict=True))
            columns[name] = [known.get(track) or None for track in ids]
    return pa.record_batch(columns)


def side_by_side(args: argparse.Namespace) -> str:
    from benchmarks.rectools import NAME, sasrec
    from models.evaluation import report
    from models.evaluation.metrics import evaluate
    from models.evaluation.protocol import protocol_split
    from models.lineup import LineupConfig, entry
    from models.recommend.two_stage.groundwork import Groundwork

    split = protocol_split(read(args.data))
    train, hold_out = (split.train, split.test) if args.split == "test" else (split.fit, split.validation)
    config = LineupConfig().seeded(args.seed)
    evaluations, speeds, groundwork = [], [], Groundwork(config.two_stage)
    if args.rectools:
        peer = sasrec(args.rectools, train, hold_out, args.seed, args.minutes)
        evaluations.append(peer.evaluation)
        speeds.append((NAME, peer.seconds, peer.examples_per_second))
    for name in args.models.split(","):
        curve: list[dict] = []
        model, started = entry(name, config, groundwork=groundwork).make(), time.monotonic()
        model.fit(train, lambda values, c=curve, n=name: (c.append(dict(values)), print(n, values, flush=True)))
        seconds = time.monotonic() - started
        evaluations.append(evaluate(model, hold_out, name))
        rates = [point["examples_per_second"] for point in curve if "examples_per_second" in point]
        speeds.append((name, seconds, max(rates, default=0.0)))
        print(report.markdown(evaluations[-1:]), f"{seconds:.0f} s", flush=True)
        if args.out:
            _write(model, hold_out, args.out, name)
    lines = ["| model | seconds to fit | examples/s |", "|---|---|---|"]
    lines += [f"| {name} | {seconds:.0f} | {f'{rate:,.0f}' if rate else ''} |" for name, seconds, rate in speeds]
    sizes = f"{len(hold_out):,} listeners, {train.n_tracks:,} tracks, {train.n_plays:,} plays to learn from"
    return "\n\n".join(
        [
            f"{args.data.name}: {sizes}; seed {args.seed}; held out: {hold_out.description}.",
            report.markdown(evaluations),
            report.differences(evaluations[-1], evaluations[:-1]),
            "\n".join(lines),
        ]
    )


def _write(model, hold_out, folder: Path, name: str) -> None:
    from models.predict import predict
    from models.recommend.base import Requests

    folder.mkdir(parents=True, exist_ok=True)
    for task in ("next", "discover"):
        rows = predict(model, [str(user) for user in hold_out.users], Requests.of(hold_out.raw_histories()), task, 100)
        pq.write_table(rows.select(["user_id", "rank", "track_id"]), folder / f"{name}.{task}.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rectools", metavar="PYTHON")
    parser.add_argument("--minutes", type=float, default=20.0)
    args = parser.parse_args()
    command = f"python -m benchmarks.recommendation --data {args.data} --models {args.models} --seed {args.seed}"
    if args.rectools:
        command += f" --rectools PYTHON --minutes {args.minutes:g}"
    write_part("Recommendation", side_by_side(args), command)


if __name__ == "__main__":
    main()
