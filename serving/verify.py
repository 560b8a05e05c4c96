"""The infrastructure gate: does the server give the answers the trainer computed?

Two blessings before a push, as in TFX: the model is good enough (the trainer's gate), and the served model is that
model (this gate), asked over the wire, version by version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.answers import as_text
from serving.client import ModelClient

SIGNATURE = "recommend"


@dataclass(frozen=True)
class VerifyResult:
    """What the gate saw.

    `asked` and `agreed` count rows (one user's list each); `worst_score_difference` is over all positions;
    `first_disagreement` says which row, what was expected and what was served.
    """

    version: int
    asked: int
    agreed: int
    worst_score_difference: float
    first_disagreement: str | None = None

    @property
    def ok(self) -> bool:
        """Whether every row agreed (and there was one)."""
        return self.asked > 0 and self.agreed == self.asked


def verify_version(
    client: ModelClient,
    name: str,
    version: int,
    requests: Sequence[Mapping[str, Any]],
    expected_ids: Sequence[np.ndarray],
    expected_scores: Sequence[np.ndarray],
    tolerance: float = 1e-4,
) -> VerifyResult:
    """Ask `version` each of `requests` (inputs of the signature `recommend`) and compare with the trainer's answers.

    Args:
        requests: one mapping of inputs per call, of any batch size B.
        expected_ids: per call, ids [B, k] (or [k] for a batch of one), best first.
        expected_scores: per call, scores of the same shape.
        tolerance: the largest absolute difference of scores that counts as equal. Ids may change places only among
            scores that equal each other so, as two machines may order a tie differently.
    """
    if not len(requests) == len(expected_ids) == len(expected_scores):
        raise ValueError(
            f"requests, expected_ids and expected_scores must be of one length, "
            f"not {len(requests)}, {len(expected_ids)} and {len(expected_scores)}"
        )
    asked = agreed = 0
    worst, first = 0.0, None
    for inputs, ids, scores in zip(requests, expected_ids, expected_scores, strict=True):
        outputs = client.ask(name, inputs, SIGNATURE, version=version).outputs
        served = list(zip(as_text(outputs["track_ids"]), outputs["scores"], strict=True))
        wanted = list(zip(np.atleast_2d(as_text(ids)), np.atleast_2d(np.asarray(scores, np.float64)), strict=True))
        if len(served) != len(wanted):
            raise ValueError(f"request {asked} was answered with {len(served)} rows, expected {len(wanted)}")
        for (served_ids, served_scores), (wanted_ids, wanted_scores) in zip(served, wanted, strict=True):
            difference, reason = compare_rows(wanted_ids, wanted_scores, served_ids, served_scores, tolerance)
            worst = max(worst, difference)
            if reason is None:
                agreed += 1
            elif first is None:
                first = f"row {asked}: {reason}"
            asked += 1
    return VerifyResult(version, asked, agreed, worst, first)


def compare_rows(
    wanted_ids: np.ndarray, wanted_scores: np.ndarray, ids: np.ndarray, scores: np.ndarray, tolerance: float
) -> tuple[float, str | None]:
    """(largest score difference, what disagrees or None) of two ranked lists [k]."""
    if len(ids) != len(wanted_ids):
        return float("inf"), f"{len(ids)} tracks served, {len(wanted_ids)} expected"
    scores = np.asarray(scores, np.float64)
    # Equal infinities differ by zero; NaN differs from everything.
    with np.errstate(invalid="ignore"):
        gaps = np.where(scores == wanted_scores, 0.0, np.abs(scores - wanted_scores))
    gaps = np.nan_to_num(gaps, nan=np.inf, posinf=np.inf)
    difference = float(gaps.max(initial=0.0))
    score_of = dict(zip(wanted_ids, wanted_scores, strict=True))
    for position in range(len(ids)):
        wanted_score = float(wanted_scores[position])
        # An id from beyond the list's end can only tie with its last score.
        own = float(score_of.get(ids[position], wanted_scores[-1]))
        swapped = ids[position] != wanted_ids[position] and not _close(own, wanted_score, tolerance)
        if gaps[position] > tolerance or swapped:
            return difference, (
                f"position {position + 1}: expected {wanted_ids[position]} ({wanted_score:.6g}), "
                f"served {ids[position]} ({float(scores[position]):.6g})"
            )
    if len(set(ids)) < len(set(wanted_ids)):
        return difference, "a track is served twice"
    return difference, None


def _close(a: float, b: float, tolerance: float) -> bool:
    return a == b or abs(a - b) <= tolerance
