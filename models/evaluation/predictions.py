"""Prediction files (user_id, rank, track_id) as ranked lists: what another system, or another day, would recommend.

The checks are those of the common scorer, so that a file is refused here exactly where it would be there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from models.evaluation.metrics import Evaluation, evaluate_lists
from models.evaluation.ranking import DEPTH
from models.evaluation.split import HoldOut, keys_of
from models.vocabulary import Vocabulary

COLUMNS = ("user_id", "rank", "track_id")


def read_predictions(path: Path | str) -> pa.Table:
    """The three columns of a parquet file. Raises ValueError when it is not one or lacks a column."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not readable as parquet: {str(error).splitlines()[0]}") from error
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise ValueError(
            f"{path}: lacks column(s) {missing}, has {table.column_names}; "
            "write predictions with: soundlake predictions --out FILE"
        )
    return table.select(list(COLUMNS))


def lists_of(
    predictions: pa.Table, hold_out: HoldOut, task: str, allow_missing: bool = False, where: str = "predictions"
) -> np.ndarray:
    """int32 [U, 100]: the ranked lists of the hold-out's users, as indices into its catalogue, -1 for none.

    Ids are compared as text. Raises ValueError for a null, an unknown user or track, a rank outside 1..100, a rank or
    track that a user has twice, a gap between ranks, in task ``discover`` a track of the user's history, and, unless
    ``allow_missing``, for a user without predictions (else every place is a miss).
    """
    if task not in hold_out.relevant:
        raise ValueError(f"task: {task!r} is not known; one of {', '.join(hold_out.relevant)}")
    for name in COLUMNS:
        if predictions.column(name).null_count:
            raise ValueError(f"{where}: null in column {name!r}")
    if not pa.types.is_integer(predictions.schema.field("rank").type):
        raise ValueError(f"{where}: column 'rank' must be integer, is {predictions.schema.field('rank').type}")
    rank = predictions.column("rank").to_numpy().astype(np.int64)
    if len(rank) and not 1 <= rank.min() <= rank.max() <= DEPTH:
        raise ValueError(f"{where}: ranks must lie in 1..{DEPTH}; found {rank.min()}..{rank.max()}")
    user = _lookup(predictions.column("user_id"), Vocabulary(map(str, hold_out.users)), "user", where)
    track = _lookup(predictions.column("track_id"), hold_out.catalogue.vocabulary, "track", where)

    lists = np.full((len(hold_out), DEPTH), -1, np.int32)
    place, pair = user * DEPTH + rank - 1, user * len(hold_out.catalogue) + track
    _once(place, where, lambda key: f"{_user(hold_out, key // DEPTH)} has rank {key % DEPTH + 1} twice")
    n = len(hold_out.catalogue)
    _once(pair, where, lambda key: f"{_user(hold_out, key // n)} has {_track(hold_out, key % n)} twice")
    lists.ravel()[place] = track
    _check_whole(lists, hold_out, allow_missing, where)
    if task == "discover":
        known = np.isin(pair, keys_of(hold_out.histories, n))
        if known.any():
            key = pair[known][0]
            raise ValueError(
                f"{where}: {int(known.sum())} row(s) recommend a track of the user's own history, which task discover "
                f"forbids; the first: {_user(hold_out, key // n)}, {_track(hold_out, key % n)}"
            )
    return lists


def evaluate_files(
    files: dict[str, Path | str], hold_out: HoldOut, name: str, allow_missing: bool = False, intervals: bool = True
) -> Evaluation:
    """Judge prediction files, task -> path, on a hold-out."""
    lists = {
        task: lists_of(read_predictions(path), hold_out, task, allow_missing, str(path)) for task, path in files.items()
    }
    return evaluate_lists(lists, hold_out, name, intervals)


def _lookup(column: pa.ChunkedArray, known: Vocabulary, what: str, where: str) -> np.ndarray:
    """int64 [n]: the index of each id; each distinct one is looked up once."""
    coded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    ids = coded.dictionary.to_pylist()
    index = known.lookup(ids)
    if (index < 0).any():
        first = ids[int(np.flatnonzero(index < 0)[0])]
        raise ValueError(
            f"{where}: {int((index < 0).sum())} unknown {what}(s), the first {first!r}; "
            f"the hold-out has {len(known)} {what}s such as {known.ids[0]!r}"
        )
    return index[pc.cast(coded.indices, pa.int64()).to_numpy(zero_copy_only=False)]


def _once(keys: np.ndarray, where: str, say) -> None:
    distinct, counts = np.unique(keys, return_counts=True)
    if len(distinct) < len(keys):
        raise ValueError(f"{where}: {say(int(distinct[counts > 1][0]))}")


def _check_whole(lists: np.ndarray, hold_out: HoldOut, allow_missing: bool, where: str) -> None:
    have = lists >= 0
    gap = np.argwhere(have[:, 1:] & ~have[:, :-1])
    if len(gap):
        row, column = gap[0]
        raise ValueError(f"{where}: {_user(hold_out, row)} has rank {column + 2} but no rank {column + 1}")
    none = np.flatnonzero(~have[:, 0])
    if len(none) and not allow_missing:
        raise ValueError(
            f"{where}: no predictions for {len(none)} of {len(hold_out)} users, the first "
            f"{_user(hold_out, none[0])}; allow_missing=True scores them as misses"
        )


def _user(hold_out: HoldOut, row: int) -> str:
    return f"user {str(hold_out.users[row])!r}"


def _track(hold_out: HoldOut, index: int) -> str:
    return f"track {str(hold_out.catalogue.ids[index])!r}"
