"""What a stored memory adds where a session begins, on the simulated world.

python -m benchmarks.memory [seeds]

Each seed is a world of its own. Models learn from its first days and are asked just before drawn plays of the last
ones, in full ranking. Listeners are the unit of the intervals.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.report import write_part

if TYPE_CHECKING:
    from models.data import ListeningData
    from models.recommend.requests import Queries
    from models.recommend.sequence.long_term import LongTerm
    from models.recommend.sequence.memory_table import Space

USERS, TRACKS, DAYS, HELD_DAYS = 220, 2000, 40, 6
MOMENTS = 6  # of either kind, a listener
METRICS = ("NDCG@10", "Recall@10", "MRR")
SLICES = ("first play", "later plays")
OURS, SEEDS = "session + memory", 2


def world_data(seed: int, users: int = USERS, tracks: int = TRACKS, days: int = DAYS) -> ListeningData:
    """The plays of a simulated world as models read them, without a lake in between."""
    from models.context import FIELDS, UNKNOWN
    from models.data import ACOUSTIC, Catalogue, ListeningData
    from simulation import World
    from simulation.log import KIND
    from simulation.rhythm import OFFSETS

    world = World.create(users, tracks, days, date(2026, 1, 1), seed)
    rows = np.concatenate([batch.rows for batch in world.events()])
    rows = rows[rows["kind"] == KIND["play"]]
    _, once = np.unique(np.stack([rows["day"], rows["number"]]), axis=1, return_index=True)
    rows = rows[once]
    rows = rows[np.lexsort((rows["occurred"], rows["user"]))]
    t = world.tracks
    albums = np.unique(np.stack([t.artist, t.album]), axis=1, return_inverse=True)[1].ravel()
    ids = np.array([t.track_id(i) for i in range(len(t))], dtype=object)
    codes = [np.asarray(c, np.int32) for c in (t.artist, albums, t.subgenre)]
    unknown = np.full(
        (len(t), len(ACOUSTIC)), np.nan, np.float32
    )  # what a track sounds like is told by its genre alone
    catalogue = Catalogue(ids, *codes, unknown, *(int(c.max()) + 1 for c in codes))
    counts = np.bincount(rows["user"], minlength=users)
    minutes = rows["occurred"] // 60_000 + np.asarray(OFFSETS)[world.users.place[rows["user"]]]
    context = np.full((len(rows), len(FIELDS)), UNKNOWN, np.int16)
    context[:, FIELDS.index("hour")] = minutes // 60 % 24
    return ListeningData(
        users=np.array([world.users.user_id(u) for u in range(users)], dtype=object),
        catalogue=catalogue,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        items=rows["track"].astype(np.int32),
        times=rows["occurred"].astype(np.int64),
        clock="event",
        context=context,
    )


@dataclass(frozen=True)
class Moments:
    """plays: int64 [M], indices of the plays asked for; begin: int64 [M], of the first play of their session."""

    plays: np.ndarray
    begin: np.ndarray

    @property
    def is_first(self) -> np.ndarray:
        return self.plays == self.begin


def moments(data: ListeningData, cutoff: int, per_user: int, rng: np.random.Generator) -> Moments:
    """At most ``per_user`` first plays of sessions and as many later ones of each listener, of sessions that begin at
    ``cutoff`` (ms) or later, of listeners who have played before it."""
    from models.recommend.sequence.config import SequenceConfig
    from models.recommend.sequence.windows import session_numbers

    number, user = session_numbers(data.offsets, data.times, SequenceConfig()), data.user_of_play
    new = (np.diff(number, prepend=-1) != 0) | (np.diff(user, prepend=-1) != 0)
    begin = np.maximum.accumulate(np.where(new, np.arange(data.n_plays), 0))
    known = data.times[np.minimum(data.offsets[:-1], data.n_plays - 1)] < cutoff
    held = np.flatnonzero((data.times[begin] >= cutoff) & known[user])
    order = rng.permutation(held)
    order = order[np.lexsort((new[order], user[order]))]
    group = user[order] * 2 + new[order]
    nth = np.arange(len(order)) - np.searchsorted(group, group)
    plays = np.sort(order[nth < per_user])
    return Moments(plays, begin[plays])


def queries_of(data: ListeningData, plays: np.ndarray, begin: np.ndarray | None = None) -> Queries:
    """What is known just before ``plays``: the plays from ``begin`` on, or all, and the moment."""
    from models.recommend.requests import Queries

    low = data.offsets[data.user_of_play[plays]] if begin is None else begin
    parts = [slice(a, b) for a, b in zip(low, plays, strict=True)]
    asked = Queries.of([data.items[part].astype(np.int64) for part in parts])
    return replace(
        asked, context=data.context[plays].astype(np.int32), times=[data.times[part] for part in parts],
        now=data.times[plays], context_fields=data.context_fields,
    )  # fmt: skip


def stored_memories(data: ListeningData, begin: np.ndarray, space: Space) -> list[LongTerm]:
    """The memory of the table just before each session that starts at ``begin``, by updates session after session."""
    from models.recommend.sequence.long_term import LongTerm
    from models.recommend.sequence.memory_table import updated

    rows, out = {}, []
    for start in begin.tolist():
        user = int(data.user_of_play[start])
        plays = slice(int(data.offsets[user]), start)
        rows[user] = updated(rows.get(user), data.items[plays], data.times[plays], int(data.times[start]), space)
        out.append(LongTerm.empty(space.dim, space.name) if rows[user] is None else rows[user].memory)
    return out


def ranks(scores_of: Callable[[slice], np.ndarray], targets: np.ndarray, batch: int = 256) -> np.ndarray:
    """int64 [M]: the place of each target among all tracks, from 1; tracks of the same score come before it."""
    out = []
    for start in range(0, len(targets), batch):
        part = slice(start, start + batch)
        scores, right = scores_of(part), targets[part]
        mine = scores[np.arange(len(right)), right][:, None]
        out.append((scores >= mine).sum(1))
    return np.concatenate(out)


def by_listener(rank: np.ndarray, users: np.ndarray) -> dict[str, np.ndarray]:
    """METRICS of places from 1, each the mean over a listener's moments."""
    _, row = np.unique(users, return_inverse=True)
    count = np.bincount(row)
    hit = rank <= 10
    values = (np.where(hit, 1 / np.log2(1 + rank), 0), hit.astype(float), 1 / rank)
    return {name: np.bincount(row, value) / count for name, value in zip(METRICS, values, strict=True)}


