"""One user's recommendations from the served version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakehouse.settings import Settings
from serving.client import ModelClient
from serving.gate import HISTORY
from serving.listeners import Listener, find_listener, popular_tracks, track_info
from serving.publish import STABLE
from serving.recommend import Recommendations, recommend


def ask(
    settings: Settings,
    client: ModelClient,
    user_id: str,
    k: int = 10,
    context: Mapping[str, Any] | None = None,
    repeats: bool = False,
) -> tuple[Listener, Recommendations]:
    """Ask label `stable` for ``k`` tracks for ``user_id``; tracks heard before are left out unless ``repeats``."""
    listener = find_listener(settings, user_id)
    answer = recommend(
        client,
        settings.model_name,
        listener.history[-HISTORY:],
        exclude=[] if repeats else sorted(set(listener.history)),
        k=k,
        context=context,
        profile=listener.profile,
        track_info=track_info(settings),
        popular=popular_tracks(settings),
        times=None if listener.times is None else listener.times[-HISTORY:],
        label=STABLE,
    )
    return listener, answer
