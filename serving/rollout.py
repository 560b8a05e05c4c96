"""Which share of the listeners a canary answers: one small file beside `models.config`, sticky by listener.

Publishing writes it (:mod:`serving.canary`), atomically; the API reads it when its time of change moves. The bucket of
a listener is a hash of salt and user id, so a listener stays with one version as long as a canary lasts, a growing
share keeps those it had, and another canary (another salt) is tried on other listeners.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from serving.files import write_atomically

FILE = "rollout.json"
STABLE, CANARY = "stable", "canary"
_BUCKETS = 2**64


class RolloutError(ValueError):
    """A rollout file that says something else than a rollout."""


@dataclass(frozen=True)
class Rollout:
    """The share of listeners, 0 to 1, that the label `canary` answers; all others belong to `stable`.

    `canary` and `stable` are the versions that the labels had when the trial began, `model` the model's name,
    `opened_at` the time in ISO 8601 (UTC). Without a trial `share` is 0 and the rest is empty.
    """

    share: float = 0.0
    salt: str = ""
    model: str = ""
    stable: int | None = None
    canary: int | None = None
    opened_at: str = ""

    def __post_init__(self) -> None:
        number = isinstance(self.share, int | float) and not isinstance(self.share, bool)
        if not (number and 0 <= self.share <= 1):
            raise RolloutError(f"share: {self.share!r} is not a number from 0 to 1")

    @classmethod
    def load(cls, models_folder: Path) -> Rollout:
        """What the file in `models_folder` says; nobody gets a canary where there is none.

        Raises RolloutError where it is broken, with the file's name.
        """
        path = Path(models_folder) / FILE
        try:
            content = json.loads(path.read_bytes())
            if not isinstance(content, dict):
                raise RolloutError("a table of names and values is expected")
            known = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
            return cls(**known)
        except FileNotFoundError:
            return cls()
        except (ValueError, TypeError) as error:
            raise RolloutError(f"{path}: {error}. Remove the file: everyone gets `{STABLE}` then") from error

    def save(self, models_folder: Path) -> None:
        """Replace the file atomically: a reader finds the old rollout or this one."""
        write_atomically(Path(models_folder) / FILE, json.dumps(asdict(self), indent=1) + "\n")

    @property
    def under_way(self) -> bool:
        """Whether somebody is answered by the canary."""
        return self.share > 0

    def label_for(self, user_id: str) -> str:
        """`canary` for the listeners whose bucket lies within the share, else `stable`."""
        if not self.share:
            return STABLE
        digest = hashlib.blake2b(f"{self.salt}\0{user_id}".encode(), digest_size=8).digest()
        return CANARY if int.from_bytes(digest, "big") < self.share * _BUCKETS else STABLE
