"""Checks that settings share: each names the class, the field and the value that is wrong."""

from __future__ import annotations


def at_least(least: int, settings: object, *names: str) -> None:
    """Raise ValueError where a field of ``settings`` is below ``least``."""
    for name in names:
        if getattr(settings, name) < least:
            raise ValueError(f"{type(settings).__name__}.{name}: {getattr(settings, name)} must be at least {least}")