def rows_of(queries: Queries, part: slice) -> Queries:
    return replace(
        queries, histories=queries.histories[part], context=queries.context[part], profile=queries.profile[part],
        times=queries.times[part], now=queries.now[part],
    )  # fmt: skip


def own_plays(queries: Queries, popularity: np.ndarray, half_life: float = 100.0) -> np.ndarray:
    """float64 [B, I]: the listener's own plays of each track, halved every ``half_life`` plays; then popularity."""
    out = np.tile(1e-3 * popularity / popularity.max(), (len(queries), 1))
    for row, history in zip(out, queries.histories, strict=True):
        np.add.at(row, history, 0.5 ** (np.arange(len(history))[::-1] / half_life))
    return out


def answers(data: ListeningData, cutoff: int, asked: Moments, seed: int) -> dict[str, np.ndarray]:
    """Model -> the place of each play that came, of models that have learned from the plays before ``cutoff``."""
    from models.recommend.popularity import Popularity, PopularityConfig
    from models.recommend.sequence import GRU4Rec, GRU4RecConfig, SessionConfig, SessionModel

    train = data.keep(data.times < cutoff)
    whole, current = queries_of(data, asked.plays), queries_of(data, asked.plays, asked.begin)
    config = SessionConfig(seed=seed)
    popularity = Popularity(PopularityConfig(segment="hour")).fit(train)
    alone = _fitted("session only", SessionModel(replace(config, memory=False)), train)
    model = _fitted("session + memory", SessionModel(config), train)
    full = _fitted("full history", GRU4Rec(GRU4RecConfig(seed=seed)), train)
    memories = stored_memories(data, asked.begin, model.space)
    scorers = {
        "popularity by hour": lambda part: popularity.scores(rows_of(whole, part)),
        "own plays": lambda part: own_plays(rows_of(whole, part), train.plays),
        "session only": lambda part: alone.scores(rows_of(current, part)),
        "session + memory": lambda part: model.scores_beside(rows_of(current, part), memories[part]),
        "full history": lambda part: full.scores(rows_of(whole, part)),
    }
    return {name: ranks(scores_of, data.items[asked.plays]) for name, scores_of in scorers.items()}


