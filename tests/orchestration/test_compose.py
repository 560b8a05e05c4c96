"""compose.yaml and .env.example speak of settings, flags and folders that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from lakehouse.settings import Settings
from serving.model_server.__main__ import parser

ROOT = Path(__file__).parents[2]
FIELDS = {f"SOUNDLAKE_{name.upper()}" for name in Settings.model_fields}
ASSIGNMENT = re.compile(r"^# (SOUNDLAKE_\w+)=(.*)$")


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def example() -> list[str]:
    return (ROOT / ".env.example").read_text().splitlines()


def ours(compose: dict) -> dict[str, dict]:
    """Services of our own image that take settings."""
    return {name: s for name, s in compose["services"].items() if "SOUNDLAKE_LAKE" in (s.get("environment") or {})}


def flags(service: dict) -> dict[str, str]:
    return dict(item[2:].split("=", 1) for item in service["command"] if item.startswith("--"))


def volumes(service: dict) -> dict[str, str]:
    """volume -> folder in the container"""
    return dict(item.split(":")[:2] for item in service["volumes"])


def test_every_setting_has_a_comment_and_its_default_in_the_example(example):
    found = {}
    for number, line in enumerate(example):
        if match := ASSIGNMENT.match(line):
            assert example[number - 1].startswith("# "), f"{match[1]} has no comment"
            found[match[1]] = match[2]
    assert set(found) == FIELDS
    for name, field in Settings.model_fields.items():
        if field.default is not None and field.default != "":
            assert found[f"SOUNDLAKE_{name.upper()}"] == str(field.default)


def test_the_example_changes_nothing_until_a_line_is_taken_in(example):
    assert [line for line in example if line and not line.startswith("#")] == []


def test_every_value_of_the_example_is_taken(example, monkeypatch):
    for line in example:
        if match := ASSIGNMENT.match(line):
            monkeypatch.setenv(match[1], match[2])
    assert Settings().model_fields_set == set(Settings.model_fields)


def test_compose_sets_only_variables_that_are_settings(compose):
    services = ours(compose)
    assert {"dagster", "dagster-daemon", "mlflow"} <= set(services)
    named = {name for service in services.values() for name in service["environment"] if name.startswith("SOUNDLAKE_")}
    assert named <= FIELDS
    assert all(service["environment"] == compose["x-settings"] for service in services.values())


def test_the_model_server_reads_what_a_publication_writes(compose, monkeypatch):
    for name, value in compose["x-settings"].items():
        if value is not None and "$" not in str(value):
            monkeypatch.setenv(name, str(value))
    settings = Settings()
    server = compose["services"]["tensorflow-serving"]
    assert flags(server)["model_config_file"] == str(settings.models_config)
    mount = volumes(server)["models"]
    assert mount == settings.serving_base_path
    assert volumes(compose["services"]["dagster-daemon"])["models"] == str(settings.models_dir)
    host, _, port = settings.serving_address.partition(":")
    assert host in compose["services"]
    assert f"127.0.0.1:{port}:{port}" in server["ports"]
    assert str(settings.dagster_home) == "/state/dagster"
    assert "DAGSTER_HOME=/state/dagster" in (ROOT / "Dockerfile").read_text()


def test_the_flags_of_the_real_server(compose):
    given = flags(compose["services"]["tensorflow-serving"])
    assert given["allow_version_labels_for_unavailable_models"] == "true"
    assert given["max_num_load_retries"] == "1"
    assert given["model_config_file_poll_wait_seconds"] == "0"
    known = {action.dest for action in parser()._actions}
    assert set(given) - known == {"max_num_load_retries", "model_config_file_poll_wait_seconds"}


def test_mlflow_listens_where_the_settings_say(compose):
    host, port = re.fullmatch(r"http://(\w+):(\d+)", compose["x-settings"]["SOUNDLAKE_MLFLOW_URI"]).groups()
    command = compose["services"][host]["command"]
    assert f"--port={port}" in command
    allowed = next(item for item in command if item.startswith("--allowed-hosts="))
    assert f"{host}:*" in allowed


def test_the_api_is_judged_where_it_listens(compose):
    host, port = re.fullmatch(r"http://(\w+):(\d+)", compose["x-settings"]["SOUNDLAKE_API_ADDRESS"]).groups()
    assert port == str(Settings.model_fields["api_port"].default)
    assert f"127.0.0.1:{port}:{port}" in compose["services"][host]["ports"]


def test_nothing_is_open_to_other_machines_and_servers_are_not_root(compose):
    for name, service in compose["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert ":latest" not in service["image"] and ":" in service["image"], name
        if "ports" in service:
            assert service["user"] == "10001:10001", name
            assert service["healthcheck"]["test"][0] == "CMD", name
            assert service["networks"] == ["soundlake"], name


def test_every_named_volume_is_declared_and_used(compose):
    used = {volume for service in compose["services"].values() for volume in volumes(service)}
    assert used == set(compose["volumes"])
