"""The Delta IO manager: writes what an asset returns by the table's contract, reads what an asset asks for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakehouse import arrow
from lakehouse.lake import Lake
from lakehouse.tables import get_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from lakehouse.refine.fact import Fact

PREVIEW_ROWS = 5
PREVIEW_COLUMNS = 8
_PREVIEW_WIDTH = 40


class DeltaIOManager(dg.IOManager):
    """Asset key [layer, table] is the table's name."""

    def __init__(self, lake: Lake):
        self._lake = lake

    def handle_output(self, context: dg.OutputContext, obj: DataFrame | Fact) -> None:
        table = get_table(".".join(context.asset_key.path))
        result = self._lake.write(table, obj)
        state = self._lake.state(table)
        context.add_output_metadata(
            {
                "dagster/row_count": state.rows,
                "dagster/uri": self._lake.uri(table),
                "Delta version": state.version,
                "rows inserted": result.inserted,
                "rows updated": result.updated,
                "bytes": state.bytes,
                "files": state.files,
                "preview": dg.MetadataValue.md(self._preview(table)),
            }
        )

    def load_input(self, context: dg.InputContext) -> DataFrame:
        table = get_table(".".join(context.asset_key.path))
        if not (context.has_asset_partitions and table.run_partition):
            return self._lake.read(table)
        window = context.asset_partitions_time_window
        return self._lake.read(table, (window.start.date(), (window.end - timedelta(seconds=1)).date()))

    def _preview(self, table: Any) -> str:
        columns = [c.name for c in table.columns if c.sensitivity.value != "identifying"][:PREVIEW_COLUMNS]
        rows = arrow.dataset(self._lake.settings, table).head(PREVIEW_ROWS, columns=columns).to_pylist()
        lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        for row in rows:
            lines.append("| " + " | ".join(_cell(value) for value in row.values()) + " |")
        return "\n".join(lines)


def _cell(value: Any) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|")[:_PREVIEW_WIDTH]
