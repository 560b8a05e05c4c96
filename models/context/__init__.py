"""The moment of a play or a request: its fields as categories, and what the listener is doing when nobody says it."""

from models.context.fields import FIELDS, PROFILE_FIELDS, UNKNOWN, Categories

__all__ = ["FIELDS", "PROFILE_FIELDS", "UNKNOWN", "Categories"]
