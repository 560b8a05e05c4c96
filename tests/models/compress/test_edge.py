"""The bundle ranks as the server's model does over the region, and a damaged one is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sequences import CONFIG, sequence

from models.compress.edge import (
    BundleDamaged,
    most_heard_country,
    quantised,
    rank,
    read_bundle,
    region_tracks,
    regional,
    write_bundle,
)
from models.compress.litert import LiteModel

CLIENT = Path(__file__).parents[3] / "examples" / "edge_client.py"


COUNTRIES = ("NL", "SE")


@pytest.fixture(scope="module")
def data(data):
    """A third of the plays are Dutch, those of every other track; of the first hundred nothing is known."""
    names, context = dict(data.context_fields.names) | {"country": COUNTRIES}, data.context.copy()
    known = np.where((data.items % 2 == 0) & (np.arange(data.n_plays) % 3 == 0), 0, 1)
    known[:100] = -1
    context[:, data.context_fields.column("country")] = known
    fields = replace(data.context_fields, names=names)
    return replace(data, context=context, context_fields=fields)


@pytest.fixture(scope="module")
def scorer(data):
    return sequence(data.n_tracks)


@pytest.fixture(scope="module")
def country(data):
    return most_heard_country(data)


@pytest.fixture(scope="module")
def bundle(data, scorer, country, tmp_path_factory):
    out = tmp_path_factory.mktemp("edge") / "bundle.soundlake"
    titles = {track: f"Title of {track}" for track in data.catalogue.ids[:5]}
    manifest = write_bundle(scorer, data, country, out, "recommender:7", titles, n=60)
    assert manifest["version"] == "recommender:7" and manifest["tracks"] == 60
    return out


def test_its_ranking_agrees_with_the_servers_model_over_the_region(data, scorer, country, bundle):
    found, rows = read_bundle(bundle), region_tracks(data, country, 60)
    model, whole = LiteModel(found.model), scorer
    inside = np.zeros(data.n_tracks, bool)
    inside[rows] = True
    alike = []
    for user in range(30):
        history = [track for track in data.history(user) if inside[track]][-CONFIG.history :]
        if not history:
            continue
        asked = np.full((1, CONFIG.history), -1, np.int32)
        asked[0, : len(history)] = history[::-1]
        scores = np.where(inside, whole(tf.constant(asked)).numpy()[0], -np.inf)
        best = data.catalogue.ids[np.argsort(-scores)[:10]]
        ours = [track for track, _ in rank(found, model, data.catalogue.ids[history].tolist())]
        alike.append(len(set(best) & set(ours)) / 10)
    assert len(alike) > 10 and np.mean(alike) > 0.85


def test_int8_vectors_are_off_by_half_a_step_at_most():
    vectors = np.random.default_rng(0).normal(size=(50, 16)) * np.logspace(-3, 3, 50)[:, None]
    items, scales = quantised(vectors)
    assert items.dtype == np.int8
    assert (np.abs(items * scales[:, None] - vectors) <= 0.5001 * scales[:, None]).all()
    assert (quantised(np.zeros((2, 3)))[0] == 0).all()


def test_a_region_is_what_its_plays_name(data):
    assert most_heard_country(data) == "SE"
    dutch = region_tracks(data, "NL", 1000)
    assert len(dutch) and (dutch % 2 == 0).all()
    played = np.bincount(data.items[data.of_context("country") == 0], minlength=data.n_tracks)
    assert (np.diff(played[dutch]) <= 0).all() and played[dutch].min() > 0


def test_a_region_forgets_the_followers_outside_it(scorer, data, country):
    rows = region_tracks(data, country, 10)
    small = regional(scorer, rows)
    assert small.rows.shape[0] == 10
    followers = small.tables.tracks.numpy()
    assert followers.min() >= -1 and followers.max() < 10


@pytest.mark.parametrize("damage", ["cut short", "a byte turned", "a member replaced", "no archive"])
def test_a_damaged_bundle_is_refused_with_what_to_do(bundle, tmp_path, damage):
    import zipfile

    broken = tmp_path / "broken.soundlake"
    content = bytearray(bundle.read_bytes())
    if damage == "cut short":
        broken.write_bytes(content[: len(content) // 2])
    elif damage == "a byte turned":
        content[len(content) // 3] ^= 0xFF
        broken.write_bytes(content)
    elif damage == "no archive":
        broken.write_bytes(b"not a bundle")
    else:
        with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(broken, "w") as new:
            for name in old.namelist():
                new.writestr(name, old.read(name) if name != "scales.npy" else old.read("bias.npy"))
    with pytest.raises(BundleDamaged, match="write it again: soundlake edge-bundle"):
        read_bundle(broken)


def test_a_country_without_plays_is_refused_with_those_there_are(data, scorer, country, tmp_path):
    with pytest.raises(ValueError, match=f"'XX' is in no play of the lake; there are .*{country}"):
        write_bundle(scorer, data, "XX", tmp_path / "b", "1")


def test_the_example_client_ranks_with_numpy_and_litert_alone(bundle, data, tmp_path):
    client, stand_in = tmp_path / "client.py", tmp_path / "ai_edge_litert"
    shutil.copy(CLIENT, client)
    try:
        import ai_edge_litert  # noqa: F401
    except ImportError:  # the interpreter is the same inside TensorFlow
        stand_in.mkdir()
        (stand_in / "__init__.py").write_text("")
        (stand_in / "interpreter.py").write_text("import tensorflow as tf\n\nInterpreter = tf.lite.Interpreter\n")
    found = read_bundle(bundle)
    history = found.tracks[:4]
    command = [sys.executable, str(client), str(bundle), *history]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    listed = [line.split()[1] for line in done.stdout.splitlines()]
    assert listed == [track for track, _ in rank(found, LiteModel(found.model), history)]
    assert any("Title of" in line for line in done.stdout.splitlines()) or not set(listed) & set(data.catalogue.ids[:5])
