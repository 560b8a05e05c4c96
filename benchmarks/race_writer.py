"""One writer of the race, a process of its own: ``python -m benchmarks.race_writer NAME spark|default|delta-rs``.

Each line on standard input, ``{"settings": {…}, "uri": …, "first": …, "commits": …}``, is one run. Answered by one JSON
line with the numbers of the commits that were reported as done, and the first line of each error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

from lakehouse.settings import Settings

Append = Callable[[Settings, str, int], None]


def spark_writer(name: str, delta_default: bool) -> Append:
    """Appends by a Spark driver, with our log stores or with those that Delta takes by default."""
    from lakehouse import logstore
    from lakehouse.spark import get_spark

    if delta_default:
        logstore.SPARK_OPTIONS.clear()

    def append(settings: Settings, uri: str, number: int) -> None:
        spark = get_spark(settings)
        frame = spark.range(number, number + 1, 1, 1).selectExpr(f"'{name}' AS writer", "id AS number")
        frame.write.format("delta").mode("append").save(uri)

    return append


def delta_rs_writer(name: str) -> Append:
    import pyarrow as pa
    from deltalake import CommitProperties, write_deltalake

    from lakehouse.delta_log import storage_options

    def append(settings: Settings, uri: str, number: int) -> None:
        rows = pa.table({"writer": [name], "number": pa.array([number], pa.int64())})
        write_deltalake(
            uri.replace("s3a://", "s3://", 1),
            rows,
            mode="append",
            storage_options=storage_options(settings),
            commit_properties=CommitProperties(max_commit_retries=200),
        )

    return append


def main(name: str, kind: str) -> None:
    # what libraries print must not mix with the answers
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    append = delta_rs_writer(name) if kind == "delta-rs" else spark_writer(name, kind == "default")
    for line in sys.stdin:
        order = json.loads(line)
        settings, done, errors = Settings(**order["settings"]), [], []
        for number in range(order["first"], order["first"] + order["commits"]):
            try:
                append(settings, order["uri"], number)
            except Exception as error:  # what was not reported as done is not counted; the reader of the table looks
                errors.append((str(error) or repr(error)).splitlines()[0][:300])
            else:
                done.append(number)
        print(json.dumps({"done": done, "errors": errors}), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
