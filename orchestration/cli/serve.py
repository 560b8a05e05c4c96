"""`soundlake serve`: the recommendation API."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.common import LakeOption, console, settings_for
from orchestration.cli.dev import check_free, reachable


def register(app: typer.Typer) -> None:
    app.command()(serve)


def serve(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: SOUNDLAKE_API_PORT, 8600.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    lake: LakeOption = None,
) -> None:
    """Answer recommendations and take events over HTTP; Ctrl-C stops it. A page to try it is at /."""
    from serving.lake_model import model_server
    from serving.online.__main__ import run

    settings = settings_for(lake)
    port = port or settings.api_port
    check_free("The API", host, port, "--port")
    with console.status("looking for a model server …"), model_server(settings) as running:
        at = f"http://{reachable(host)}:{port}"
        kind = "own model server" if running.embedded else "model server"
        console.print(f"[bold]soundlake serve[/] · lake {settings.lake} · {kind} at {running.address}")
        console.print(f"[green]●[/] {at} · documents {at}/docs · metrics {at}/metrics. Ctrl-C stops it.")
        run(settings, running.address, host, port)
    console.print("Stopped.")
