"""Spark and Delta: table contracts, sources, ingest, refine, gold."""
