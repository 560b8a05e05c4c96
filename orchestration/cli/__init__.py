"""The command `soundlake`: the same jobs as the Dagster page, and questions about the lake."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from orchestration.cli import answers, data, dev, edge, online, publishing, run, serve, stream, tables

app = typer.Typer(
    name="soundlake",
    help="An open data and machine-learning platform for music streaming.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for module in (run, dev, serve, data, tables, answers, edge, publishing, online, stream):
    module.register(app)


@app.callback()
def common(
    lake: Annotated[
        str | None,
        typer.Option(
            help="Lake to use: a folder or s3://bucket/prefix.", envvar="SOUNDLAKE_LAKE", show_default="data/lake"
        ),
    ] = None,
) -> None:
    """Commands work on one lake; its state (Dagster, MLflow, served models) lies in `_soundlake` beside its tables."""
    from lakehouse.settings import use_lake

    if lake:
        use_lake(lake)


def main() -> None:
    """Run the command line; an error of ours is one clear message, anything else a traceback."""
    from orchestration.cli.errors import EXPECTED

    try:
        app()
    except EXPECTED as error:
        if os.environ.get("SOUNDLAKE_TRACEBACK"):
            raise
        print(f"soundlake: {error}", file=sys.stderr)
        sys.exit(2)
