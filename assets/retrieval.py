"""The index that finds candidates for the served model, one a version."""

import dagster as dg

from assets.describe import OWNERS
from assets.serving import champion_version, exported_model
from lakehouse.settings import Settings


@dg.asset(
    key=["serving", "item_index"],
    deps=[exported_model],
    description="Nearest neighbours among the track vectors of the exported version, in the version's own folder.",
    kinds={"usearch"},
    group_name="serving",
    owners=OWNERS,
    tags={"layer": "serving", "domain": "recommendation"},
    code_version="1",
)
def item_index(settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult:
    from serving.version_index import index_version

    version = champion_version(settings)
    report = index_version(settings, settings.models_dir / settings.model_name / str(version))
    if report is None:
        return dg.MaterializeResult(
            metadata={"summary": f"version {version} has no track vectors and finds all candidates itself", "tracks": 0}
        )
    return dg.MaterializeResult(
        metadata={
            "summary": f"version {version}: {report.tracks} tracks, recall@{report.n} {report.recall:.3f}, "
            f"{report.graph_ms:.2f} ms a search ({report.exact_ms:.2f} ms the exact one)",
            "version": version,
            **{name: getattr(report, name) for name in ("tracks", "n", "recall", "worst", "effort", "bytes")},
            "ms by graph": report.graph_ms,
            "ms exactly": report.exact_ms,
            "answers exactly": report.exact,
        }
    )


@dg.asset_check(
    asset=item_index,
    blocking=True,
    description="The index finds at least 95 % of the nearest tracks that an exact search finds.",
)
def finds_the_nearest(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    from serving.index import LEAST_RECALL, ItemIndex

    version = champion_version(settings)
    try:
        report = ItemIndex.load(settings.models_dir / settings.model_name / str(version)).report
    except FileNotFoundError as error:
        return dg.AssetCheckResult(passed=True, description=f"nothing to search: {error}")
    return dg.AssetCheckResult(
        passed=report.recall >= LEAST_RECALL or report.exact,
        description=f"recall@{report.n} {report.recall:.3f} ({report.queries} listeners), at least {report.worst:.3f}",
        metadata={"recall": report.recall, "worst": report.worst, "queries": report.queries},
    )
