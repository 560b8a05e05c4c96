"""Entities of silver: tracks, artists, users; the latest dump wins, and what only events know is kept and flagged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.acoustic import ACOUSTIC

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_TRACK_DDL = (
    "track_id string, title string, artist_id string, artist_name string, album_id string, genre string, "
    "subgenre string, duration_ms bigint, release_date date, acoustic struct<"
    + ", ".join(f"{name}: double" for name in ACOUSTIC)
    + ", key: int, mode: int>"
)
_ARTIST_DDL = "artist_id string, name string, genre string, country string"
_USER_DDL = "signed_up_at timestamp, birth_year int, gender string, country string, plan string"


def latest(catalogue: DataFrame, entity: str, ddl: str) -> DataFrame:
    """The newest line of each id of ``entity``, parsed by ``ddl``, with entity_id and user_key beside it."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    order = Window.partitionBy("entity_id").orderBy(
        F.col("landing_date").desc(), F.col("source_file").desc(), F.col("line").desc()
    )
    newest = catalogue.where(F.col("entity") == entity).withColumn("n", F.row_number().over(order)).where("n = 1")
    return newest.select("entity_id", "user_key", F.from_json("raw", ddl).alias("it")).select(
        "entity_id", "user_key", "it.*"
    )


def tracks(catalogue: DataFrame, listens: DataFrame) -> DataFrame:
    """Catalogue tracks, and the ids that were played but are in no dump."""
    from pyspark.sql import functions as F

    known = latest(catalogue, "tracks", _TRACK_DDL).select("*", "acoustic.*").drop("acoustic", "entity_id", "user_key")
    known = known.withColumn("in_catalogue", F.lit(True))
    played = listens.select("track_id").distinct().join(known, "track_id", "left_anti")
    return known.unionByName(played.withColumn("in_catalogue", F.lit(False)), allowMissingColumns=True)


def artists(catalogue: DataFrame, tracks: DataFrame) -> DataFrame:
    """Catalogue artists, and those that only tracks name; with their number of tracks."""
    from pyspark.sql import functions as F

    known = latest(catalogue, "artists", _ARTIST_DDL).drop("entity_id", "user_key")
    named = (
        tracks.where("artist_id IS NOT NULL")
        .groupBy("artist_id")
        .agg(
            F.count("*").alias("tracks"),
            F.max("artist_name").alias("track_artist_name"),
            F.mode("genre", True).alias("track_genre"),
        )
    )
    return known.join(named, "artist_id", "full").select(
        "artist_id",
        F.coalesce("name", "track_artist_name").alias("name"),
        F.coalesce("genre", "track_genre").alias("genre"),
        "country",
        F.coalesce("tracks", F.lit(0)).alias("tracks"),
    )


def users(catalogue: DataFrame, listens: DataFrame) -> DataFrame:
    """Profiles by pseudonym, and the listeners without one."""
    from pyspark.sql import functions as F

    known = latest(catalogue, "users", _USER_DDL).drop("entity_id").withColumn("has_profile", F.lit(True))
    seen = listens.select("user_key").distinct().join(known, "user_key", "left_anti")
    return known.unionByName(seen.withColumn("has_profile", F.lit(False)), allowMissingColumns=True)
