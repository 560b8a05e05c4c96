"""SASRec of RecTools beside soundlake's models: the same split, the same judge, an environment of its own."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from models.data import ListeningData
from models.evaluation.metrics import DEPTH, TASKS, Evaluation, evaluate_lists
from models.evaluation.split import HoldOut

NAME = "rectools_sasrec"
PROGRAM = Path(__file__).parent / "peers" / f"{NAME}.py"


@dataclass(frozen=True)
class Peer:
    evaluation: Evaluation
    seconds: float
    examples_per_second: float


def sasrec(python: str, train: ListeningData, hold_out: HoldOut, seed: int, minutes: float) -> Peer:
    """Trained on ``train`` and judged on ``hold_out`` of the same users, by the interpreter ``python``.

    Raises subprocess.CalledProcessError where the program fails; what it says is on the terminal.
    """
    with TemporaryDirectory() as folder:
        plays, out = Path(folder) / "train.csv", Path(folder) / "out"
        place = np.arange(train.n_plays) - train.offsets[train.user_of_play]
        pd.DataFrame({"user": train.user_of_play, "track": train.items, "place": place}).to_csv(plays, index=False)
        told = ["--minutes", str(minutes), "--seed", str(seed)]
        subprocess.run([python, str(PROGRAM), str(plays), str(out), *told], check=True)
        said = json.loads((out / "said.json").read_text())
        lists = {task: _lists(pd.read_csv(out / f"{task}.csv"), train, hold_out) for task in TASKS}
    return Peer(evaluate_lists(lists, hold_out, NAME), said["seconds"], said["examples_per_second"])


def _lists(found: pd.DataFrame, train: ListeningData, hold_out: HoldOut) -> np.ndarray:
    """int64 [users of the hold-out, DEPTH] of rows of user, rank and track; the catalogues are the same."""
    ranked = np.full((train.n_users, DEPTH), -1, np.int64)
    ranked[found["user"], found["rank"] - 1] = found["track"]
    row = {user: at for at, user in enumerate(train.users.tolist())}
    return ranked[[row[user] for user in hold_out.users.tolist()]]
