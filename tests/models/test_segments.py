from __future__ import annotations

import numpy as np
import pytest
from evaluation_world import judged

from models.evaluation.metrics import evaluate_lists, ranked_lists
from models.evaluation.protocol import three_way
from models.evaluation.segments import (
    ITEM,
    USER,
    Segmentation,
    by_segment,
    compare_by_segment,
    item_segments,
    segments,
    user_segments,
)
from models.recommend.transitions import Transitions


@pytest.fixture(scope="module")
def world(plain_data):
    split = three_way(plain_data)
    return split.test, judged(split.train, split.test, ("popularity", "transitions"))


def rows_of(frame, **wanted):
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return frame


def test_user_classes_are_what_their_rules_say(world):
    held, _ = world
    classes = user_segments(held, new=20, heavy=0.5)
    plays = np.array([len(h) for h in held.histories])
    assert classes.names == ("new", "light", "heavy")
    assert plays[classes.codes == 0].max() <= 20 < plays[classes.codes == 1].min()
    assert plays[classes.codes == 1].max() < plays[classes.codes == 2].min()
    assert classes.rules[2] == f"{plays[classes.codes == 2].min()} plays or more"


def test_item_classes_are_what_their_rules_say(world):
    held, _ = world
    classes = item_segments(held, head=0.5)
    listeners = held.listeners
    assert (listeners[classes.codes == 2] == 0).all()
    assert listeners[classes.codes == 0].min() > listeners[classes.codes == 1].max() > 0
    head = listeners[classes.codes == 0].sum()
    at_limit = listeners[listeners == listeners[classes.codes == 0].min()].sum()
    assert head - at_limit < 0.5 * listeners.sum() <= head


def test_one_class_of_everybody_gives_the_whole_figures(world):
    held, (_, model) = world
    [whole] = segments(model, held, [Segmentation(USER, ("all",), ("all",), np.zeros(len(held), int))])
    assert whole.evaluation.metrics == model.metrics
    [every] = segments(model, held, [Segmentation(ITEM, ("all",), ("all",), np.zeros(len(held.catalogue), int))])
    for name, value in every.evaluation.metrics.items():
        if name != "discover_exposure_at_10":
            whole = model.metrics[name]
            assert [value.value, value.lo, value.hi] == pytest.approx([whole.value, whole.lo, whole.hi]), name
    assert every.evaluation.metrics["discover_exposure_at_10"].value == 1


def test_recall_of_a_class_by_hand(plain_data, world):
    held, (_, judged_model) = world
    model = Transitions().fit(three_way(plain_data).train)
    lists = ranked_lists(model, held, "discover")
    classes = item_segments(held)
    tail = np.flatnonzero(classes.codes == 1)
    values = []
    for history, truth, row in zip(held.histories, held.truths, lists, strict=True):
        wanted = set(truth) - set(history)
        wanted &= set(tail)
        if wanted:
            values.append(len(wanted & set(row)) / len(wanted))
    frame = by_segment(judged_model, held)
    [row] = rows_of(frame, by=ITEM, segment="tail", metric="discover_recall_at_100").itertuples()
    assert row.value == pytest.approx(np.mean(values))
    assert row.users == len(values)
    assert row.lo <= row.value <= row.hi


def test_classes_of_users_add_up(world):
    held, models = world
    frame = by_segment(models, held)
    for model in models:
        rows = rows_of(frame, model=model.model, by=USER, metric="next_ndcg_at_10")
        assert rows.users.sum() == len(held)
        whole = (rows.users * rows.value).sum() / rows.users.sum()
        assert whole == pytest.approx(model.metrics["next_ndcg_at_10"].value)
        shares = rows_of(frame, model=model.model, by=ITEM, metric="discover_exposure_at_10")
        assert shares.value.sum() == pytest.approx(1)


def test_an_empty_class_is_there_with_nobody_in_it(world):
    held, (model, _) = world
    frame = by_segment(model, held, [user_segments(held, new=0)])
    [row] = rows_of(frame, segment="new").itertuples()
    assert (row.users, row.metric) == (0, "")
    assert np.isnan(row.value)


def test_popularity_finds_the_head_alone(world):
    held, (popularity, _) = world
    frame = rows_of(by_segment(popularity, held), by=ITEM, metric="discover_recall_at_10").set_index("segment")
    assert frame.value["head"] > frame.value["tail"]


def test_difference_in_a_class_is_paired(world):
    held, (popularity, transitions) = world
    found = compare_by_segment(popularity, transitions, held, "next_ndcg_at_10")
    frame = rows_of(by_segment([popularity, transitions], held), metric="next_ndcg_at_10", segment="heavy")
    values = frame.set_index("model").value
    assert found[USER, "heavy"].value == pytest.approx(values["transitions"] - values["popularity"])
    assert found[USER, "heavy"].lo > 0


def test_labels_make_classes(world):
    held, (model, _) = world
    labels = ["" if i == 0 else "xy"[i % 2] for i in range(len(held))]
    frame = by_segment(model, held, [Segmentation.of_labels(USER, labels, "country")])
    rows = rows_of(frame, metric="next_mrr_at_100").set_index("segment")
    assert rows.users.to_dict() == {"x": labels.count("x"), "y": labels.count("y")}
    assert rows.rule["x"] == "country: x"


def test_an_evaluation_of_other_users_is_refused(world):
    held, (model, _) = world
    less = held.sample(10)
    with pytest.raises(ValueError, match="judged on other users"):
        by_segment(model, less)
    lists = {"next": np.full((10, 5), -1)}
    assert evaluate_lists(lists, less, "none").metrics["next_recall_at_100"].value == 0
