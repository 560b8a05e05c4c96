"""`soundlake recommend`, `soundlake predictions`: ask the served model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.common import LakeOption, console, settings_for
from orchestration.cli.errors import CommandError


def register(app: typer.Typer) -> None:
    app.command()(recommend)
    app.command()(predictions)


def recommend(
    user: Annotated[str, typer.Argument(help="User id as in the raw events; an unknown one is a new listener.")],
    k: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 10,
    device: Annotated[str, typer.Option(help="phone, desktop, speaker, …")] = "",
    hour: Annotated[int, typer.Option(min=-1, max=23, help="Local hour; -1: unknown.")] = -1,
    context: Annotated[
        list[str] | None,
        typer.Option(help="More of the moment, field=value: weather=rain, activity=work, …"),
    ] = None,
    repeats: Annotated[bool, typer.Option(help="Tracks heard before may come again.")] = False,
    reasons: Annotated[
        bool, typer.Option(help="Every reason with its part of the score, a line of JSON a track.")
    ] = False,
    lake: LakeOption = None,
) -> None:
    """Recommendations for one user with their reasons, from the served version."""
    from serving.ask import ask
    from serving.lake_model import model_server

    settings = settings_for(lake)
    moment = moment_of(context or [], device=device, hour=hour)
    with model_server(settings) as running:
        listener, answer = ask(settings, running.client, user, k, moment, repeats)
        where = "embedded server" if running.embedded else "server"
        console.print(
            f"{len(listener.history):,} plays known of {user}; {where} at {running.address}, "
            f"{settings.model_name} version {answer.version}"
        )
    if reasons:
        print_reasons(answer)
    else:
        print_recommendations(answer)


def moment_of(said: list[str], **more) -> dict[str, object]:
    """Field -> value of texts such as "weather=rain"; raises CommandError for what is no field."""
    from models.context import FIELDS

    moment = dict(more)
    for text in said:
        name, equals, value = text.partition("=")
        if not equals or name not in FIELDS:
            raise CommandError(f"--context {text}: give field=value, with one of the fields {', '.join(FIELDS)}")
        moment[name] = value
    return moment


def print_recommendations(answer) -> None:
    from rich.markup import escape

    for rank, item in enumerate(answer, 1):
        title = item.title or item.track_id
        artist = f" · {item.artist}" if item.artist else ""
        console.print(f"{rank:>3}  [bold]{escape(title)}[/]{escape(artist)}  ({item.score:.3f})")
        console.print(f"     {escape(item.sentence)}")


def print_reasons(answer) -> None:
    """For programs: what is printed is JSON and nothing else, after the first line."""
    import json

    for item in answer:
        told = (
            {"track_id": item.track_id, "score": item.score} if item.explanation is None else item.explanation.record()
        )
        typer.echo(json.dumps(told | {"sentence": item.sentence}, ensure_ascii=False))


def predictions(
    task: Annotated[str, typer.Option(help="next: repeats allowed; discover: tracks never heard before.")],
    out: Annotated[Path, typer.Option(help="Parquet file: user_id, rank 1..k, track_id.")],
    k: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    model: Annotated[
        str,
        typer.Option(help="served, or one fit now: ease, als, gru4rec, two_stage, … (a wrong name lists them)."),
    ] = "served",
    lake: LakeOption = None,
) -> None:
    """Top tracks of every listener by the served version's model (or a baseline), as one Parquet file."""
    from models.lineup import NAMES
    from serving.batch import SERVED, write_predictions

    if task not in ("next", "discover"):
        raise CommandError(f"--task {task!r}: use next or discover")
    if model not in (SERVED, *NAMES):
        raise CommandError(f"--model {model!r}: use {SERVED}, {', '.join(NAMES)}")
    settings = settings_for(lake)
    with console.status("ranking …"):
        name, users, rows = write_predictions(settings, task, out, k, model)
    console.print(f"{out}: {rows:,} rows for {users:,} listeners, {name}, task {task}")
