"""LambdaMART (Burges 2010): boosted trees that learn the order of a moment's candidates, trained by XGBoost on Spark.

With a Spark session the rows are shared out to its tasks, which build every tree together (XGBoost's collective
histograms); a cluster needs no other code. Without one the same trees are grown in this process.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS_A_FILE = 100_000


@dataclass(frozen=True)
class LambdaMartConfig:
    """Chosen on a validation tail of real listening. pairs: the best placed candidates that are compared with all
    others of their moment (the rest are never seen); workers: Spark tasks that train together."""

    trees: int = 300
    learning_rate: float = 0.1
    depth: int = 6
    min_child_weight: float = 20.0
    subsample: float = 0.8
    columns: float = 0.5
    pairs: int = 10
    workers: int = 2
    seed: int = 0

    def params(self) -> dict[str, object]:
        """In XGBoost's names."""
        return {
            "objective": "rank:ndcg",
            "n_estimators": self.trees,
            "learning_rate": self.learning_rate,
            "max_depth": self.depth,
            "min_child_weight": self.min_child_weight,
            "subsample": self.subsample,
            "colsample_bytree": self.columns,
            "tree_method": "hist",
            "lambdarank_pair_method": "topk",
            "lambdarank_num_pair_per_sample": self.pairs,
            "random_state": self.seed,
        }


def fit_lambdamart(
    features: np.ndarray,
    relevant: np.ndarray,
    group: np.ndarray,
    config: LambdaMartConfig,
    spark: SparkSession | None = None,
) -> bytes:
    """Of rows of features (float32 [R, F]), right or not (float32 [R], 1 or 0), of moments (int32 [R], ascending).

    -> the model as XGBoost's JSON, for :class:`models.recommend.two_stage.trees.Trees`.

    Raises ValueError where no moment has a right and a wrong candidate.
    """
    if not len(relevant) or relevant.min() == relevant.max():
        raise ValueError(
            "lambdamart: nothing to learn an order from, no moment has a right and a wrong candidate; "
            "ingest more events, or raise TwoStageConfig.candidates"
        )
    rows = features, relevant, group
    return _in_process(*rows, config) if spark is None else _on_spark(*rows, config, spark)


def _in_process(features, relevant, group, config: LambdaMartConfig) -> bytes:
    import xgboost

    model = xgboost.XGBRanker(**config.params())
    model.fit(features, relevant, qid=group)
    return bytes(model.get_booster().save_raw("json"))


def _on_spark(features, relevant, group, config: LambdaMartConfig, spark: SparkSession) -> bytes:
    from xgboost.spark import SparkXGBRanker

    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="soundlake-ranking-") as folder:
        _write(features, relevant, group, Path(folder))
        rows = spark.read.parquet(f"file://{folder}")
        ranker = SparkXGBRanker(
            features_col="features",
            label_col="relevant",
            qid_col="moment",
            num_workers=config.workers,
            verbosity=0,
            **config.params(),
        )
        return bytes(ranker.fit(rows).get_booster().save_raw("json"))


def _write(features, relevant, group, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    width = features.shape[1]
    for start in range(0, len(relevant), ROWS_A_FILE):
        rows = slice(start, start + ROWS_A_FILE)
        values = pa.array(np.ascontiguousarray(features[rows], np.float32).ravel())
        table = pa.table(
            {
                "moment": group[rows],
                "relevant": relevant[rows],
                "features": pa.FixedSizeListArray.from_arrays(values, width),
            }
        )
        pq.write_table(table, folder / f"{start:012d}.parquet")
