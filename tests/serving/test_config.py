"""The configuration file: a round trip for every configuration, and errors that name file and field."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.config import (
    ConfigError,
    ModelConfig,
    empty_server_config,
    ensure_config_file,
    format_server_config,
    get_model,
    load_server_config,
    parse_server_config,
    save_server_config,
    with_model,
)

names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)
versions = st.integers(1, 2**62)


@st.composite
def models(draw) -> ModelConfig:
    policy = draw(st.sampled_from(["specific", "latest", "all"]))
    chosen = tuple(draw(st.sets(versions, min_size=1, max_size=4))) if policy == "specific" else ()
    labels = draw(st.dictionaries(names, st.sampled_from(chosen) if chosen else versions, max_size=3))
    number = draw(st.integers(1, 9)) if policy == "latest" else 1
    return ModelConfig(draw(names), draw(names), chosen, labels, policy, number)


@settings(max_examples=100, deadline=None)
@given(st.lists(models(), max_size=3, unique_by=lambda model: model.name))
def test_text_round_trip(listed):
    config = empty_server_config()
    for model in listed:
        config = with_model(config, model)
    again = parse_server_config(format_server_config(config))
    assert again == config
    assert [get_model(again, model.name) for model in listed] == listed


def test_text_as_the_documentation_of_the_real_server_writes_it():
    config = parse_server_config(
        """
        model_config_list {
          config {
            name: 'first' base_path: '/models/first' model_platform: 'tensorflow'
            model_version_policy { specific { versions: 42 versions: 43 } }
            version_labels { key: 'stable' value: 42 }
            version_labels { key: 'canary' value: 43 }
          }
          config { name: "second" base_path: "/models/second" model_platform: "tensorflow" }
        }
        """
    )
    assert get_model(config, "first") == ModelConfig("first", "/models/first", (42, 43), {"stable": 42, "canary": 43})
    assert get_model(config, "second") == ModelConfig("second", "/models/second", policy="latest")
    assert get_model(config, "third") is None


def test_replacing_a_model_keeps_what_the_view_does_not_know():
    config = with_model(empty_server_config(), ModelConfig("a", "/a", (1,)))
    config.model_config_list.config[0].logging_config.sampling_config.sampling_rate = 0.5
    changed = with_model(config, ModelConfig("a", "/a", (2,)))
    assert changed.model_config_list.config[0].logging_config.sampling_config.sampling_rate == 0.5
    assert get_model(changed, "a").versions == (2,)
    assert get_model(config, "a").versions == (1,)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": ""}, "name: a model needs a name"),
        ({"versions": ()}, "versions of model m: the policy 'specific' needs at least one"),
        (
            {"labels": {"stable": 9}},
            r"label 'stable' of model m names version 9, which is not among its versions \[1\]",
        ),
        ({"policy": "newest"}, "'newest' is none of specific, latest, all"),
        ({"policy": "latest"}, "only the policy 'specific' takes them"),
        ({"versions": (), "policy": "latest", "num_versions": 0}, "num_versions of model m: 0 is below 1"),
    ],
)
def test_configurations_no_server_would_take(arguments, words):
    with pytest.raises(ConfigError, match=words):
        ModelConfig(**{"name": "m", "base_path": "/m", "versions": (1,), **arguments})


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "models.config"
    with pytest.raises(ConfigError, match=r"models.config does not exist: write `model_config_list {}`"):
        load_server_config(path)
    path.write_text("model_config_list { config { nome: 'x' } }")
    with pytest.raises(ConfigError, match=r"models.config: 1:30 : .*nome"):
        load_server_config(path)
    path.write_text("custom_model_config {}")
    with pytest.raises(ConfigError, match="custom_model_config is not supported"):
        load_server_config(path)
    path.write_text("")
    assert load_server_config(path) == empty_server_config()


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "models.config"
    ensure_config_file(path)
    before = path.read_bytes()

    def full(_):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        save_server_config(path, with_model(empty_server_config(), ModelConfig("a", "/a", (1,))))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
