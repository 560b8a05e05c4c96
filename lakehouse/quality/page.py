"""The quality page: one HTML file without a script, a font or a link to anywhere."""

from __future__ import annotations

from datetime import UTC, date, datetime
from html import escape
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakehouse.quality.store import Result

_WIDTH, _HEIGHT, _PAD = 260, 56, 4
_STYLE = """
:root { --ink: #1d2433; --dim: #667085; --line: #e4e7ec; --good: #067647; --bad: #b42318; --warn: #b54708 }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: #f7f8fa; margin: 0 }
main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 64px }
h1 { margin: 0; font-size: 26px } h2 { margin: 36px 0 12px; font-size: 18px }
.dim { color: var(--dim) } .tiles { display: flex; gap: 12px; margin: 24px 0; flex-wrap: wrap }
.tile, section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 14px 18px }
.tile { min-width: 150px } .tile b { display: block; font-size: 26px; line-height: 1.2 }
.good { color: var(--good) } .bad { color: var(--bad) } .warn { color: var(--warn) }
section { margin-bottom: 14px; padding: 6px 18px 12px } table { border-collapse: collapse; width: 100% }
th { text-align: left; font-weight: 600; color: var(--dim); font-size: 13px }
td, th { padding: 6px 12px 6px 0; vertical-align: top; border-bottom: 1px solid var(--line) }
tr:last-child > td { border-bottom: 0 } td.n { text-align: right; font-variant-numeric: tabular-nums }
.mark { white-space: nowrap; font-weight: 600; width: 90px } .name { width: 170px }
details { margin-top: 4px } details td, details th { font-size: 13px; font-family: ui-monospace, monospace }
.trends { display: grid; grid-template-columns: repeat(auto-fill, minmax(290px, 1fr)); gap: 12px }
.trend { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 10px 14px }
.trend svg { display: block; width: 100%; height: 56px } .trend .dim { font-size: 13px }
.share { height: 8px; border-radius: 4px; background: #528bff; min-width: 2px }
"""


def render(results: list[Result], lake: str) -> str:
    """The page of the last result of every check of ``lake``."""
    failed = [r for r in results if not r.passed]
    errors, warnings = [r for r in failed if r.blocking], [r for r in failed if not r.blocking]
    newest = max((r.at for r in results), default="")
    tables = sorted({r.table for r in results}, key=_order)
    tiles = (
        _tile(len(tables), "tables") + _tile(len(results) - len(failed), "checks passed", "good")
        + _tile(len(errors), "errors, they stop what follows", "bad" if errors else "")
        + _tile(len(warnings), "warnings", "warn" if warnings else "")
    )  # fmt: skip
    body = [
        f"<h1>Data quality</h1><div class=dim>{escape(lake)} · newest result {escape(newest.replace('T', ' '))}</div>",
        f"<div class=tiles>{tiles}</div>",
        *([f"<h2>Needs attention</h2><section>{_rows(failed, with_table=True)}</section>"] if failed else []),
        _trends(results),
        _counts(results),
        "<h2>Tables</h2>",
        *(f"<section><h3>{escape(t)}</h3>{_rows([r for r in results if r.table == t])}</section>" for t in tables),
        f"<p class=dim>Written {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC. Identifying columns are not shown.</p>",
    ]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Data quality</title><style>{_STYLE}</style><main>{''.join(body)}</main></html>"
    )


def _order(table: str) -> tuple[int, str]:
    layers = ["bronze", "silver", "gold"]
    layer = table.split(".")[0]
    return (layers.index(layer) if layer in layers else len(layers), table)


def _tile(number: int, text: str, kind: str = "") -> str:
    return f"<div class=tile><b class='{kind}'>{number:,}</b><span class=dim>{text}</span></div>"


def _rows(results: list[Result], with_table: bool = False) -> str:
    lines = []
    for r in results:
        kind, mark = ("good", "✓ passed") if r.passed else (("bad", "✗ error") if r.blocking else ("warn", "! warning"))
        name = f"{r.table} · {r.check}" if with_table else r.check
        days = f" <span class=dim>({escape(r.days)})</span>" if r.days else ""
        lines.append(
            f"<tr><td class='mark {kind}'>{mark}</td><td class=name>{escape(name)}</td>"
            f"<td>{escape(r.text)}{days}{_failures(r.failures)}</td></tr>"
        )
    return f"<table>{''.join(lines)}</table>"


def _failures(failures: list[dict[str, Any]]) -> str:
    """Rows that fail, folded away until somebody asks."""
    parts = []
    for failure in failures:
        rows = failure.get("rows") or []
        if not rows:
            continue
        head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
        cells = "".join(f"<tr>{''.join(f'<td>{escape(str(v))}</td>' for v in row.values())}</tr>" for row in rows)
        title = f"{failure.get('column', '')}: {failure.get('unexpected', '')} rows, the first {len(rows)}"
        parts.append(
            f"<details open><summary class=dim>{escape(title)}</summary><table>{head}{cells}</table></details>"
        )
    return "".join(parts)


def _trends(results: list[Result]) -> str:
    cards = []
    for r in results:
        for name, points in r.series.items():
            if points:
                values = [float(v) for _, v in points]
                text = f"{points[0][0]} to {points[-1][0]} · last {values[-1]:,.0f} · median {median(values):,.0f}"
                cards.append(
                    f"<div class=trend><b>{escape(name)}</b>{_bars(points)}<span class=dim>{escape(text)}</span></div>"
                )
    return f"<h2>The last 28 landing days</h2><div class=trends>{''.join(cards)}</div>" if cards else ""


def _bars(points: list[list[Any]]) -> str:
    """One bar a day on a time axis, the newest dark; a day without a dump leaves its place empty."""
    days = [date.fromisoformat(day) for day, _ in points]
    span = max((days[-1] - days[0]).days + 1, 1)
    top = max((float(v) for _, v in points), default=0) or 1
    step = (_WIDTH - 2 * _PAD) / span
    bars = []
    for (day, value), when in zip(points, days, strict=True):
        height = max(float(value) / top * (_HEIGHT - 2 * _PAD), 1)
        x = _PAD + (when - days[0]).days * step
        fill = "#175cd3" if when == days[-1] else "#a6c4ff"
        bars.append(
            f"<rect x='{x:.1f}' y='{_HEIGHT - _PAD - height:.1f}' width='{max(step * 0.8, 1):.1f}' "
            f"height='{height:.1f}' fill='{fill}'><title>{day}: {float(value):,.0f}</title></rect>"
        )
    return f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' preserveAspectRatio='none' role=img>{''.join(bars)}</svg>"


def _counts(results: list[Result]) -> str:
    """Tables of counts: quarantine by reason and by file, fields nobody declared."""
    sections = []
    for title, counts in ((t, c) for r in results for t, c in r.counts.items() if c):
        total, top = sum(counts.values()), sorted(counts.items(), key=lambda item: -item[1])[:20]
        lines = "".join(
            f"<tr><td>{escape(name)}</td><td class=n>{count:,}</td><td class=n>{count / total:.1%}</td>"
            f"<td style='width:30%'><div class=share style='width:{count / top[0][1]:.0%}'></div></td></tr>"
            for name, count in top
        )
        sections.append(f"<section><h3>{escape(title)}</h3><table>{lines}</table></section>")
    return f"<h2>Where lines and fields go astray</h2>{''.join(sections)}" if sections else ""
