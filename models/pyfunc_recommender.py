"""The registered model's code (MLflow models-from-code): DataFrame in, DataFrame out, over the stored model.

MLflow stores this file beside the folders of :mod:`models.stored`, and runs it when it loads the model.
"""

from __future__ import annotations

from pathlib import Path

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel

from models.context.wire import KEYS, sides
from models.recommend.base import Requests
from models.stored import load


class RecommenderPyfunc(PythonModel):
    """Columns in: ``history`` (list of track ids, oldest first) and optionally ``exclude`` (list; by default the
    history) and what is known of moment and listener, by ``models.context.wire.KEYS``. Parameter ``k``. Columns out:
    ``track_ids``, ``scores``."""

    def load_context(self, context) -> None:
        artifacts = context.artifacts
        self._recommender = load(Path(artifacts["serving" if "serving" in artifacts else "evaluation"]))

    def predict(self, context, model_input: pd.DataFrame, params: dict | None = None) -> pd.DataFrame:
        k = int((params or {}).get("k", 10))
        histories = [_strings(value) for value in model_input["history"]]
        exclude = histories
        if "exclude" in model_input:
            exclude = [h if v is None else _strings(v) for v, h in zip(model_input["exclude"], histories, strict=True)]
        context, profile = sides({key: _known(model_input[key]) for key in KEYS if key in model_input})
        ids, scores = self._recommender.recommend(Requests.of(histories, exclude, profile, **context), k)
        columns = {"track_ids": [[i for i in row if i] for row in ids.tolist()]}
        columns["scores"] = [
            row[: len(found)] for row, found in zip(scores.tolist(), columns["track_ids"], strict=True)
        ]
        return pd.DataFrame(columns, index=model_input.index)


def _known(column: pd.Series) -> list:
    return [None if pd.isna(value) else value for value in column]


def _strings(values) -> list[str]:
    return [] if values is None else [str(value) for value in values]


mlflow.models.set_model(RecommenderPyfunc())
