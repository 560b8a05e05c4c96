"""The lake's model server: which one, and a publisher for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lakehouse.settings import Settings
from serving.canary import CanaryTrial, Rules
from serving.compare import Thresholds
from serving.process import RunningServer, ensure_server
from serving.publish import Publisher
from serving.traffic import scrape


@contextmanager
def model_server(settings: Settings) -> Iterator[RunningServer]:
    """The configured server, or the one `soundlake dev` runs, or an embedded one for the duration."""
    mounts = {settings.serving_base_path: str(settings.models_dir)} if settings.serving_base_path else None
    settings.models_dir.mkdir(parents=True, exist_ok=True)
    with ensure_server(
        settings.model_server, settings.models_config, log_file=settings.models_dir / "server.log", mounts=mounts
    ) as running:
        yield running


def publisher(
    settings: Settings, running: RunningServer, on_step: Callable[[str], None] = lambda step: None
) -> Publisher:
    return Publisher(
        running.client,
        settings.models_config,
        settings.models_dir,
        settings.serving_base_path,
        settings.model_name,
        on_step=on_step,
    )


def canary_trial(
    settings: Settings, running: RunningServer, on_step: Callable[[str], None] = lambda step: None
) -> CanaryTrial:
    """The trial of the lake's next version, judged by the API of the settings."""
    rules = Rules(
        settings.canary_share,
        settings.canary_requests,
        settings.canary_hours,
        Thresholds(psi=settings.canary_psi),
    )
    return CanaryTrial(publisher(settings, running, on_step), lambda: scrape(settings.api_url), rules)
