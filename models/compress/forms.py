"""One model in the forms that are compared: SavedModel folders and LiteRT files, with what they answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from models.compress.comparison import Judged, Version
from models.compress.litert import LiteModel, convert

SCORES = "scores"


@dataclass(frozen=True)
class Form:
    """name; module: called with the arguments of ``specs`` in their order, one moment, -> scores float32 [C] or
    [1, C]."""

    name: str
    module: tf.Module
    specs: Sequence[tf.TensorSpec]

    def answers(self, function: Callable, judged: Judged) -> np.ndarray:
        """float32 [Q, C]: ``function`` asked by name at every judged moment."""
        return np.stack([np.asarray(function(**judged.moment(at))).ravel() for at in range(len(judged))])


def saved_version(form: Form, of: str, judged: Judged, folder: Path, note: str) -> Version:
    """The module as a SavedModel with one signature, asked as a server would ask it."""
    served = tf.function(lambda *arguments: {SCORES: form.module(*arguments)}, autograph=False)
    names = [spec.name for spec in form.specs]

    def named(**inputs):
        return served(*[inputs[name] for name in names])

    signature = tf.function(named, autograph=False).get_concrete_function(**{s.name: s for s in form.specs})
    path = folder / form.name.replace(" ", "_")
    holder = tf.Module()
    holder.module = form.module
    tf.saved_model.save(holder, str(path), signatures=signature)
    loaded = tf.saved_model.load(str(path)).signatures["serving_default"]

    def asked(**inputs):
        return loaded(**{name: tf.constant(value) for name, value in inputs.items()})[SCORES].numpy()

    return Version(form.name, of, path, form.answers(asked, judged), note)


def lite_versions(
    form: Form,
    of: str,
    judged: Judged,
    folder: Path,
    kinds: Sequence[str],
    calibration: Iterable[Mapping[str, np.ndarray]],
    note: str,
) -> list[Version]:
    """One LiteRT file a kind; each is compared with the first, the first with the version ``of``."""
    out: list[Version] = []
    for kind in kinds:
        content = convert(form.module, form.specs, form.module, kind, calibration)
        name = f"{form.name}, {kind}"
        path = folder / f"{name.replace(' ', '_').replace(',', '')}.tflite"
        path.write_bytes(content)
        scores = form.answers(LiteModel(content), judged)
        out.append(Version(name, out[0].name if out else of, path, scores, f"{note}, LiteRT in {kind}"))
    return out
