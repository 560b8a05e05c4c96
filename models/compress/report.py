"""The table and the plot of a comparison."""

from __future__ import annotations

from models.compress.comparison import TOLERANCE, Comparison


def markdown(found: Comparison) -> str:
    """A row a version; ratios and differences are against the reference, the first row."""
    reference = found.reference
    lines = [
        "| version | KiB stored | smaller | KiB gzip | median ms | p99 ms | faster | NDCG@10 | relative to it | "
        "largest / mean difference | rank correlation | top 10 alike |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    chosen = found.choice
    for each in found.measured:
        share, low, high = each.relative(reference.ndcg)
        name = each.version.name + (" (chosen)" if each.version.name == chosen.name else "")
        same = each is reference
        after = "" if same else f"{each.agreement.largest:.3g} / {each.agreement.mean:.2g} of {each.version.of}"
        lines.append(
            f"| {name} | {each.stored / 1024:,.0f} | {reference.stored / each.stored:.1f}× | {each.gzip / 1024:,.0f} | "
            f"{each.latency.median:.2f} | {each.latency.p99:.2f} | "
            f"{reference.latency.median / each.latency.median:.1f}× | {each.ndcg:.4f} | "
            + ("" if same else f"{share:+.2%} [{low:+.2%}, {high:+.2%}]")
            + f" | {after} | {each.agreement.correlation:.3f} | {each.with_reference.top:.3f} |"
        )
    return (
        "\n".join(lines)
        + f"\n\n{found.candidates:,} candidates a moment; one thread; NDCG@10 paired over {found.users:,} listeners, "
        "95 % bootstrap intervals. Differences and rank correlation are with the version that it was converted or "
        f"distilled from, the ten best with the reference.\n\nChosen: {chosen.name}. {chosen.reason}."
    )


def plot(found: Comparison) -> bytes:
    """PNG: loss of quality with its interval against size; the legend says the latency."""
    from models.evaluation.report.style import INK, PALETTE, markers, new_figure, png, tidy

    reference = found.reference
    caption = (
        f"One point a version; bars: 95 % bootstrap intervals over {found.users:,} listeners, paired; grey: "
        f"{TOLERANCE:.1%} either way. To the left is smaller; latencies are medians on one thread."
    )
    figure = new_figure(9.5, 5.4, f"{found.model}: size, latency and quality", caption)
    panel, marker = figure.subplots(), markers([each.version.name for each in found.measured])
    for number, each in enumerate(found.measured):
        share, low, high = (100 * value for value in each.relative(reference.ndcg))
        panel.errorbar(
            each.stored / 1024, share, yerr=[[max(0.0, share - low)], [max(0.0, high - share)]],
            fmt=marker[each.version.name], color=PALETTE[number % len(PALETTE)], markersize=8, capsize=2,
            label=f"{each.version.name}: {each.latency.median:.2f} ms",
        )  # fmt: skip
    panel.axhspan(-100 * TOLERANCE, 100 * TOLERANCE, alpha=0.15, color="grey", linewidth=0)
    panel.set_xscale("log")
    panel.set_xlabel("KiB stored", fontsize=9.5, color=INK)
    panel.set_ylabel("NDCG@10 against the reference, %", fontsize=9.5, color=INK)
    tidy(panel, grid="both")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return png(figure)


CARD = """# {name}

{model} of version {number}, as "{chosen}": {note}.

{reason}.

## Versions

{table}

## Data

Held out: {hold_out}. Students and the ranges of int8 come from training plays alone.

## Limits

- NDCG@10 is of the very next play. {candidates}
- Latencies are of the machine that made this, on one thread; compare them with each other only.
- A smaller version repeats what its teacher learned, its favours and its mistakes included.
"""


def card(found: Comparison, name: str, number: int, hold_out: str) -> str:
    """The model card of the chosen version."""
    candidates = f"Each moment has {found.candidates:,} candidates; a play that is none of them counts 0."
    return CARD.format(
        name=name, model=found.model, number=number, chosen=found.choice.name, note=found.chosen.version.note,
        reason=found.choice.reason, table=markdown(found), hold_out=hold_out, candidates=candidates,
    )  # fmt: skip
