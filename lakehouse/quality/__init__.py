"""Data quality: suites from the contracts, anomalies against the last weeks, undeclared fields, and a page of it."""

from __future__ import annotations

from lakehouse.quality.suites import BLOCKING, PropertyResult, properties_of, suite_for, validate

__all__ = ["BLOCKING", "PropertyResult", "properties_of", "suite_for", "validate"]
