"""`soundlake dev`: Dagster's page, MLflow, the model server and the recommendation API together, stopped together."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import SecretStr

from lakehouse.process_lock import Held, only_process
from orchestration.cli.common import LakeOption, console, settings_for
from orchestration.cli.errors import CommandError
from orchestration.cli.supervisor import Service, Supervisor
from orchestration.home import PROJECT, instance

if TYPE_CHECKING:
    from lakehouse.settings import Settings

_EVERYWHERE = ("0.0.0.0", "::")


def register(app: typer.Typer) -> None:
    app.command()(dev)


def dev(
    dagster_port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    serving_port: Annotated[int, typer.Option(min=1, max=65534, help="gRPC; REST is the next port.")] = 8500,
    api_port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: SOUNDLAKE_API_PORT, 8600.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    lake: LakeOption = None,
) -> None:
    """Start the Dagster page, MLflow, the model server and the recommendation API; Ctrl-C stops all of them."""
    settings = settings_for(lake)
    api_port = api_port or settings.api_port
    services = services_of(settings, host, dagster_port, mlflow_port, serving_port, api_port)
    ports = {
        "dagster": [dagster_port],
        "mlflow": [mlflow_port],
        "model-server": [serving_port, serving_port + 1],
        "api": [api_port],
    }
    options = {
        "dagster": "--dagster-port",
        "mlflow": "--mlflow-port",
        "model-server": "--serving-port",
        "api": "--api-port",
    }
    with _only_one(settings):
        for service in services:
            for port in ports[service.name]:
                check_free(service.title, host, port, options[service.name])
        _prepare_folders(settings)
        instance(settings).dispose()  # closes runs that a kill left behind: they would block the daemon's queue
        supervisor = Supervisor(settings.state_dir / "logs", PROJECT, environment(settings))
        _run(settings, supervisor, services, f"{reachable(host)}:{serving_port}")


def _run(settings: Settings, supervisor: Supervisor, services: list[Service], address: str) -> None:
    console.print(f"[bold]soundlake dev[/] · lake {settings.lake}")
    own_server = any(s.name == "model-server" for s in services)
    with supervisor.handling_signals():
        try:
            for service in services:
                supervisor.start(service)
            for service in services:
                with console.status(f"waiting for {service.title} …"):
                    up = supervisor.wait_until_up(service)
                if up:
                    console.print(f"[green]●[/] {service.title:<13} {service.shown}")
                if up and service.name == "model-server":
                    settings.server_address_file.write_text(f"{address}\n")
            if not supervisor.signals:
                console.print(f"Logs in {settings.state_dir / 'logs'}. Ctrl-C stops everything.")
            supervisor.watch()
            console.print("Stopping …")
        finally:
            if own_server:
                settings.server_address_file.unlink(missing_ok=True)
            supervisor.stop()
    console.print("Stopped.")


def services_of(
    settings: Settings, host: str, dagster_port: int, mlflow_port: int, serving_port: int, api_port: int
) -> list[Service]:
    """What to start: not what the settings say runs elsewhere."""
    to = reachable(host)
    services = []
    if not settings.serving_address:
        services.append(_model_server(settings, host, serving_port))
    if not settings.mlflow_uri:
        services.append(_mlflow(settings, host, mlflow_port))
    services.append(_api(settings, host, api_port, settings.serving_address or f"{to}:{serving_port}"))
    page = f"http://{to}:{dagster_port}"
    command = (
        *(sys.executable, "-m", "dagster", "dev", "-w", str(PROJECT / "workspace.yaml")),
        *("-h", host, "-p", str(dagster_port)),
    )
    services.append(Service("dagster", "Dagster", command, f"{page}/server_info", page))
    return services


def _model_server(settings: Settings, host: str, port: int) -> Service:
    command = (
        *(sys.executable, "-m", "serving.model_server", f"--model_config_file={settings.models_config}"),
        *(f"--host={host}", f"--port={port}", f"--rest_api_port={port + 1}"),
        *("--allow_version_labels_for_unavailable_models=true", "--stop_with_parent"),
        *([f"--mount={settings.serving_base_path}={settings.models_dir}"] if settings.serving_base_path else []),
    )
    to = reachable(host)
    model = f"http://{to}:{port + 1}/v1/models/{settings.model_name}"
    return Service("model-server", "Model server", command, model, f"grpc {to}:{port} · {model}")


def _mlflow(settings: Settings, host: str, port: int) -> Service:
    to = reachable(host)
    names = {"localhost", host, to, socket.gethostname()} if host in _EVERYWHERE else {"localhost", host}
    command = (
        *(sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", settings.tracking_uri, "--artifacts-destination", settings.artifact_root),
        *("--allowed-hosts", ",".join(f"{name}:*" for name in sorted(names))),
    )
    return Service("mlflow", "MLflow", command, f"http://{to}:{port}/health", f"http://{to}:{port}")


def _api(settings: Settings, host: str, port: int, model_server: str) -> Service:
    """It waits for the model server by itself, and answers popular tracks meanwhile."""
    command = (
        *(sys.executable, "-m", "serving.online", "--host", host, "--port", str(port)),
        *("--model-server", model_server),
    )
    page = f"http://{reachable(host)}:{port}"
    return Service("api", "API", command, f"{page}/health", page)


def reachable(host: str) -> str:
    """The address to connect to where a server listens on ``host``."""
    return "127.0.0.1" if host in _EVERYWHERE else host


def environment(settings: Settings) -> dict[str, str]:
    """This process's variables and every setting that was given, so that the services read the same.

    They run in the project's folder, where neither the ``.env`` nor the relative paths of this one count.
    """
    given = {}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if value is None:
            continue
        if name in ("state", "cache", "serving_models"):
            value = value.expanduser().resolve()
        given[f"SOUNDLAKE_{name.upper()}"] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    quiet = {"PYTHONUNBUFFERED": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # workers nobody uses
    return {**quiet, **os.environ, **given, "SOUNDLAKE_LAKE": settings.lake}


def check_free(title: str, host: str, port: int, option: str) -> None:
    """Raise CommandError where nothing can listen on ``host:port``."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"{title} can not listen on {host}:{port}: {error.strerror}. Give another port ({option}), "
                f"or find out who has it: ss -ltnp 'sport = :{port}'"
            ) from None


def _prepare_folders(settings: Settings) -> None:
    from serving.config import ensure_config_file

    (settings.state_dir / "mlflow").mkdir(parents=True, exist_ok=True)
    settings.artifact_dir.mkdir(parents=True, exist_ok=True)
    ensure_config_file(settings.models_config)


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """One `soundlake dev` a lake: two Dagster daemons would start every scheduled run twice."""
    with ExitStack() as held:
        try:
            held.enter_context(only_process(settings.state_dir / "dev.lock"))
        except Held as error:
            raise CommandError(
                f"`soundlake dev` runs on {settings.lake} already (process {error}): "
                "use it, stop it with Ctrl-C, or give another --lake"
            ) from None
        yield
