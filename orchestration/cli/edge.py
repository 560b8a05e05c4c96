"""`soundlake edge-bundle`: a region's tracks and the model that ranks them, as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.common import LakeOption, console, settings_for
from orchestration.cli.errors import CommandError


def register(app: typer.Typer) -> None:
    app.command(name="edge-bundle")(edge_bundle)


def edge_bundle(
    country: Annotated[str, typer.Option(help="Country of the plays that choose the tracks, such as SE.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    tracks: Annotated[int, typer.Option(min=1, help="At most so many, the most played ones.")] = 2000,
    lake: LakeOption = None,
) -> None:
    """A bundle with which a device ranks the most played tracks of a country offline; see examples/edge_client.py."""
    from assets.models import line_up
    from models.compress.edge_lake import write_bundle_of_lake
    from models.compress.run import NothingToCompress
    from models.lake_data import load

    settings = settings_for(lake)
    data, _ = load(settings)
    try:
        manifest = write_bundle_of_lake(settings, data, line_up(settings), country, out, tracks)
    except (NothingToCompress, ValueError) as error:
        raise CommandError(str(error)) from error
    console.print(
        f"{out}: {manifest['tracks']:,} tracks of {country}, model {manifest['version']}, "
        f"{out.stat().st_size / 1024:,.0f} KiB. Try it: python examples/edge_client.py {out} TRACK-ID …"
    )
