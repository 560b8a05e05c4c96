"""`soundlake rollout`, `soundlake rollback`: which version answers whom, and back to the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from orchestration.cli.common import LakeOption, console, settings_for
from orchestration.cli.errors import CommandError

if TYPE_CHECKING:
    from lakehouse.settings import Settings

_SHOWN = 10


def register(app: typer.Typer) -> None:
    app.command()(rollout)
    app.command()(rollback)


def rollout(
    retry: Annotated[
        int | None, typer.Option(help="Let a version that was rolled back be published again.", metavar="VERSION")
    ] = None,
    lake: LakeOption = None,
) -> None:
    """Which version is stable, which is on trial and how it does, and what was published when."""
    from serving.config import get_model, load_server_config
    from serving.journal import RETRY, Journal

    settings = settings_for(lake)
    journal = Journal(settings.models_dir, settings.model_name)
    if retry is not None:
        if journal.rejected(retry) is None:
            raise CommandError(f"version {retry} was not rolled back; `soundlake rollout` shows what was")
        journal.note(RETRY, retry, reason="by hand")
        console.print(f"version {retry} may be published again: the job `publish` does it")
    file = settings.models_config
    model = get_model(load_server_config(file), settings.model_name) if file.exists() else None
    if model is None:
        console.print("Nothing is published yet; `soundlake run` publishes the champion")
        return
    labels = ", ".join(f"{label} {version}" for label, version in model.labels.items())
    console.print(f"[bold]{settings.model_name}[/] {labels}; loaded: {', '.join(map(str, model.versions))}")
    _print_trial(settings)
    for act in journal.acts()[-_SHOWN:]:
        before = f" (was {act.other})" if act.other not in (None, act.version) else ""
        console.print(f"  {act.at}  version {act.version} {act.action}{before}  {escape(act.reason)}")


def _print_trial(settings: Settings) -> None:
    from serving.canary import Trial
    from serving.rollout import CANARY, STABLE, Rollout
    from serving.traffic import Traffic, scrape

    trying = Rollout.load(settings.models_dir)
    if not trying.under_way:
        console.print("No version is on trial")
        return
    console.print(f"Version {trying.canary} is on trial: {trying.share:.1%} of listeners since {trying.opened_at}")
    trial, traffic = Trial.load(settings.models_dir), scrape(settings.api_url)
    if trial is None or trial.opened_at != trying.opened_at:
        return
    total = trial.seen(traffic).total if traffic is not None else trial.total
    for label in (STABLE, CANARY):
        one = total.get(label, Traffic())
        line = f"  {label:8}{one.requests:>8,.0f} requests, {one.errors:,.0f} unanswered"
        if one.requests:
            line += f", p95 {one.latency.quantile(0.95) * 1000:.1f} ms, median top score {one.scores.quantile(0.5):.3g}"
        console.print(line)
    if traffic is None:
        console.print(f"  no API answers at {settings.api_url}: the figures are those of the last look")


def rollback(
    to: Annotated[int | None, typer.Option(help="Version to return to; default: the one before.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.")] = "rolled back by hand",
    lake: LakeOption = None,
) -> None:
    """Make the version before stable again, at once; the one that was is not published again by itself."""
    from serving.lake_model import model_server, publisher

    settings = settings_for(lake)
    if not settings.models_config.exists():
        raise CommandError("Nothing is published yet; `soundlake run` publishes the champion")
    with model_server(settings) as running:
        publishing = publisher(settings, running, lambda step: console.print(f"  {escape(step)}"))
        before = publishing.current()
        after = publishing.rollback(to, reason)
    console.print(
        f"version {after.labels['stable']} is stable"
        + (f", {before.labels['stable']} is not any more" if before else "")
        + "; `soundlake rollout` shows what was published when"
    )
