"""Have the features and labels of the newest day moved away from those that the served model was trained on?"""

from dataclasses import asdict

import dagster as dg

from assets.describe import DAILY, OWNERS, RETRY, key_of
from lakehouse.settings import Settings
from lakehouse.tables.silver import LISTENS

CHECK = "as_in_training"


@dg.asset(
    key=["quality", "feature_drift"],
    deps=[key_of(LISTENS)],
    description="The newest whole day beside the days that the served model was trained on: stability index and "
    "Kolmogorov-Smirnov of each feature and label, with a plot.",
    group_name="quality",
    kinds={"python"},
    owners=OWNERS,
    tags={"layer": "quality", "domain": "listening"},
    code_version="1",
    freshness_policy=DAILY,
    retry_policy=RETRY,
    check_specs=[
        dg.AssetCheckSpec(
            CHECK,
            asset=dg.AssetKey(["quality", "feature_drift"]),
            description="No column has moved: PSI below 0.1 and KS below 0.1, or within chance (1 % for all columns).",
        )
    ],
)
def feature_drift(settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult:
    from models.evaluation import report
    from models.evaluation.report.drift import drift_plot
    from models.feature_drift import feature_drift as measure
    from models.feature_drift import trained_to
    from serving.batch import served_version

    version = served_version(settings)
    found = measure(settings, version, trained_to(settings, version))
    folder = settings.state_dir / "reports" / "drift"
    metadata: dict = {"summary": found.text, "figures": dg.MetadataValue.path(str(found.write(folder)))}
    if found.columns:
        plot = drift_plot(found.columns, found.moved, f"Drift of {found.day}", found.text + ".")
        path = folder / "feature_drift.png"
        path.write_bytes(plot)
        metadata |= {
            "plot": dg.MetadataValue.md(f"![drift]({report.data_uri(plot)})"),
            "plot file": dg.MetadataValue.path(str(path)),
            "largest PSI": max(one.psi for one in found.columns),
            "columns": dg.MetadataValue.md(_table(found)),
        }
    check = dg.AssetCheckResult(
        check_name=CHECK,
        passed=not found.moved,
        severity=dg.AssetCheckSeverity.WARN,
        description=found.text,
        metadata={"moved": dg.MetadataValue.json([asdict(one) for one in found.columns if one.column in found.moved])},
    )
    return dg.MaterializeResult(metadata=metadata, check_results=[check])


def _table(found) -> str:
    lines = ["| column | PSI | KS D or largest share moved | p | rows | moved |", "|---|---|---|---|---|---|"]
    for one in sorted(found.columns, key=lambda one: -one.psi):
        rows = f"{one.rows[1]:,} against {one.rows[0]:,}"
        moved = "yes" if one.column in found.moved else ""
        lines.append(f"| {one.column} | {one.psi:.3f} | {one.statistic:.3f} | {one.p_value:.2g} | {rows} | {moved} |")
    return "\n".join(lines)
