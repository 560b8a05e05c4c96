"""Smaller versions of the models, side by side, and the edge bundle of a region."""

import dagster as dg

from assets.describe import OWNERS
from assets.models import champion, line_up, logged_progress
from lakehouse.settings import Settings

_ARGUMENTS = {
    "deps": [champion],
    "group_name": "models",
    "owners": OWNERS,
    "tags": {"layer": "models", "domain": "recommendation"},
    "code_version": "1",
}
ROUNDS, USERS = 40, 300
"""Timed answers of each version and listeners asked, at most: every training waits for this, so that it is a look and
no benchmark; `python -m benchmarks.compression` takes its time."""


def _store(settings: Settings):
    from models.compress.run import Store

    return Store(settings.tracking_uri, settings.experiment, settings.registered_model, settings.mlflow_artifacts)


def _shown(context: dg.AssetExecutionContext, compress) -> dg.MaterializeResult:
    from models.compress.run import NothingToCompress
    from models.evaluation.report import data_uri

    try:
        made = compress()
    except NothingToCompress as error:
        context.log.warning(str(error))
        return dg.MaterializeResult(metadata={"summary": "nothing compressed", "reason": str(error)})
    return dg.MaterializeResult(
        metadata={
            "summary": f"version {made.version} is {made.comparison.choice.name}",
            "decision": made.comparison.choice.reason,
            "side by side": dg.MetadataValue.md(made.table),
            "size, latency and quality": dg.MetadataValue.md(f"![plot]({data_uri(made.plot)})"),
            "registered as": f"{made.name} version {made.version}",
            "compressed version": made.of,
            "MLflow run": made.run_id,
            "model card": dg.MetadataValue.md(made.card),
        }
    )


@dg.asset(
    key=["models", "compressed_ranker"],
    description="LambdaMART's ranker distilled into small networks, pruned and in int8: size, latency and quality side "
    "by side; the smallest within 0.5 % of its NDCG@10 is registered.",
    kinds={"tensorflow", "mlflow"},
    **_ARGUMENTS,
)
def compressed_ranker(context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult:
    from models.compress.pruning import PruningConfig
    from models.compress.ranker import RankerCompression
    from models.compress.run import compress_ranker_of
    from models.lake_data import load
    from models.recommend.two_stage.student_config import StudentConfig

    data, versions = load(settings)
    moments = min(settings.train_moments or 800, 800)
    how = RankerCompression(
        StudentConfig(epochs=6, moments=2 * moments), pruning=PruningConfig(epochs=3, every=4), rounds=ROUNDS
    )
    config = line_up(settings).seeded(settings.seed).two_stage
    return _shown(
        context,
        lambda: compress_ranker_of(
            _store(settings), data, config, versions, how, moments, USERS, logged_progress(context)
        ),
    )


@dg.asset(
    key=["models", "compressed_sequence"],
    description="The sequential model in int8, pruned and as a narrower student: size, latency and quality side by "
    "side; the smallest within 0.5 % of its NDCG@10 is registered.",
    kinds={"tensorflow", "mlflow"},
    **_ARGUMENTS,
)
def compressed_sequence(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:
    from models.compress.litert import WEIGHTS
    from models.compress.pruning import PruningConfig
    from models.compress.run import compress_sequence_of
    from models.compress.sequence import SequenceCompression
    from models.lake_data import load

    data, versions = load(settings)
    how = SequenceCompression(
        moments=320,
        epochs=2,
        history=100,
        users=USERS,
        pruning=PruningConfig(epochs=2, every=2),
        kinds=(WEIGHTS,),
        rounds=ROUNDS,
    )
    config = line_up(settings).seeded(settings.seed).two_stage
    return _shown(
        context,
        lambda: compress_sequence_of(_store(settings), data, config, versions, how, logged_progress(context)),
    )


@dg.asset(
    key=["models", "edge_bundle"],
    description="One file for devices of the country with the most plays: the sequential model in LiteRT, its tracks' "
    "vectors in int8, ids, titles and checksums. `soundlake edge-bundle` makes that of another country.",
    kinds={"tensorflow", "python"},
    **_ARGUMENTS,
)
def edge_bundle(context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult:
    from models.compress.edge import most_heard_country
    from models.compress.edge_lake import write_bundle_of_lake
    from models.compress.run import NothingToCompress
    from models.lake_data import load

    data, _ = load(settings)
    country = most_heard_country(data)
    if country is None:
        return dg.MaterializeResult(metadata={"summary": "no bundle", "reason": "the events name no country"})
    out = settings.state_dir / "edge" / f"{country}.soundlake"
    try:
        manifest = write_bundle_of_lake(settings, data, line_up(settings), country, out)
    except NothingToCompress as error:
        context.log.warning(str(error))
        return dg.MaterializeResult(metadata={"summary": "no bundle", "reason": str(error)})
    return dg.MaterializeResult(
        metadata={
            "summary": f"{country}: {manifest['tracks']} tracks, {out.stat().st_size / 1024:,.0f} KiB",
            "bundle": dg.MetadataValue.path(str(out)),
            "manifest": dg.MetadataValue.json(dict(manifest)),
        }
    )
