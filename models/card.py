"""The model card: what a model is, what it learned from, how well it does and its limits (Mitchell et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.data import ListeningData
from models.evaluation import report
from models.evaluation.metrics import Evaluation
from models.evaluation.split import HoldOut

CARD = """# {name}

Recommends tracks from a listener's latest plays: candidates from counts of what follows what, ordered by boosted trees
(LambdaMART), one ranker for the very next play and one for tracks new to the listener. No listener is stored in it.

## Data

{n_users:,} users, {n_plays:,} plays, {n_tracks:,} tracks; clock: {clock}. Tables read: {tables}.
Code revision: {revision}.

## Evaluation

Held out: {hold_out}; {n_judged:,} users judged. Full-catalogue ranking without sampled negatives; 95 % bootstrap
intervals over users. `next` is the very next play; `discover` ranks what the listener had never played.

{table}

{differences}

## Two models in one version

`evaluation/` was fit on the training part only: the gate judges it on plays it has not seen. `serving/` has the same
rankers over counts of everything: it is what listeners get.

## Settings

{settings}

## Limits

- Learns from plays as they happened, so it repeats what the past interface and its recommendations favoured.
- A track without plays is placed by its artist, album, genre and acoustic content alone, and seldom surfaces where
  these are unknown.
- {context}
- Offline ranking quality says little about long-run satisfaction; compare on listeners before relying on it.
- The weights hold no user identity, but rare tracks may reflect very few listeners (least listened: {least}).
"""


def model_card(
    name: str,
    data: ListeningData,
    hold_out: HoldOut,
    evaluations: Sequence[Evaluation],
    params: Mapping[str, object],
    data_versions: Mapping[str, int],
    git_revision: str,
) -> str:
    """Markdown; the last of ``evaluations`` is the model the card is about."""
    candidate, others = evaluations[-1], evaluations[:-1]
    listened = data.listeners[data.listeners > 0]
    context = "Hour, device and other context of a request change nothing yet."
    return CARD.format(
        name=name,
        n_users=data.n_users,
        n_plays=data.n_plays,
        n_tracks=data.n_tracks,
        clock=data.clock,
        tables=", ".join(f"{table} version {version}" for table, version in data_versions.items()) or "not recorded",
        revision=git_revision or "not recorded",
        hold_out=hold_out.description,
        n_judged=len(hold_out),
        table=report.markdown(evaluations),
        differences=report.differences(candidate, others),
        settings="\n".join(f"- {key}: {value}" for key, value in params.items()),
        context=context,
        least=int(listened.min()) if len(listened) else 0,
    )
