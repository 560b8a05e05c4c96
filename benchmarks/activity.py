"""How well the activity is recognised where listeners do not say it, on the lake of the settings.

Half of the listeners are taken to say nothing at all: the classifier is fit on the earlier plays of the others and
judged on the later plays of both halves.
"""

from __future__ import annotations

import numpy as np

from benchmarks.report import write_part

HELD_OUT, HIDDEN = 0.1, 0.5


def recognise(seed: int = 0) -> str:
    """Markdown: what the events say, then a table for listeners who say nothing and for those who do."""
    from lakehouse.settings import get_settings
    from models.context.activity import ActivityClassifier, ActivityConfig, said
    from models.context.activity_report import activity_report, without_activity
    from models.lake_data import load

    data, _ = load(get_settings())
    told = said(data)
    hidden = np.random.default_rng(seed).random(data.n_users) < HIDDEN
    cutoff = np.quantile(data.times, 1 - HELD_OUT)
    train = without_activity(data, hidden).keep(data.times < cutoff)
    classifier = ActivityClassifier(ActivityConfig(seed=seed)).fit(train)
    later = told[data.times[told] >= cutoff]
    parts = [
        f"{len(told) / data.n_plays:.1%} of {data.n_plays:,} plays say the activity "
        f"({', '.join(classifier.activities)}); it was hidden at {hidden.mean():.0%} of {data.n_users} listeners. "
        f"Learned from {len(said(train)):,} plays before {np.datetime64(int(cutoff), 'ms')}Z, judged on "
        f"{len(later):,} from then on; temperature {classifier.temperature:.2f}. Means over listeners."
    ]
    for title, inside in (("Listeners who never say it", hidden), ("Listeners who say it", ~hidden)):
        report = activity_report(classifier, train, data, later[inside[data.user_of_play[later]]])
        parts.append(f"**{title}**\n\n{report.markdown()}")
    return "\n\n".join(parts)


def main() -> None:
    write_part("Activity recognition", recognise(), "python -m benchmarks.activity")


if __name__ == "__main__":
    main()
