"""`soundlake dev`: Dagster's page, MLflow and the model server together, stopped together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.common import LakeOption, console, settings_for
from orchestration.cli.errors import CommandError
from orchestration.home import PROJECT

_STOP_SECONDS = 15


def register(app: typer.Typer) -> None:
    app.command()(dev)


def dev(
    dagster_port: Annotated[int, typer.Option()] = 3000,
    mlflow_port: Annotated[int, typer.Option()] = 5000,
    serving_port: Annotated[int, typer.Option(help="gRPC; REST is the next port.")] = 8500,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    lake: LakeOption = None,
) -> None:
    """Start the Dagster page, the MLflow server and the model server; Ctrl-C stops all of them."""
    from serving.config import ensure_config_file

    settings = settings_for(lake)
    for name, port in (("Dagster", dagster_port), ("MLflow", mlflow_port), ("serving", serving_port)):
        _check_free(name, host, port)
    logs = settings.state_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    settings.artifact_dir.mkdir(parents=True, exist_ok=True)
    ensure_config_file(settings.models_config)
    commands = {
        "mlflow": [
            *(sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(mlflow_port), "--workers", "1"),
            *("--backend-store-uri", settings.tracking_uri, "--artifacts-destination", str(settings.artifact_dir)),
            *("--allowed-hosts", f"localhost:*,{host}:*"),
        ],
        "model-server": [
            *(sys.executable, "-m", "serving.model_server", f"--model_config_file={settings.models_config}"),
            *(f"--host={host}", f"--port={serving_port}", f"--rest_api_port={serving_port + 1}"),
            "--allow_version_labels_for_unavailable_models=true",
        ],
        "dagster": [
            *(sys.executable, "-m", "dagster", "dev", "-w", str(PROJECT / "workspace.yaml")),
            *("-h", host, "-p", str(dagster_port)),
        ],
    }
    if settings.mlflow_uri:
        del commands["mlflow"]  # a tracking server of its own is configured
    if settings.serving_address:
        del commands["model-server"]
    else:
        settings.server_address_file.write_text(f"{host}:{serving_port}\n")
    processes = {name: _start(command, logs / f"{name}.log") for name, command in commands.items()}
    try:
        _announce(processes, host, {"dagster": dagster_port, "mlflow": mlflow_port, "model-server": serving_port}, logs)
        _watch(processes, logs)
    except KeyboardInterrupt:
        console.print("\nStopping …")
    finally:
        _stop(processes)
        settings.server_address_file.unlink(missing_ok=True)


def _check_free(name: str, host: str, port: int) -> None:
    with socket.socket() as probe:
        if probe.connect_ex((host, port)) == 0:
            raise CommandError(f"port {port} for {name} is taken; give another one, see `soundlake dev --help`")


def _start(command: list[str], log: Path) -> subprocess.Popen:
    # a session of its own: Ctrl-C reaches this process only, which then stops each in order
    with log.open("ab") as output:
        return subprocess.Popen(
            command, stdout=output, stderr=output, cwd=PROJECT, start_new_session=True, env=os.environ
        )


def _announce(processes: dict, host: str, ports: dict[str, int], logs: Path) -> None:
    titles = {"dagster": "Dagster", "mlflow": "MLflow", "model-server": "Model server"}
    for name in processes:
        with console.status(f"waiting for {titles[name]} …"):
            _wait_listening(processes[name], host, ports[name], logs / f"{name}.log")
        address = f"http://{host}:{ports[name]}"
        if name == "model-server":
            address = f"grpc {host}:{ports[name]} · http://{host}:{ports[name] + 1}/v1/models/…"
        console.print(f"[green]●[/] {titles[name]:<13} {address}")
    console.print(f"Logs in {logs}. Ctrl-C stops everything.")


def _wait_listening(process: subprocess.Popen, host: str, port: int, log: Path, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise CommandError(f"it ended with status {process.returncode}:\n{_tail(log)}")
        with socket.socket() as probe:
            if probe.connect_ex((host, port)) == 0:
                return
        time.sleep(0.2)
    raise CommandError(f"nothing listens on {host}:{port} after {seconds:.0f} s:\n{_tail(log)}")


def _watch(processes: dict[str, subprocess.Popen], logs: Path) -> None:
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    while True:
        for name, process in processes.items():
            if process.poll() is not None:
                raise CommandError(f"{name} ended with status {process.returncode}:\n{_tail(logs / f'{name}.log')}")
        time.sleep(0.5)


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _stop(processes: dict[str, subprocess.Popen]) -> None:
    """Ask each process group politely, then end what is left of it."""
    for process in processes.values():
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    for process in processes.values():
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
