"""Loads, serves and unloads model versions as configuration and file system ask for."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc

from serving.model_server.batching import Batcher
from serving.model_server.configuration import check_config, resolve_labels
from serving.model_server.crowd import Crowd
from serving.model_server.errors import ServingError, as_serving_error
from serving.model_server.servable import Servable
from serving.model_server.state import State, VersionEntry, next_action
from serving.model_server.storage import aspired_folders, map_mounts, version_folders
from serving.model_server.versions import VersionTable
from serving.model_server.warmup import replay_warmup

LOGGER = logging.getLogger(__name__)
LOADER_NICENESS = 10


def loader(config: bytes = b"", crowd: Crowd | None = None) -> Callable[[Path, int], Servable]:
    """How the server loads a version: into a session with the `ConfigProto` given, its warm-up replayed; that runs in
    the loading thread alone, whose niceness the session's threads do not have."""

    def load_servable(path: Path, version: int) -> Servable:
        servable = Servable(path, config)
        replay_warmup(servable, version)
        servable.crowd = crowd
        return servable

    return load_servable


class ModelManager:
    """The models of one server. One thread loads and unloads; any number of threads ask.

    Args:
        poll_wait_seconds: how often the file system is looked at for new versions; 0 or less: only on `reload`.
        allow_unavailable_labels: let a new label name a version that is not loaded yet.
        mounts: path prefixes of configurations -> local folders.
        load: how a version is loaded, `(folder, version) -> Servable`.
        batcher: runs requests together, where it is wanted; closed by its owner.
    """

    def __init__(
        self,
        poll_wait_seconds: float = 1.0,
        allow_unavailable_labels: bool = False,
        mounts: dict[str, str] | None = None,
        load: Callable[[Path, int], Servable] | None = None,
        batcher: Batcher | None = None,
    ):
        self._poll_wait = poll_wait_seconds if poll_wait_seconds > 0 else None
        self._allow_unavailable_labels = allow_unavailable_labels
        self._mounts = dict(mounts or {})
        self._load = load or loader()
        self.batcher = batcher
        # Guards the table and the configuration; notified at each change of a state.
        self._changed = threading.Condition()
        self._reloading = threading.Lock()
        self._config = None
        self._table = VersionTable()
        self._wake = self._stopped = False
        # Models to be freed: by the loader, as that may take a while and a request is not to wait for it.
        self._leaving: list[Servable] = []
        self._worker = threading.Thread(target=self._run, name="model-loader", daemon=True)
        self._worker.start()

    # Configuration

    def reload(self, config, keep_waiting: Callable[[], bool] = lambda: True, *, starting: bool = False) -> None:
        """Take a new `ModelServerConfig`, and wait until each model new in it has a version AVAILABLE.

        Versions of models known before are loaded in the background: ask for their status. Waiting stops when
        `keep_waiting` says so (the caller has gone). With `starting`, all versions are waited for (one may fail
        where another serves), and a model without any version folder is not.

        Raises INVALID_ARGUMENT or FAILED_PRECONDITION with nothing changed, UNKNOWN when a new model did not load
        (the configuration is in force then, as in TensorFlow Serving: send another one).
        """
        with self._reloading:
            check_config(config)
            with self._changed:
                self._table.labels = resolve_labels(
                    config, self._table.labels, self._table.entries, self._allow_unavailable_labels
                )
                known = {model.name for model in self._config.model_config_list.config} if self._config else set()
                self._config = config
            self._aspire()
            new = [model.name for model in config.model_config_list.config if model.name not in known]
            if starting:
                new = [name for name in new if self._table.of(name)]
            self._wait_for_models(new, keep_waiting, starting)

    def _wait_for_models(self, names: list[str], keep_waiting: Callable[[], bool], all_versions: bool) -> None:
        with self._changed:
            while waiting := [name for name in names if not self._table.settled(name, all_versions)]:
                if self._stopped or not keep_waiting():
                    message = f"stopped waiting for models to load: {', '.join(waiting)}"
                    raise ServingError(grpc.StatusCode.UNKNOWN, message)
                self._changed.wait(timeout=0.2)
            failed = [name for name in names if not self._table.serving(name)]
            if failed:
                reasons = ", ".join(
                    f"{{{{name: {name} version: {entry.version}}} due to error: {entry.error_message}}}"
                    for name in failed
                    for entry in self._table.of(name).values()
                    if entry.aspired
                )
                message = f"{len(failed)} model(s) did not become available: {{{reasons}}}"
                raise ServingError(grpc.StatusCode.UNKNOWN, message)

    def _aspire(self) -> None:
        """Look at the file system and mark which versions are wanted; wake the loader."""
        with self._changed:
            config = self._config
        if config is None:
            return
        wanted: dict[str, dict[int, Path]] = {}
        for model in config.model_config_list.config:
            base = map_mounts(model.base_path, self._mounts)
            try:
                wanted[model.name] = aspired_folders(version_folders(base), model.model_version_policy, model.name)
            except OSError as error:
                # As in TensorFlow Serving: what is loaded stays when the folder cannot be read.
                LOGGER.warning("could not look into base path %s of model %s: %s", base, model.name, error)
        named = {model.name for model in config.model_config_list.config}
        with self._changed:
            if config is not self._config:
                return
            for name in self._table.entries.keys() - named:
                self._table.mark(name, {})
            for name, folders in wanted.items():
                self._table.mark(name, folders)
            self._wake = True
            self._changed.notify_all()

    # Requests

    @contextmanager
    def servable(self, model_spec) -> Iterator[tuple[int, Servable]]:
        """The version and the loaded model that `model_spec` names; it stays loaded inside the `with`.

        Raises what `VersionTable.find` raises.
        """
        with self._changed:
            entry = self._table.find(model_spec)
            entry.in_flight += 1
            servable = entry.servable
        try:
            yield entry.version, servable
        finally:
            with self._changed:
                entry.in_flight -= 1
                if entry.state is State.UNLOADING and entry.in_flight == 0:
                    self._finish_unload(model_spec.name, entry)

    def status(self, model_spec) -> list[tuple[int, State, int, str]]:
        """(version, state, error code, error message) of the versions `model_spec` names, highest first."""
        with self._changed:
            entries = self._table.status(model_spec)
            return [(entry.version, entry.state, entry.error_code, entry.error_message) for entry in entries]

    # Loading and unloading

    def _run(self) -> None:
        with suppress(OSError, AttributeError):
            # Requests come first: on Linux the niceness is the thread's own.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOADER_NICENESS)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wake or self._stopped or self._leaving, timeout=self._poll_wait)
                if self._stopped:
                    return
                leaving, self._leaving = self._leaving, []
                poll, self._wake = not self._wake and not leaving, False
            try:
                leaving.clear()
                if poll:
                    self._aspire()
                self._settle()
            except Exception:
                LOGGER.exception("the model loader met an error; it goes on")

    def _settle(self) -> None:
        """Load and unload until every model is as wanted."""
        with self._changed:
            names = list(self._table.entries)
        for name in names:
            while not self._stopped:
                with self._changed:
                    action = next_action(list(self._table.of(name).values()))
                    if action is None:
                        break
                    kind, entry = action
                    if kind == "unload":
                        self._start_unload(name, entry)
                        continue
                    entry.state = State.LOADING
                    self._changed.notify_all()
                self._load_entry(name, entry)

    def _load_entry(self, name: str, entry: VersionEntry) -> None:
        LOGGER.info("loading version %d of model %s from %s", entry.version, name, entry.path)
        try:
            servable = self._load(Path(entry.path), entry.version)
        except Exception as error:
            failure = as_serving_error(error)
            LOGGER.error("version %d of model %s did not load: %s", entry.version, name, failure.message)
            with self._changed:
                entry.end(failure.number, failure.message)
                self._changed.notify_all()
            return
        with self._changed:
            entry.servable, entry.state = servable, State.AVAILABLE
            self._changed.notify_all()
        LOGGER.info("version %d of model %s is available", entry.version, name)

    def _start_unload(self, name: str, entry: VersionEntry) -> None:
        entry.state = State.UNLOADING
        self._changed.notify_all()
        if entry.in_flight == 0:
            self._finish_unload(name, entry)

    def _finish_unload(self, name: str, entry: VersionEntry) -> None:
        self._leaving.append(entry.servable)
        entry.end()
        LOGGER.info("version %d of model %s is unloaded", entry.version, name)
        self._changed.notify_all()

    def close(self) -> None:
        """Stop loading; requests under way finish with the model they hold."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        # A load that is under way cannot be interrupted; the process need not wait for it.
        self._worker.join(timeout=5)
