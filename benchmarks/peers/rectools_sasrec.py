"""SASRec of RecTools on listening sequences: run by an environment of its own, with `pip install "rectools[torch]"`.

    PYTHON benchmarks/peers/rectools_sasrec.py train.csv OUT [--minutes 20]

train.csv: user (int), track (int), place (int, its order among the user's plays). OUT gets next.csv and
discover.csv (user, rank from 1, track) and said.json (settings, epochs, seconds, examples, examples_per_second).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

SETTINGS = {"n_factors": 128, "n_blocks": 2, "n_heads": 2, "session_max_len": 200, "dropout_rate": 0.2, "lr": 1e-3,
            "batch_size": 64, "loss": "gBCE", "n_negatives": 64, "gbce_t": 0.75}  # fmt: skip


QUIET = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
DONE = {"epochs": 0, "examples": 0, "seconds": 0.0}  # not kept in the callback, of which RecTools makes a copy


class Clock(Callback):
    """Ends the training when the minutes are over, after a whole epoch; counts the plays that were predicted."""

    def __init__(self, minutes: float):
        self.until = minutes * 60

    def on_train_start(self, trainer, module) -> None:
        self._started = time.monotonic()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        DONE["examples"] += int((batch["y"] != 0).sum())

    def on_train_epoch_end(self, trainer, module) -> None:
        epochs, seconds = DONE["epochs"] + 1, time.monotonic() - self._started
        DONE.update(epochs=epochs, seconds=seconds)
        print(f"{epochs} epochs, {seconds:.0f} s, {DONE['examples'] / seconds:,.0f} examples/s", flush=True)
        trainer.should_stop = seconds * (1 + 1 / epochs) > self.until


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    plays = pd.read_csv(args.train)
    interactions = pd.DataFrame(
        {
            Columns.User: plays["user"],
            Columns.Item: plays["track"],
            Columns.Weight: 1.0,
            Columns.Datetime: pd.Timestamp(0) + pd.to_timedelta(plays["place"], unit="s"),
        }
    )

    def trainer() -> Trainer:
        return Trainer(max_epochs=args.epochs, accelerator="cpu", callbacks=[Clock(args.minutes)], **QUIET)

    dataset = Dataset.construct(interactions)
    model = SASRecModel(**SETTINGS, epochs=args.epochs, get_trainer_func=trainer).fit(dataset)
    users = np.sort(plays["user"].unique())
    args.out.mkdir(parents=True, exist_ok=True)
    for task in ("next", "discover"):
        found = model.recommend(users, dataset, k=100, filter_viewed=task == "discover")
        named = {Columns.User: "user", Columns.Rank: "rank", Columns.Item: "track"}
        found.rename(columns=named)[list(named.values())].to_csv(args.out / f"{task}.csv", index=False)
    said = {"settings": SETTINGS, **DONE, "examples_per_second": DONE["examples"] / DONE["seconds"]}
    (args.out / "said.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main()
