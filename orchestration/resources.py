"""Resources of the graph, made from the one settings object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg

from lakehouse.lake import Lake
from lakehouse.settings import Settings, get_settings
from lakehouse.spark import get_spark
from orchestration.io_manager import DeltaIOManager
from serving.process import RunningServer


@dg.resource(description="The tables of the lake, through the process's Spark session.")
def lake(_context: dg.InitResourceContext) -> Lake:
    settings = get_settings()
    return Lake(get_spark(settings), settings)


@dg.resource(description="SOUNDLAKE_* settings.")
def settings(_context: dg.InitResourceContext) -> Settings:
    return get_settings()


@dg.io_manager(required_resource_keys={"lake"}, description="Delta tables by their contracts.")
def delta(context: dg.InitResourceContext) -> DeltaIOManager:
    return DeltaIOManager(context.resources.lake)


@dg.resource(description="The model server: the configured one, that of `soundlake dev`, or an embedded one.")
def model_server(_context: dg.InitResourceContext) -> Iterator[RunningServer]:
    from serving.lake_model import model_server as connect

    with connect(get_settings()) as running:
        yield running


@dg.resource(description="Client of the lake's bucket: endpoint and region of the settings, keys by the AWS chain.")
def s3(_context: dg.InitResourceContext) -> Any:
    from orchestration.s3_resource import lake_s3  # loads boto3: only where it is asked for

    return lake_s3(get_settings())


RESOURCES = {"lake": lake, "settings": settings, "delta": delta, "model_server": model_server, "s3": s3}
