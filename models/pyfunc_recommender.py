"""The registered model's code (MLflow models-from-code): DataFrame in, DataFrame out, over the serving SavedModel.

Nothing is pickled: MLflow stores this file and the two SavedModel folders, and runs the file when it loads the model.
"""

from __future__ import annotations

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel

from models.recommend.base import Requests
from models.saved import SavedRecommender


class RecommenderPyfunc(PythonModel):
    """Columns in: ``history`` (list of track ids, oldest first) and optionally ``exclude`` (list; by default the
    history), ``hour`` (0-23, -1 unknown), ``device``. Parameter ``k``. Columns out: ``track_ids``, ``scores``."""

    def load_context(self, context) -> None:
        self._recommender = SavedRecommender(context.artifacts["serving"])

    def predict(self, context, model_input: pd.DataFrame, params: dict | None = None) -> pd.DataFrame:
        k = int((params or {}).get("k", 10))
        histories = [_strings(value) for value in model_input["history"]]
        exclude = histories
        if "exclude" in model_input:
            exclude = [h if v is None else _strings(v) for v, h in zip(model_input["exclude"], histories, strict=True)]
        hours = model_input["hour"].fillna(-1).astype(int).tolist() if "hour" in model_input else None
        devices = model_input["device"].fillna("").tolist() if "device" in model_input else None
        ids, scores = self._recommender.recommend(Requests.of(histories, exclude, hour=hours, device=devices), k)
        columns = {"track_ids": [[i for i in row if i] for row in ids.tolist()]}
        columns["scores"] = [
            row[: len(found)] for row, found in zip(scores.tolist(), columns["track_ids"], strict=True)
        ]
        return pd.DataFrame(columns, index=model_input.index)


def _strings(values) -> list[str]:
    return [] if values is None else [str(value) for value in values]


mlflow.models.set_model(RecommenderPyfunc())
