"""Which version a listener is answered by: `stable`, or for a sticky share of listeners `canary`."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from serving.rollout import FILE, STABLE, Rollout

_LOOK_EVERY_S = 1.0
LOGGER = logging.getLogger(__name__)


class Labels:
    """The rollout that publishing has written beside the server's configuration; looked at once a second at most."""

    def __init__(self, models_dir: Path):
        self._folder, self._file = models_dir, models_dir / FILE
        self._looked_at, self._changed = -_LOOK_EVERY_S, -1
        self._rollout: Rollout | None = None

    def label_for(self, user_id: str) -> str:
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            self._look()
        return STABLE if self._rollout is None else self._rollout.label_for(user_id)

    def _look(self) -> None:
        try:
            changed = self._file.stat().st_mtime_ns
        except OSError:
            self._rollout, self._changed = None, -1
            return
        if changed == self._changed:
            return
        self._changed = changed
        try:
            self._rollout = Rollout.load(self._folder)
        except Exception as error:  # a broken file, too, leaves everybody an answer: that of the stable version
            LOGGER.error("%s is not followed, everybody is answered by %s: %s", self._file, STABLE, error)
            self._rollout = None