def _fitted(name: str, model, train: ListeningData):
    started = time.monotonic()
    model.fit(train)
    print(f"{name}: fit in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return model


def measured(seed: int) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Slice -> model -> metric -> a value a listener, of one world."""
    data = world_data(seed)
    cutoff = int(data.times.max()) - HELD_DAYS * 86_400_000
    asked = moments(data, cutoff, MOMENTS, np.random.default_rng(seed))
    users = data.user_of_play[asked.plays]
    found = answers(data, cutoff, asked, seed)
    inside = dict(zip(SLICES, (asked.is_first, ~asked.is_first), strict=True))
    return {
        part: {name: by_listener(rank[rows], users[rows]) for name, rank in found.items()}
        for part, rows in inside.items()
    }


def report(worlds: list[dict[str, dict[str, dict[str, np.ndarray]]]]) -> str:
    """Markdown: every model on either slice, then what the memory adds to a session and what it lacks of a history;
    listeners of all worlds together, in the last column world by world."""
    from models.evaluation.bootstrap import mean_interval, paired_interval

    lines = [f"| play | model | {' | '.join(METRICS)} |", "|---" * (2 + len(METRICS)) + "|"]
    pooled = {
        part: {
            name: {m: np.concatenate([world[part][name][m] for world in worlds]) for m in METRICS}
            for name in worlds[0][part]
        }
        for part in SLICES
    }
    for part, models in pooled.items():
        for name, values in models.items():
            lines.append(f"| {part} | {name} | {' | '.join(str(mean_interval(values[m])) for m in METRICS)} |")
    lines += ["", f"| play | session + memory less | {' | '.join(METRICS)} | NDCG@10 of each world |"]
    lines.append("|---" * (3 + len(METRICS)) + "|")
    for part, models in pooled.items():
        for name in models:
            if name == OURS:
                continue
            cells = [f"{paired_interval(models[name][m], models[OURS][m]):+}" for m in METRICS]
            each = [world[part][OURS]["NDCG@10"].mean() - world[part][name]["NDCG@10"].mean() for world in worlds]
            lines.append(f"| {part} | {name} | {' | '.join(cells)} | {', '.join(f'{x:+.4f}' for x in each)} |")
    return "\n".join(lines)


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    started = time.monotonic()
    worlds = [measured(seed) for seed in range(1, 1 + seeds)]
    n = {part: [len(world[part][OURS]["MRR"]) for world in worlds] for part in SLICES}
    text = (
        f"{seeds} worlds of {USERS} listeners, {TRACKS:,} tracks and {DAYS} days, the last {HELD_DAYS} held out; up to "
        f"{MOMENTS} first plays of sessions and as many later ones of each listener ("
        + "; ".join(f"{part}: {' and '.join(map(str, sizes))} listeners" for part, sizes in n.items())
        + "). The memory is the one of the table, updated at the end of every session; the request beside it carries "
        "the plays of the current session alone.\n\n"
    )
    took = f"\n\n{(time.monotonic() - started) / 60:.1f} minutes."
    write_part("What a memory adds where a session begins", text + report(worlds) + took, "python -m benchmarks.memory")


if __name__ == "__main__":
    main()
