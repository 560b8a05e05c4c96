"""One self-contained HTML page: tables and plots, no script, nothing to fetch."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from models.evaluation.metrics import Evaluation
from models.evaluation.report.style import label

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff }
body { max-width: 1180px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .2rem }
p { max-width: 60rem; margin: .3rem 0 } .muted { color: #666; font-size: .9rem }
.wide { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #e3e3e3; text-align: right; vertical-align: top }
th:first-child, td:first-child, .text { text-align: left }
td small { color: #777; display: block; white-space: nowrap }
td.best { font-weight: 600; background: #eef5fa }
figure { margin: 1.2rem 0 } img { max-width: 100%; height: auto }
"""


@dataclass(frozen=True)
class Section:
    """A heading, a sentence, and HTML made by the functions below."""

    heading: str
    text: str
    body: str


def page(title: str, text: str, sections: Sequence[Section]) -> bytes:
    """The page, UTF-8."""
    parts = [
        f"<section><h2>{escape(s.heading)}</h2><p class='muted'>{escape(s.text)}</p>{s.body}</section>"
        for s in sections
    ]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1><p>{escape(text)}</p>{''.join(parts)}</body></html>\n"
    ).encode()


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """Bytes as an address that a page or Markdown can show without a file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def image(content: bytes, alternative: str) -> str:
    return f"<figure><img alt='{escape(alternative)}' src='{data_uri(content)}'></figure>"


def metric_table(evaluations: Sequence[Evaluation], metrics: Sequence[str]) -> str:
    """A row a model, a column a metric; the largest value of each column stands out, where larger is better."""
    best = {}
    for name in metrics:
        known = [e.metrics[name].value for e in evaluations if name in e.metrics]
        if known and "popularity_lift" not in name:
            best[name] = max(known)
    head = "".join(f"<th>{escape(label(name))}</th>" for name in metrics)
    lines = []
    for e in evaluations:
        cells = []
        for name in metrics:
            m = e.metrics.get(name)
            mark = " class='best'" if m is not None and m.value == best.get(name) else ""
            cells.append(
                "<td></td>" if m is None else f"<td{mark}>{m.value:.4f}<small>{m.lo:.4f} to {m.hi:.4f}</small></td>"
            )
        lines.append(f"<tr><td>{escape(e.model)}</td>{''.join(cells)}</tr>")
    return _table(f"<th>model</th>{head}", "".join(lines))


def row_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Any rows: numbers to four places, the rest as text."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in rows)
    return _table(head, body)


def _table(head: str, body: str) -> str:
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "<td></td>" if value != value else f"<td>{value:.4f}</td>"
    return f"<td>{value:,}</td>" if isinstance(value, int) else f"<td class='text'>{escape(str(value))}</td>"
