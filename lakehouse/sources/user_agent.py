"""Device type and operating system from a browser's user agent string."""

from __future__ import annotations

from lakehouse.events import Device

_SYSTEMS = (
    ("iPhone", "ios"),
    ("iPad", "ios"),
    ("iPod", "ios"),
    ("Android", "android"),
    ("Windows", "windows"),
    ("Mac OS X", "macos"),
    ("Macintosh", "macos"),
    ("CrOS", "chromeos"),
    ("Linux", "linux"),
)


def device_of(user_agent: str | None) -> Device:
    """A browser on a phone or tablet counts as that device, any other browser as ``web``."""
    if not user_agent:
        return Device()
    os = next((name for mark, name in _SYSTEMS if mark in user_agent), None)
    if "iPad" in user_agent or ("Android" in user_agent and "Mobile" not in user_agent):
        return Device("tablet", os)
    if os in ("ios", "android"):
        return Device("phone", os)
    return Device("web", os) if "Mozilla/" in user_agent else Device("unknown", os)
