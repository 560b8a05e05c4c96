"""What a recommender is asked: histories with their moment and their listener, raw as they come, and as codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from models.context import FIELDS, PROFILE_FIELDS, UNKNOWN, Categories
from models.data import ListeningData
from models.rows import months
from models.vocabulary import Vocabulary

Histories = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Requests:
    """B requests in raw ids and values; only ``histories`` has to be known.

    histories: plays, oldest first, unknown ids are ignored; exclude: tracks never to return; times: ms since 1970 of
    each play; skipped: 1, 0 or -1 (unknown) of each play; now: ms since 1970 of each request; context: field of
    ``models.context.FIELDS`` -> a value a request, None where unknown; profile: the same of ``PROFILE_FIELDS``.

    >>> asked = Requests.of([["track-1"], []], hour=[8, None], device=["phone", "tv"])
    >>> len(asked), asked[1:].context["device"]
    (2, ['tv'])
    """

    histories: Histories
    exclude: Histories | None = None
    times: Sequence[Sequence[int]] | None = None
    skipped: Sequence[Sequence[int]] | None = None
    now: Sequence[int] | None = None
    context: Mapping[str, Sequence] = field(default_factory=dict)
    profile: Mapping[str, Sequence] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.histories)
        columns = {"exclude": self.exclude, "times": self.times, "skipped": self.skipped, "now": self.now}
        for name, values in (
            columns | dict(self.context) | {f"profile {k}": v for k, v in self.profile.items()}
        ).items():
            if values is not None and len(values) != n:
                raise ValueError(f"requests: {name} has {len(values)} entries for {n} histories; give one each")
        for known, asked in ((FIELDS, self.context), (PROFILE_FIELDS, self.profile)):
            for name in asked:
                if name not in known:
                    raise ValueError(f"requests: no field is called {name!r}; there are {', '.join(known)}")

    @classmethod
    def of(cls, histories: Histories, exclude: Histories | None = None, profile=None, **context) -> Requests:
        """Requests without times; the fields of the context by name, None where a field is not known at all."""
        return cls(
            histories, exclude, profile=profile or {}, context={k: v for k, v in context.items() if v is not None}
        )

    def __len__(self) -> int:
        return len(self.histories)

    def __getitem__(self, rows: slice) -> Requests:
        """Some of the requests, in order."""

        def cut(values):
            return None if values is None else values[rows]

        return Requests(
            self.histories[rows], cut(self.exclude), cut(self.times), cut(self.skipped), cut(self.now),
            {k: cut(v) for k, v in self.context.items()}, {k: cut(v) for k, v in self.profile.items()},
        )  # fmt: skip

    def for_task(self, task: str) -> Requests:
        """The same for "next" (repeats allowed) or "discover" (the history excluded)."""
        if task not in ("next", "discover"):
            raise ValueError(f"task: {task!r} is neither 'next' (repeats allowed) nor 'discover' (history excluded)")
        return replace(self, exclude=self.histories if task == "discover" else None)

    def encode(self, tracks: Vocabulary, context_fields: Categories, profile_fields: Categories) -> Queries:
        """As indices and codes of one model, in the fields that it looks at. The month, if it is not given, is that of
        ``now``."""
        found = [tracks.lookup(history) for history in self.histories]
        known = [row >= 0 for row in found]
        context = context_fields.encode(_of(self.context, context_fields), len(self))
        now = None
        if self.now is not None:
            now = np.array([UNKNOWN if value is None else value for value in self.now], np.int64)
            if "month" in context_fields.fields and "month" not in self.context:
                context[:, context_fields.column("month")] = np.where(now >= 0, months(now), UNKNOWN)

        def of_known(name: str, dtype):
            rows = getattr(self, name)
            if rows is None:
                return None
            for row, history in zip(rows, self.histories, strict=True):
                if len(row) != len(history):
                    raise ValueError(f"requests: {name} has {len(row)} entries for {len(history)} plays of a history")
            return [np.asarray(row, dtype)[keep] for row, keep in zip(rows, known, strict=True)]

        return Queries(
            [row[keep] for row, keep in zip(found, known, strict=True)],
            context,
            profile_fields.encode(_of(self.profile, profile_fields), len(self)),
            of_known("times", np.int64),
            of_known("skipped", np.int8),
            now,
            None if self.exclude is None else [tracks.known(row) for row in self.exclude],
            context_fields,
        )


@dataclass(frozen=True)
class Queries:
    """Requests as a fitted model sees them, B of them.

    histories: B arrays of track indices, oldest first; context: int32 [B, F], codes in the order of
    ``models.context.FIELDS``, -1 unknown; profile: int32 [B, P] of ``PROFILE_FIELDS``; times: int64 ms and skipped:
    int8 (-1 unknown) beside each play, None where not told; now: int64 [B] ms, -1 unknown, or None;
    exclude: B arrays of the track indices never to return, or None.
    """

    histories: list[np.ndarray]
    context: np.ndarray
    profile: np.ndarray
    times: list[np.ndarray] | None = None
    skipped: list[np.ndarray] | None = None
    now: np.ndarray | None = None
    exclude: list[np.ndarray] | None = None
    context_fields: Categories = field(default_factory=lambda: Categories.of(FIELDS), repr=False)

    def __len__(self) -> int:
        return len(self.histories)

    @classmethod
    def of(cls, histories: list[np.ndarray]) -> Queries:
        """Nothing known but the plays."""
        n = len(histories)
        unknown = (np.full((n, len(fields)), UNKNOWN, np.int32) for fields in (FIELDS, PROFILE_FIELDS))
        return cls(list(histories), *unknown)

    @property
    def moment(self) -> np.ndarray:
        """int32 [B, F + P]: context and profile side by side, by ``models.context.wire.KEYS``."""
        return np.concatenate([self.context, self.profile], 1).astype(np.int32)

    def of_context(self, name: str) -> np.ndarray:
        """int32 [B]: the codes of one field."""
        return self.context[:, self.context_fields.column(name)]


def _of(values: Mapping[str, Sequence], fields: Categories) -> dict[str, Sequence]:
    return {name: values[name] for name in fields.fields if name in values}


def requests_of(data: ListeningData, users: Sequence[int] | None = None) -> Requests:
    """What is known of listeners (all by default) before they ask: histories with times and skips, and profiles.

    The moment is left open; see :func:`moment_of` for that of a play.
    """
    chosen = np.arange(data.n_users) if users is None else np.asarray(users, np.int64)
    plays = [slice(data.offsets[user], data.offsets[user + 1]) for user in chosen]
    return Requests(
        data.histories(chosen.tolist()),
        times=None if data.times is None else [data.times[rows] for rows in plays],
        skipped=[data.skipped[rows] for rows in plays],
        profile=data.profile_fields.decode(data.profiles[chosen]),
    )


def moment_of(data: ListeningData, plays: np.ndarray) -> tuple[dict[str, list], np.ndarray | None]:
    """Context (raw values) and times of some plays (indices [B] into ``data.items``): that of a request just before."""
    return data.context_fields.decode(data.context[plays]), None if data.times is None else data.times[plays]
