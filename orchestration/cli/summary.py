"""The end of `soundlake run`, and `soundlake status`."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table as Grid

from orchestration.cli.answers import print_recommendations
from orchestration.cli.common import console
from orchestration.cli.table_views import table_grid

if TYPE_CHECKING:
    from lakehouse.settings import Settings
    from orchestration.runner import RunReport

TOP = 5
SHOWN = {
    "discover_ndcg_at_10": "discover NDCG@10",
    "discover_recall_at_100": "Recall@100",
    "next_ndcg_at_10": "next NDCG@10",
    "next_recall_at_10": "Recall@10",
}


def print_summary(settings: Settings, reports: list[RunReport], seconds: float) -> None:
    console.rule("[bold]Summary")
    console.print(table_grid(settings))
    passed = sum(r.checks_passed for r in reports)
    failed = {name: text for r in reports for name, text in r.checks_failed.items()}
    if reports:
        console.print(f"\n[bold]Checks[/]  {passed} passed, {len(failed)} failed")
    for name, text in failed.items():
        console.print(f"  [yellow]![/] {name}: {escape(text)}")
    for report in reports:
        for step, text in report.failed_steps.items():
            console.print(f"  [red]✗[/] {report.job}, step {step}: {escape(text)}")
    served = _print_model(settings)
    if served and all(r.success for r in reports):
        _print_first_answer(settings)
    console.print(f"\n[bold]Next[/]  soundlake dev{_lake_hint(settings)}  starts Dagster, MLflow, model server")
    console.print(f"      soundlake recommend USER · soundlake tables · soundlake status          ({seconds:.0f} s)")


def _lake_hint(settings: Settings) -> str:
    from lakehouse.settings import Settings as Fresh

    default = Fresh.model_fields["lake"].default
    return "" if settings.lake.endswith(default) else f" --lake {settings.lake}"


def _print_model(settings: Settings) -> int | None:
    """The champion beside its baselines, as its own MLflow run has them; -> the served version."""
    import mlflow

    from models.registry import CHAMPION, aliased_version
    from serving.batch import served_version

    version = aliased_version(settings.tracking_uri, settings.registered_model, CHAMPION)
    if version is None:
        console.print("\n[bold]Model[/]  no champion yet")
        return None
    client = mlflow.MlflowClient(settings.tracking_uri, settings.tracking_uri)
    found = client.get_model_version(settings.registered_model, str(version))
    console.print(f"\n[bold]Models[/]  on the champion's hold-out: {escape(found.tags.get('hold_out', ''))}")
    mlflow.set_tracking_uri(settings.tracking_uri)  # a run that trained nothing has not set it
    _print_comparison(mlflow.artifacts.load_text(f"runs:/{found.run_id}/report/comparison.csv"))
    served = served_version(settings)
    console.print(f"\n[bold]Champion[/]  {settings.registered_model} version {version}")
    console.print(f"  {escape(found.tags.get('gate.reason', ''))}")
    where = settings.model_server or "embedded server, started when asked"
    console.print(f"[bold]Served[/]  {'version ' + str(served) if served else 'nothing yet'} ({where})")
    return served


def _print_comparison(text: str) -> None:
    """Models side by side with 95 % intervals, and in plain words where the trained model loses to a baseline."""
    rows = list(csv.DictReader(io.StringIO(text)))
    models = list(dict.fromkeys(row["model"] for row in rows))
    cells = {(row["model"], row["metric"]): row for row in rows}
    grid = Grid(box=None, pad_edge=False)
    grid.add_column("model")
    for title in SHOWN.values():
        grid.add_column(title, justify="right")
    for model in models:
        grid.add_row(model, *(_with_interval(cells[model, metric]) for metric in SHOWN))
    console.print(grid)
    ours = models[-1]
    for metric, title in SHOWN.items():
        best = max(models, key=lambda m: float(cells[m, metric]["value"]))
        if best != ours:
            console.print(f"  [yellow]![/] {ours} loses to {best} on {title}")


def _with_interval(cell: dict[str, str]) -> str:
    """Value and half the width of its 95 % interval."""
    return f"{float(cell['value']):.3f} ±{(float(cell['hi']) - float(cell['lo'])) / 2:.3f}"


def _print_first_answer(settings: Settings) -> None:
    """The listener with most plays asks the served model."""
    from lakehouse import arrow
    from lakehouse.tables.gold import SEQUENCES
    from serving.ask import ask
    from serving.lake_model import model_server
    from serving.listeners import user_ids

    rows = arrow.read(settings, SEQUENCES, ["user_key", "plays"]).sort_by(
        [("plays", "descending"), ("user_key", "ascending")]
    )
    if not rows.num_rows:
        return
    user = user_ids(settings)[rows["user_key"][0].as_py()]
    with model_server(settings) as running:
        listener, answer = ask(settings, running.client, user, TOP)
    console.print(
        f"\n[bold]Recommended[/] to {escape(user)} ({len(listener.history):,} plays) by version {answer.version}:"
    )
    print_recommendations(answer)


def print_status(settings: Settings) -> None:
    from lakehouse import arrow
    from lakehouse.tables.bronze import QUARANTINE
    from models.registry import CHAMPION, aliased_version
    from orchestration.definitions import defs
    from orchestration.home import instance
    from orchestration.plan import spans_to_run, stale_assets
    from serving.batch import served_version

    dagster = instance(settings)
    spans = spans_to_run(defs, settings, dagster)
    stale = stale_assets(defs, dagster)
    champion = aliased_version(settings.tracking_uri, settings.registered_model, CHAMPION)
    try:
        rows = arrow.read(settings, QUARANTINE, ["status"]).to_pydict()["status"]
        quarantined = f"{rows.count('open'):,} lines open, {rows.count('resolved'):,} resolved"
    except arrow.TableMissing:
        quarantined = "no table yet"
    lines = {
        "lake": settings.lake,
        "days to ingest": ", ".join(f"{a} to {b}" for a, b in spans) or "none",
        "stale assets": ", ".join(k.to_user_string() for k in stale) or "none",
        "quarantine": quarantined,
        "champion": f"version {champion}" if champion else "none",
        "served": f"version {served_version(settings)}" if served_version(settings) else "none",
        "model server": _server_state(settings),
        "MLflow": settings.tracking_uri,
    }
    for name, value in lines.items():
        console.print(f"[bold]{name:<18}[/] {escape(str(value))}")
    if spans or stale:
        console.print("Next: [bold]soundlake run[/]")


def _server_state(settings: Settings) -> str:
    address = settings.model_server
    if address is None:
        return "not running (embedded: started when asked)"
    from serving.client import ModelClient

    with ModelClient(address) as client:
        if not client.is_up():
            return f"nothing answers at {address}"
        states = client.status(settings.model_name)
    return f"{address}: " + (", ".join(f"version {s.version} {s.state}" for s in states) or "no model loaded")
