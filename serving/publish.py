"""Bring a model version to the server: stage, verify, try on some listeners, promote, roll back.

The configuration file is what a restarted server reads, so it is the truth: every operation starts from it, and it is
replaced (atomically) only after the server has taken the change. A publisher killed between any two steps leaves a
file that names complete versions only and a server that answers; running the operation again finishes it.

Labels: `stable` answers users, `canary` is on trial, `previous` is what a roll back returns to. Which listeners a
canary answers says the rollout (:mod:`serving.rollout`): it names the label `canary` only while the server has it, so
it is written after the label is set and taken back, with time for the API to notice, before the label goes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from serving.answers import AVAILABLE, END
from serving.client import ModelClient
from serving.config import (
    ModelConfig,
    empty_server_config,
    get_model,
    load_server_config,
    save_server_config,
    with_model,
)
from serving.errors import ModelServerError
from serving.files import locked
from serving.journal import OPENED, PROMOTED, ROLLED_BACK, STAGED, Journal
from serving.model_server.storage import version_folders
from serving.rollout import CANARY, STABLE, Rollout
from serving.verify import VerifyResult, verify_version

PREVIOUS = "previous"
NOTICE_S = 1.5
"""How long the API may go on by a rollout that has been taken back: it looks once a second."""


class PublishError(Exception):
    """A publication that did not happen; what was served before is served still."""


def check_version_folder(model_folder: Path, version: int) -> None:
    """Raise `PublishError` where `model_folder` holds no complete SavedModel of `version`."""
    folder = version_folders(model_folder).get(version) if model_folder.is_dir() else None
    if folder is None:
        raise PublishError(f"{model_folder / str(version)} does not exist: export version {version} first")
    for needed in ("saved_model.pb", "variables/variables.index"):
        path = folder / needed
        if not path.is_file() or path.stat().st_size == 0:
            raise PublishError(f"{folder} is not a complete SavedModel: {needed} is missing or empty; export it again")


class Publisher:
    """Publishes versions of one model.

    Args:
        client: the server, stand-in or real.
        config_file: the server's configuration file, as this process sees it.
        local_base: the folder that holds `<name>/<version>/`, as this process sees it.
        server_base: the same folder as the server sees it (a container's mount); `local_base` when None.
        name: the model.
        keep_versions: how many versions stay loaded after `promote`: the stable one and those before it.
        load_timeout_s: how long the server may take to load a version.
        on_step: called with a line before each step (progress; a test can stop here).
        notice_s: how long the API may take to notice that a canary has ended.

    The rollout and the journal lie beside the configuration file.
    """

    def __init__(
        self,
        client: ModelClient,
        config_file: Path,
        local_base: Path,
        server_base: str | Path | None,
        name: str,
        *,
        keep_versions: int = 2,
        load_timeout_s: float = 120.0,
        on_step: Callable[[str], None] = lambda step: None,
        notice_s: float = NOTICE_S,
    ):
        if keep_versions < 1:
            raise ValueError(f"keep_versions: {keep_versions} is below 1")
        self.client, self.name = client, name
        self.config_file, self.local_base = Path(config_file), Path(local_base)
        self.base_path = str(Path(server_base or self.local_base) / name)
        self.keep_versions, self.load_timeout_s = keep_versions, load_timeout_s
        self.step, self._notice_s = on_step, notice_s
        self.folder = self.config_file.parent
        self.journal = Journal(self.folder, name)

    # What is published

    def current(self) -> ModelConfig | None:
        """The model's part of the configuration file; None before its first publication."""
        return get_model(self._load(), self.name)

    def _load(self):
        return load_server_config(self.config_file) if self.config_file.exists() else empty_server_config()

    # Operations

    def stage(self, version: int) -> ModelConfig:
        """Load `version` beside what is served and label it `canary`; `stable` stays where it is.

        Raises `PublishError` when the version is incomplete or the server cannot load it; the server's configuration
        is put back before.
        """
        check_version_folder(self.local_base / self.name, version)
        with locked(self.config_file):
            old = self.current()
            if old is None or old.labels.get(CANARY) != version:
                self._end_rollout()
            labels = {**(old.labels if old else {}), CANARY: version}
            kept = set(old.versions if old else ()) - self._former_canary(old)
            staged = self._apply(old, self._config(kept | {version}, labels))
            self.journal.note(STAGED, version, labels.get(STABLE))
            return staged

    def verify(
        self,
        version: int,
        requests: Sequence[Mapping[str, Any]],
        expected_ids: Sequence[np.ndarray],
        expected_scores: Sequence[np.ndarray],
        tolerance: float = 1e-4,
    ) -> VerifyResult:
        """Compare the server's answers with the trainer's: see `verify_version`."""
        return verify_version(self.client, self.name, version, requests, expected_ids, expected_scores, tolerance)

    def open_canary(self, version: int, share: float) -> Rollout:
        """Let the staged `version` answer a share of the listeners, 0 to 1; opened already, only the share changes.

        Raises `PublishError` when `version` is not staged, or nothing is stable beside it.
        """
        with locked(self.config_file):
            old = self.current()
            labels = old.labels if old else {}
            if labels.get(CANARY) != version or version not in self.client.available_versions(self.name):
                raise PublishError(f"version {version} of {self.name} is not staged: stage it first (stage({version}))")
            if STABLE not in labels:
                raise PublishError(
                    f"{self.name} has no stable version beside {version}: promote it (promote({version}))"
                )
            now = datetime.now(UTC).isoformat(timespec="seconds")
            before = Rollout.load(self.folder)
            if (before.model, before.canary) == (self.name, version):
                rollout = replace(before, share=share)
            else:
                salt = f"{self.name}-{version}-{now}"
                rollout = Rollout(share, salt, self.name, labels[STABLE], version, now)
            self.step("open the canary")
            rollout.save(self.folder)
            self.step("note the canary")
            self.journal.note(OPENED, version, labels[STABLE], f"{share:.1%} of listeners")
            return rollout

    def promote(self, version: int, reason: str = "") -> ModelConfig:
        """Label a staged version `stable`; the one before stays loaded as `previous`, older ones are dropped.

        Raises `PublishError` when the server does not serve `version`: stage it first.
        """
        with locked(self.config_file):
            old = self.current()
            if version not in self.client.available_versions(self.name):
                raise PublishError(f"version {version} of {self.name} is not served: stage it first (stage({version}))")
            self._end_rollout()
            labels = dict(old.labels) if old else {}
            before = labels.get(STABLE)
            if before not in (None, version):
                labels[PREVIOUS] = before
            labels[STABLE] = version
            labels.pop(CANARY, None)
            if labels.get(PREVIOUS) == version or self.keep_versions == 1:
                labels.pop(PREVIOUS, None)
            versions = self._kept(old, labels)
            promoted = self._apply(old, self._config(versions, labels))
            self.journal.note(PROMOTED, version, before, reason)
            return promoted

    def rollback(self, to: int | None = None, reason: str = "") -> ModelConfig:
        """Make the previous stable version (or `to`) `stable` again and drop the one that was; a canary ends too.

        It is noted before it is done: a version that was rolled back is not published again by itself. Raises
        `PublishError` where there is no such version, with nothing changed.
        """
        with locked(self.config_file):
            old = self.current()
            target = self._rollback_target(old, to)
            check_version_folder(self.local_base / self.name, target)
            bad = old.labels[STABLE]
            self.step("note the rollback")
            self.journal.note(ROLLED_BACK, bad, target, reason or "rolled back by hand")
            self._end_rollout()
            versions = set(old.versions) - {bad} - self._former_canary(old) | {target}
            older = [v for v in versions if v < target]
            labels = {STABLE: target, **({PREVIOUS: max(older)} if older else {})}
            return self._apply(old, self._config(versions, labels))

    def _rollback_target(self, old: ModelConfig | None, to: int | None) -> int:
        stable = old.labels.get(STABLE) if old else None
        if stable is None or (to is None and PREVIOUS not in old.labels):
            raise PublishError(f"{self.name} has no previous version to return to: publish one first")
        if to == stable:
            raise PublishError(f"version {to} of {self.name} is the stable one already: name another version")
        return old.labels[PREVIOUS] if to is None else to

    def reject_canary(self, version: int, reason: str) -> ModelConfig | None:
        """End the trial of `version`: everyone gets the stable version, and it is not tried again by itself."""
        current = self.current()
        self.step("note the rollback")
        self.journal.note(ROLLED_BACK, version, current.labels.get(STABLE) if current else None, reason)
        return self.unstage()

    def unstage(self) -> ModelConfig | None:
        """Take the canary off the server (after a failed verification); returns the configuration left, if any."""
        with locked(self.config_file):
            self._end_rollout()
            old = self.current()
            canary = self._former_canary(old)
            if old is None or CANARY not in old.labels:
                return old
            labels = {label: version for label, version in old.labels.items() if label != CANARY}
            versions = set(old.versions) - canary
            return self._apply(old, self._config(versions, labels) if versions else None)

    # Steps

    def _end_rollout(self) -> None:
        """Everyone gets `stable`, and the API has had the time to notice."""
        rollout = Rollout.load(self.folder)
        if rollout != Rollout() and rollout.model in ("", self.name):
            self.step("end the canary")
            Rollout().save(self.folder)
            time.sleep(self._notice_s)

    def _config(self, versions, labels: Mapping[str, int]) -> ModelConfig:
        return ModelConfig(self.name, self.base_path, tuple(versions), dict(labels))

    @staticmethod
    def _former_canary(old: ModelConfig | None) -> set[int]:
        """The version that only the label `canary` holds."""
        if old is None or CANARY not in old.labels:
            return set()
        others = {version for label, version in old.labels.items() if label != CANARY}
        return {old.labels[CANARY]} - others

    def _kept(self, old: ModelConfig | None, labels: Mapping[str, int]) -> set[int]:
        """The labelled versions, and further ones (newest first) up to `keep_versions`."""
        kept = set(labels.values())
        stable = labels[STABLE]
        for version in sorted(old.versions if old else (), reverse=True):
            if len(kept) >= self.keep_versions:
                break
            if version < stable:
                kept.add(version)
        return kept

    def _apply(self, old: ModelConfig | None, new: ModelConfig | None) -> ModelConfig | None:
        """Bring the server to `new`, then write the file; on failure bring it back to `old` and say why."""
        base = self._load()
        try:
            self._reload_in_order(base, old, new)
        except ModelServerError as error:
            raise PublishError(self._put_back(base, error)) from error
        self.step("write the configuration file")
        save_server_config(self.config_file, self._with(base, new))
        self.step("done")
        return new

    def _reload_in_order(self, base, old: ModelConfig | None, new: ModelConfig | None) -> None:
        """Versions first, labels after: a server takes a label only for a version that is AVAILABLE."""
        if new is not None:
            states = {item.version: item for item in self.client.status(self.name)}
            available = {version for version, item in states.items() if item.state == AVAILABLE}
            missing = set(new.versions) - available
            if missing:
                self.step(f"load version {', '.join(map(str, sorted(missing)))}")
                self.client.reload(self._with(base, self._interim(old, new, available)), self.load_timeout_s)
                for version in sorted(missing):
                    ended = version in states and states[version].state == END
                    self.client.wait_available(self.name, version, self.load_timeout_s, failed_before=ended)
        self.step("set labels")
        self.client.reload(self._with(base, new), self.load_timeout_s)

    def _interim(self, old: ModelConfig | None, new: ModelConfig, available: set[int]) -> ModelConfig:
        """`new` with the labels that can be held now; versions that such a label holds stay loaded."""
        labels: dict[str, int] = {}
        for label, version in new.labels.items():
            before = old.labels.get(label) if old else None
            if version in available:
                labels[label] = version
            elif before in available:
                labels[label] = before
        return replace(new, versions=tuple(set(new.versions) | set(labels.values())), labels=labels)

    def _with(self, base, model: ModelConfig | None):
        """`base` with this model's part replaced, or removed for None."""
        if model is not None:
            return with_model(base, model)
        changed = empty_server_config()
        changed.model_config_list.config.extend(
            message for message in base.model_config_list.config if message.name != self.name
        )
        return changed

    def _put_back(self, base, error: ModelServerError) -> str:
        """Send the configuration of the file again; returns what to tell the caller."""
        self.step("put the configuration back")
        try:
            self.client.reload(base, self.load_timeout_s)
        except ModelServerError as second:
            return (
                f"{error}. Putting the configuration back failed too: {second}. {self.config_file} is unchanged: "
                "restart the server to return to it"
            )
        return f"{error}. The configuration was put back: what was served before is served still"
