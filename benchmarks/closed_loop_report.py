"""Tables and plot of a closed loop: engagement by round and policy, differences with intervals over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.closed_loop_lines import Round
from benchmarks.report import write_part
from models.evaluation.bootstrap import Interval, interval_of, resample_weights

if TYPE_CHECKING:
    from benchmarks.closed_loop import LoopConfig

LINES = ("soundlake", "popularity", "random", "truth")
UNITS = {"kept": "kept", "completion": "heard", "likes": "likes per 100"}
Seeds = Mapping[int, Sequence[Round]]


def values(seeds: Seeds, line: str, measure: str) -> np.ndarray:
    """[seeds, rounds]"""
    return np.array([[one.lines[line].measures()[measure] for one in rounds] for rounds in seeds.values()])


def over_seeds(per_seed: np.ndarray) -> Interval:
    """Mean over the seeds, with the percentile interval of means of resampled seeds, which one seed has none of."""
    if len(per_seed) == 1:
        return Interval(float(per_seed[0]), float("nan"), float("nan"))
    draws = np.array([per_seed @ weight / len(per_seed) for weight in resample_weights(len(per_seed))])
    return interval_of(float(per_seed.mean()), draws)


def tables(seeds: Seeds) -> str:
    kept = {line: values(seeds, line, "kept") for line in LINES}
    first = next(iter(seeds.values()))
    head = ["round", *(f"{line}: kept" for line in LINES), "over popularity", "over random"]
    lines = [_row(head), _row(["---"] * len(head))]
    for number in range(len(first)):
        means = [f"{kept[line][:, number].mean():.3f}" for line in LINES]
        gains = [over_seeds((kept["soundlake"] - kept[other])[:, number]) for other in ("popularity", "random")]
        lines.append(_row([str(number), *means, *map(_signed, gains)]))
    return "\n".join(lines)


def rises(seeds: Seeds) -> str:
    """Last round against the first: of the policy itself, and of what it has over popularity."""
    rows = [
        _row(["measure", "first round", "last round", "rise", "over popularity, last round", "rise over popularity"])
    ]
    rows.append(_row(["---"] * 6))
    for measure, unit in UNITS.items():
        own, other = (values(seeds, line, measure) for line in ("soundlake", "popularity"))
        gain = own - other
        rise, above, more = (over_seeds(x) for x in (own[:, -1] - own[:, 0], gain[:, -1], gain[:, -1] - gain[:, 0]))
        ends = [f"{own[:, at].mean():.3f}" for at in (0, -1)]
        rows.append(_row([unit, *ends, _signed(rise), _signed(above), _signed(more)]))
    return "\n".join(rows)


def answered(seeds: Seeds) -> str:
    """Share of the lists of each round that a model gave, and causes of the others."""
    out = []
    for number in range(len(next(iter(seeds.values())))):
        lists = sum(sum(rounds[number].versions.values()) for rounds in seeds.values())
        causes: dict[str, int] = {}
        for rounds in seeds.values():
            for cause, n in rounds[number].degraded.items():
                causes[cause] = causes.get(cause, 0) + n
        named = ", ".join(f"{cause} {n / lists:.0%}" for cause, n in causes.items()) or "none"
        out.append(f"round {number}: {lists:,} lists, degraded: {named}")
    return "; ".join(out) + "."


def plot(seeds: Seeds, path: Path, caption: str) -> None:
    from models.evaluation.report.style import colours, new_figure, png, tidy

    figure = new_figure(8.4, 3.9, "Closed loop: engagement by round", caption)
    panels = figure.subplots(1, 2)
    shades, kept = colours(LINES), {line: values(seeds, line, "kept") for line in LINES}
    for line in LINES:
        _band(panels[0], kept[line], shades[line], line)
    for other in ("popularity", "random"):
        _band(panels[1], kept["soundlake"] - kept[other], shades[other], f"over {other}")
    panels[1].axhline(0, color="#222222", linewidth=0.8)
    for panel, title in zip(panels, ("kept, share of the plays there was time for", "soundlake less …"), strict=True):
        tidy(panel, title, "y")
        panel.set_xlabel("round (a day and a version each)")
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.legend(fontsize=7, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(figure))


def _band(panel, found: np.ndarray, colour: str, name: str) -> None:
    """The mean of [seeds, rounds] over the seeds, with its interval."""
    rounds, spread = np.arange(found.shape[1]), [over_seeds(column) for column in found.T]
    panel.plot(rounds, found.mean(0), color=colour, marker="o", markersize=3, label=name)
    panel.fill_between(rounds, [s.lo for s in spread], [s.hi for s in spread], color=colour, alpha=0.15)


def write(config: LoopConfig, mode: str, seeds: Seeds, docs: Path) -> None:
    """Print the tables, put them into closed-loop.md, draw the plot beside it."""
    what = (
        f"{config.listeners} listeners, {config.tracks:,} tracks, {_counted(len(seeds), 'seed')}; history: "
        f"{config.history_share:.0%} of the sessions of {_counted(config.history_days, 'day')}; "
        f"beside the lists {config.own_share:.0%} of the world's own sessions of each day; lists of {config.k}."
    )
    model = f"light mode, {config.light.model}" if mode == "light" else "full mode, the whole graph with small settings"
    picture = docs / "screenshots" / f"closed-loop-{mode}.png"
    bands = " Bands: 95 % bootstrap intervals over the seeds." if len(seeds) > 1 else ""
    plot(seeds, picture, f"{model}. {what}{bands}")
    steps = {name for rounds in seeds.values() for one in rounds for name in one.seconds}
    seconds = ", ".join(
        f"{name} {np.median([one.seconds[name] for r in seeds.values() for one in r if name in one.seconds]):.1f} s"
        for name in sorted(steps)
    )
    parts = [
        f"{model}: {what}",
        tables(seeds),
        f"The last round against the first:\n\n{rises(seeds)}",
        f"Who answered: {answered(seeds)}",
        f"Median seconds of a round: {seconds}.",
        f"![Engagement by round](screenshots/{picture.name})",
    ]
    size = (
        f"--listeners {config.listeners} --tracks {config.tracks} --history-days {config.history_days} "
        f"--history-share {config.history_share:g} --own-share {config.own_share:g}"
    )
    command = f"python -m benchmarks.closed_loop --mode {mode} --rounds {config.rounds} --seeds {len(seeds)} {size}"
    write_part(f"Figures: {mode} mode", "\n\n".join(parts), command, docs / "closed-loop.md")


def _signed(found: Interval) -> str:
    return f"{found.value:+.3f}" + ("" if np.isnan(found.lo) else f" [{found.lo:+.3f}, {found.hi:+.3f}]")


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
