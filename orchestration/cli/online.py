"""`soundlake features`, `soundlake online`: what the online store answers, and where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table as Grid

from orchestration.cli.common import LakeOption, console, settings_for
from orchestration.cli.errors import CommandError

if TYPE_CHECKING:
    from lakehouse.online.rows import Row
    from lakehouse.online.store import OnlineStore, ViewInfo
    from lakehouse.settings import Settings

CHECKED_ROWS = 1000
_LISTED = 5

online_app = typer.Typer(help="The online store: rows that answer in microseconds.", no_args_is_help=True)
ViewArgument = Annotated[str | None, typer.Argument(help="One view; default: all that are made from a table.")]


def register(app: typer.Typer) -> None:
    app.command()(features)
    online_app.command()(show)
    online_app.command()(materialise)
    online_app.command()(check)
    online_app.command()(drop)
    app.add_typer(online_app, name="online")


def features(
    key: Annotated[
        list[str],
        typer.Argument(
            help="User id as in the raw events, or a pseudonym, or a track id; then other parts of the key."
        ),
    ],
    view: Annotated[str | None, typer.Option(help="One view; default: every view that knows the key.")] = None,
    lake: LakeOption = None,
) -> None:
    """The rows that the online store answers for one user or track: `features USER`, `features USER rock`."""
    from lakehouse.features.declare import KEY_SEPARATOR

    settings = settings_for(lake)
    candidates = [KEY_SEPARATOR.join([first, *key[1:]]) for first in (key[0], _pseudonym(settings, key[0]))]
    with _open(settings) as store:
        infos = [i for i in store.views() if view in (None, i.view)]
        if not infos:
            raise CommandError(f"{store.address} has no {view or 'views'}; `soundlake online materialise` makes them")
        found = 0
        for info in infos:
            for candidate in candidates:
                schema = schema_of(info)
                row = store.get(schema, candidate)
                if row.found:
                    _print_row(info, store.get(schema, candidate, now=row.as_of), row.expired)
                    found += 1
                    break
        console.print(
            f"{found} of {len(infos)} views know {escape(' '.join(key))}; others answer the declared defaults"
        )


def _pseudonym(settings: Settings, user_id: str) -> str:
    from lakehouse.parse import pseudonymiser

    return pseudonymiser(settings.pseudonym_key_bytes())(user_id)


def schema_of(info: ViewInfo) -> Any:
    """The schema that the view's rows were written with, as the store remembers it."""
    from lakehouse.online.rows import RowSchema

    return RowSchema.of(info.view, info.fields)


def _print_row(info: ViewInfo, row: Row, expired: bool) -> None:
    state = "[yellow]expired: readers get the defaults[/]" if expired else "[green]served[/]"
    console.print(f"[bold]{info.view}[/] version {info.version}, as of {row.as_of:%Y-%m-%d %H:%M:%S} UTC, {state}")
    grid = Grid(box=None, pad_edge=False, show_header=False)
    for name, value in row.values.items():
        grid.add_row(f"  {name}", escape(_short(value)))
    console.print(grid)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if hasattr(value, "tolist"):
        value = [round(x, 4) if isinstance(x, float) else x for x in value.tolist()]
    if isinstance(value, list):
        more = f", … {len(value)} in all" if len(value) > _LISTED else ""
        return ", ".join(map(str, value[:_LISTED])) + more
    return "" if value is None else str(value)


def show(lake: LakeOption = None) -> None:
    """Views, their versions, rows and size, and the Delta versions they were made from."""
    with _open(settings_for(lake)) as store:
        grid = Grid(box=None, pad_edge=False)
        for title in ("view", "version", "rows", "size", "made from", "as of (UTC)"):
            grid.add_column(title, justify="right" if title in ("version", "rows", "size") else "left", no_wrap=True)
        for info in store.views():
            grid.add_row(*_cells(info))
        console.print(grid)
        console.print(f"{store.kind} at {store.address}: {store.size() / 1e6:,.1f} MB")


def _cells(info: ViewInfo) -> list[str]:
    from lakehouse.online.rows import from_microseconds

    made = info.source
    origin = f"{made.table}@{made.delta_version}" if made.table else "the stream"
    as_of = made.as_of if made.table else from_microseconds(info.written_us)
    size = f"{info.bytes / 1e6:,.2f} MB"
    return [info.view, str(info.version), f"{info.rows:,}", size, origin, f"{as_of:%Y-%m-%d %H:%M:%S}"]


def materialise(
    view: ViewArgument = None,
    whole: Annotated[bool, typer.Option("--whole", help="All rows anew, not only what changed.")] = False,
    lake: LakeOption = None,
) -> None:
    """Bring views up to the newest version of their tables."""
    from lakehouse import delta_log
    from lakehouse.online.materialise import materialise as bring

    settings = settings_for(lake)
    with _open(settings, read_only=False) as store:
        for one in _views(view):
            if view is None and delta_log.open_table(settings, one.table) is None:
                console.print(f"{one.name}: {one.table.name} does not exist yet")
                continue
            done = bring(settings, store, one, whole)
            console.print(
                f"[bold]{one.name}[/] {done.way}: {done.changed:,} rows written, {done.removed:,} removed, "
                f"{done.info.rows:,} served, {one.table.name} version {done.info.source.delta_version}, "
                f"{done.seconds:.2f} s"
            )
        console.print(f"{store.address}; look at a row with [bold]soundlake features USER[/]")


def check(
    view: ViewArgument = None,
    rows: Annotated[int, typer.Option(min=1, help="Random rows of each view.")] = CHECKED_ROWS,
    seed: Annotated[int, typer.Option(help="Another seed, other rows.")] = 0,
    lake: LakeOption = None,
) -> None:
    """Compare random rows with Delta, field by field."""
    from lakehouse.online.verify import compare_with_delta

    settings, wrong = settings_for(lake), 0
    with _open(settings) as store:
        known = {info.view for info in store.views()}
        for one in _views(view):
            if view is None and one.name not in known:
                continue
            result = compare_with_delta(settings, store, one, rows, seed)
            agreed = result.compared - len(result.differences)
            console.print(f"[bold]{one.name}[/] {agreed:,} of {result.compared:,} rows agree, {result.fresher} fresher")
            for text in result.differences[:_LISTED]:
                console.print(f"  [red]{escape(text)}[/]")
            wrong += len(result.differences)
    if wrong:
        raise CommandError(f"{wrong} rows differ; `soundlake online materialise --whole` writes them anew")


def drop(view: Annotated[str, typer.Argument(help="The view to forget.")], lake: LakeOption = None) -> None:
    """Forget a view and its rows."""
    with _open(settings_for(lake), read_only=False) as store:
        info = store.info(view)
        if info is None:
            names = ", ".join(i.view for i in store.views()) or "none"
            raise CommandError(f"{store.address} has no view {view!r}; it has {names}")
        store.drop(view)
        console.print(f"{view}: version {info.version} with {info.rows:,} rows is gone from {store.address}")


def _open(settings: Settings, read_only: bool = True) -> OnlineStore:
    from lakehouse.online.store import open_store

    return open_store(settings, read_only)


def _views(name: str | None) -> list:
    from lakehouse.online.views import VIEWS, get_view

    try:
        return [get_view(name)] if name else list(VIEWS.values())
    except KeyError as error:
        raise CommandError(error.args[0]) from None
