"""What commands share: the console, the lake of the command, option types."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from lakehouse.settings import Settings, get_settings, use_lake
from orchestration.home import prepare

console = Console(highlight=False, soft_wrap=True)
LakeOption = Annotated[str | None, typer.Option("--lake", help="Lake to use: a folder or s3://bucket/prefix.")]


def settings_for(lake: str | None) -> Settings:
    """Settings of the lake that the command names, with Dagster's home made ready."""
    settings = use_lake(lake) if lake else get_settings()
    prepare(settings)
    return settings
