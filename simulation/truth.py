"""The hidden rules of the world: how well a track suits a listener, and how likely they skip it.

Kept in memory for evaluation only; nothing of it is written into events. All indices are positions in ``Users`` and
``Tracks``, all arrays broadcast.
"""

from __future__ import annotations

import numpy as np

from simulation.genres import AXES
from simulation.rhythm import rain_acoustics, wanted_acoustics
from simulation.tracks import Tracks
from simulation.users import Users

AFFINITY_ON_SKIP = 1.15
FIT_ON_SKIP = 0.45
FAMILIAR_ON_SKIP = 0.5
USUAL_AFFINITY = 1.2  # of what is played; at it a skip is as likely as the listener's bias says


class Truth:
    def __init__(self, users: Users, tracks: Tracks):
        self._users, self._tracks = users, tracks
        self._wanted, self._rain = wanted_acoustics(), rain_acoustics()
        self._standard = tracks.vector[:, : len(AXES)]
        fit = self._wanted @ self._standard.T
        self.activity_fit = (fit - fit.mean(axis=1, keepdims=True)) / fit.std(axis=1, keepdims=True)  # [activities, N]
        mean = users.taste @ tracks.vector.mean(axis=0)
        covariance = np.cov(tracks.vector, rowvar=False)
        self._mean = mean
        self._scale = np.sqrt(np.einsum("ud,de,ue->u", users.taste, covariance, users.taste))

    def affinity(self, user: np.ndarray, track: np.ndarray) -> np.ndarray:
        """How well the track suits the listener's taste, whatever they do.

        Over the whole catalogue each listener has mean 0 and standard deviation 1; what they play lies well above.
        """
        raw = np.einsum("...d,...d->...", self._users.taste[user], self._tracks.vector[track])
        return (raw - self._mean[user]) / self._scale[user]

    def fit(self, activity: np.ndarray, track: np.ndarray, wet: np.ndarray | bool = False) -> np.ndarray:
        """How well it suits what they are doing, and the weather."""
        return self.activity_fit[activity, track] + np.where(wet, self._standard[track] @ self._rain, 0.0)

    def skip_probability(
        self,
        user: np.ndarray,
        track: np.ndarray,
        activity: np.ndarray,
        wet: np.ndarray | bool = False,
        familiar: np.ndarray | bool = False,
    ) -> np.ndarray:
        """Chance that the play is skipped before its end."""
        logit = (
            self._users.skip_bias[user]
            - AFFINITY_ON_SKIP * (self.affinity(user, track) - USUAL_AFFINITY)
            - FIT_ON_SKIP * self.fit(activity, track, wet)
            - np.where(familiar, FAMILIAR_ON_SKIP, 0.0)
        )
        return 1 / (1 + np.exp(-logit))
