"""The report: what is in its files, and that they can be opened."""

from __future__ import annotations

import io
import re

import numpy as np
import pandas as pd
import pytest
from evaluation_world import judged

from models.evaluation import report
from models.evaluation.calibration import calibration
from models.evaluation.metrics import PRIMARY, Evaluation, evaluate_lists
from models.evaluation.protocol import three_way
from models.evaluation.report.style import PALETTE, colours, label
from models.evaluation.segments import by_segment

CURVES = {
    "ease": [],
    "transitions": [{"epoch": e, "loss": 2 / e, PRIMARY: e / 100} for e in range(1, 5)],
    "popularity": [{"epoch": e, "loss": 7 / e} for e in range(1, 3)],
}


@pytest.fixture(scope="module")
def split(data):
    return three_way(data)


@pytest.fixture(scope="module")
def evaluations(split):
    return judged(split.train, split.test, ("popularity", "ease", "transitions"))


@pytest.fixture(scope="module")
def files(split, evaluations):
    rng = np.random.default_rng(0)
    p = rng.random(400)
    return report.files(
        evaluations,
        split.test.description,
        CURVES,
        by_segment(evaluations, split.test),
        [calibration("ranker", p, rng.random(400) < p)],
        title="Models <of today>",
    )


def picture(content: bytes) -> np.ndarray:
    from matplotlib.image import imread

    return imread(io.BytesIO(content), format="png")


def test_all_files_are_there(files):
    assert set(files) == {
        "comparison.md", "comparison.csv", "comparison.png", "tradeoff.png", "pairs.csv", "pairs.md",
        "pairs_discover_ndcg_at_10.png", "pairs_discover_recall_at_100.png", "pairs_next_ndcg_at_10.png",
        "pairs_next_recall_at_10.png", "learning_curves.png", "segments.csv", "segments_user.png", "segments_item.png",
        "calibration.csv", "reliability.png", "report.html",
    }  # fmt: skip


def test_pictures_open_and_show_every_model(files, evaluations):
    for name in (n for n in files if n.endswith(".png")):
        pixels = picture(files[name])
        assert min(pixels.shape[:2]) > 300, name
        assert (pixels[..., :3] < 0.9).any(axis=2).mean() > 0.005, f"{name} is empty"
    shown = {tuple(p) for p in (picture(files["comparison.png"])[..., :3].reshape(-1, 3) * 255).round().astype(int)}
    for model, colour in colours(e.model for e in evaluations).items():
        assert tuple(bytes.fromhex(colour[1:])) in shown, model


def test_the_same_evaluations_make_the_same_pictures(files, evaluations, split):
    again = report.files(evaluations, split.test.description)
    assert again["comparison.png"] == files["comparison.png"]
    assert again["pairs.csv"] == files["pairs.csv"]


def test_tables_hold_the_figures(files, evaluations):
    frame = pd.read_csv(io.BytesIO(files["comparison.csv"])).set_index(["model", "metric"])
    for e in evaluations:
        for name, m in e.metrics.items():
            row = frame.loc[(e.model, name)]
            assert [row.value, row.lo, row.hi] == pytest.approx([m.value, m.lo, m.hi])
    assert str(evaluations[1].metrics[PRIMARY]) in files["comparison.md"].decode()
    assert set(pd.read_csv(io.BytesIO(files["pairs.csv"])).candidate) == {e.model for e in evaluations}
    assert set(pd.read_csv(io.BytesIO(files["segments.csv"])).by) == {"user", "item"}


def test_the_page_needs_nothing_else_and_escapes_names(files):
    html = files["report.html"].decode()
    assert "<h1>Models &lt;of today&gt;</h1>" in html
    sources = re.findall(r"(?:src|href)='([^']*)'", html)
    assert len(sources) == 10
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "<script" not in html
    for heading in ("All models", "Every pair", "Learning curves", "Segments", "Probabilities"):
        assert f"<h2>{heading}</h2>" in html


def test_the_best_value_stands_out(files, evaluations):
    best = max(e.metrics["next_ndcg_at_10"].value for e in evaluations)
    assert f"<td class='best'>{best:.4f}<small>" in files["report.html"].decode()


def test_one_model_alone_has_no_pairs(evaluations):
    alone = report.files(evaluations[:1], "the last tenth")
    assert set(alone) == {"comparison.md", "comparison.csv", "comparison.png", "tradeoff.png", "report.html"}
    assert "Held out: the last tenth; 5" in alone["report.html"].decode()
    with pytest.raises(ValueError, match="no evaluation was given"):
        report.files([], "nothing")


def test_a_task_that_was_not_judged_is_left_out(split):
    lists = {"next": np.tile(np.arange(100), (len(split.test), 1))}
    made = report.files([evaluate_lists(lists, split.test, name) for name in "ab"], "x")
    assert "tradeoff.png" not in made
    assert "discover" not in made["comparison.md"].decode()
    assert "pairs_next_ndcg_at_10.png" in made


def test_without_artists_and_genres_diversity_is_not_claimed(plain_data, split, evaluations):
    held = three_way(plain_data).test
    [plain] = judged(three_way(plain_data).train, held, ("popularity",))
    assert "discover_diversity_at_10" not in plain.metrics
    assert "discover_diversity_at_10" in evaluations[0].metrics


def test_many_models_with_long_names_can_be_drawn(evaluations):
    one = evaluations[0]
    many = [Evaluation(f"a model with a rather long name, number {i}", one.metrics, one.per_user) for i in range(15)]
    assert picture(report.comparison_plot(many)).shape[0] > picture(report.comparison_plot(many[:2])).shape[0]
    assert len(set(colours(e.model for e in many).values())) == len(PALETTE)
    assert picture(report.tradeoff_plot(many)).shape[1] > 300


def test_a_curve_of_one_model_and_none(evaluations):
    assert picture(report.learning_curve_plot(CURVES["transitions"])).shape[1] > 900
    assert picture(report.learning_curve_plot(CURVES["popularity"])).shape[1] < 900
    with pytest.raises(ValueError, match="no model has an epoch"):
        report.learning_curves_plot({"ease": []})


def test_plots_of_what_was_not_measured_say_so(evaluations, split):
    with pytest.raises(ValueError, match="none of the metrics"):
        report.comparison_plot(evaluations, ["accuracy"])
    with pytest.raises(ValueError, match="no rows by 'country'"):
        report.segment_plot(by_segment(evaluations[:1], split.test), "country", ["next_ndcg_at_10"])


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        ("discover_ndcg_at_10", "discover: NDCG@10"),
        ("next_mrr_at_100", "next: MRR@100"),
        ("discover_popularity_lift_at_10", "discover: popularity lift@10"),
        ("discover_novelty_at_10", "discover: novelty@10 (bits)"),
        ("fit_seconds", "fit seconds"),
    ],
)
def test_metrics_have_readable_names(metric, text):
    assert label(metric) == text
