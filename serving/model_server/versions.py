"""The table of versions the server has heard of, by model. It holds no lock: its owner does."""

from __future__ import annotations

from pathlib import Path

from serving.model_server.configuration import Labels
from serving.model_server.errors import invalid_argument, not_found
from serving.model_server.state import State, VersionEntry


class VersionTable:
    """Entries by model name and version, and the labels in force."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[int, VersionEntry]] = {}
        self.labels: Labels = {}

    def of(self, name: str) -> dict[int, VersionEntry]:
        """The entries of a model; empty when it is unknown."""
        return self.entries.get(name, {})

    def mark(self, name: str, folders: dict[int, Path]) -> None:
        """Note which versions of a model are wanted now, and where they lie."""
        entries = self.entries.setdefault(name, {}) if folders else self.of(name)
        for version, folder in folders.items():
            entry = entries.get(version)
            # A version that failed is tried again only after it had been taken out of the configuration.
            if entry is None or (entry.state is State.END and not entry.aspired):
                entries[version] = VersionEntry(version, str(folder))
            else:
                entry.aspired = True
        for version in entries.keys() - folders.keys():
            entries[version].aspired = False
            if entries[version].state is State.START:
                entries[version].end()

    def serving(self, name: str) -> dict[int, VersionEntry]:
        """The versions of a model that answer now."""
        return {version: entry for version, entry in self.of(name).items() if entry.state is State.AVAILABLE}

    def settled(self, name: str, all_versions: bool) -> bool:
        """Whether a model serves (with `all_versions`: whether each wanted version came to AVAILABLE or END)."""
        states = [entry.state for entry in self.of(name).values() if entry.aspired]
        done = bool(states) and all(state in (State.AVAILABLE, State.END) for state in states)
        return done or (not all_versions and bool(self.serving(name)))

    def find(self, model_spec) -> VersionEntry:
        """The serving version that a `ModelSpec` names: by number, by label, or the highest.

        Raises INVALID_ARGUMENT without a name or for an unknown label, NOT_FOUND when it is not being served (also
        while it is loading, as TensorFlow Serving answers).
        """
        if not model_spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        serving = self.serving(model_spec.name)
        version = self.version_of(model_spec)
        if version is None:
            if not serving:
                raise not_found(f"Servable not found for request: Latest({model_spec.name})")
            return serving[max(serving)]
        if version not in serving:
            raise not_found(f"Servable not found for request: Specific({model_spec.name}, {version})")
        return serving[version]

    def version_of(self, model_spec) -> int | None:
        """The version a `ModelSpec` names by number or label; None for the latest."""
        choice = model_spec.WhichOneof("version_choice")
        if choice == "version":
            return model_spec.version.value
        if choice == "version_label":
            labels = self.labels.get(model_spec.name, {})
            if model_spec.version_label not in labels:
                raise invalid_argument(f"Unrecognized servable version label: {model_spec.version_label}")
            return labels[model_spec.version_label]
        return None

    def status(self, model_spec) -> list[VersionEntry]:
        """The versions that a `ModelSpec` names, highest first; raises NOT_FOUND where there are none."""
        entries = self.of(model_spec.name)
        version = self.version_of(model_spec)
        if version is not None and version not in entries:
            raise not_found(f"Could not find version {version} of model {model_spec.name}")
        if not entries:
            raise not_found(f"Could not find any versions of model {model_spec.name}")
        return [entries[v] for v in (sorted(entries, reverse=True) if version is None else [version])]
