"""Take the pictures of this folder again from a running `soundlake dev`.

    pip install playwright pillow        (a browser: Debian's chromium, or `playwright install chromium`)
    python docs/screenshots/take.py --dagster http://127.0.0.1:3000 --mlflow http://127.0.0.1:5000

Needs a lake on which `soundlake run` and the job `maintenance` have finished and a Kafka stream has run for a few
minutes; `--quality` takes the page of `soundlake quality` too, `--report` that of the latest training
(<state>/reports/models/report.html). Pillow is used where it is installed, to make the files
smaller.
"""

from __future__ import annotations

import argparse
import json
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
QUIET = """
localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');
localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');
localStorage.setItem('mlflow.workflowType_v1', '"machine_learning"');
"""
REPLACE = """hidden => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) texts.currentNode.nodeValue = texts.currentNode.nodeValue.replaceAll(hidden, 'lake');
}"""
EXPERIMENT, MODEL = "soundlake", "soundlake-recommender"
COLOURS = 128


def ask(url: str, body: dict) -> dict:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def latest_run(dagster: str) -> str:
    """Id of the newest run that refreshed tables and succeeded."""
    query = "{runsOrError(filter: {statuses: [SUCCESS]}, limit: 50) {... on Runs {results {runId jobName}}}}"
    runs = ask(f"{dagster}/graphql", {"query": query})["data"]["runsOrError"]["results"]
    found = [run["runId"] for run in runs if run["jobName"] in ("nightly", "refresh")]
    if not found:
        raise SystemExit(f"{dagster} has no finished run of nightly or refresh: do `soundlake run` first")
    return found[0]


def latest_training(mlflow: str) -> tuple[str, str]:
    """-> (experiment id, run id) of the latest training."""
    api = f"{mlflow}/api/2.0/mlflow"
    with urllib.request.urlopen(f"{api}/experiments/get-by-name?experiment_name={EXPERIMENT}", timeout=60) as answer:
        experiment = json.load(answer)["experiment"]["experiment_id"]
    runs = ask(f"{api}/runs/search", {"experiment_ids": [experiment], "max_results": 50}).get("runs", [])
    for run in runs:  # newest first
        if run["info"]["run_name"] == "recommender":
            return experiment, run["info"]["run_id"]
    raise SystemExit(f"experiment {EXPERIMENT} at {mlflow} has no training: do `soundlake run` first")


def nested_runs(mlflow: str, experiment: str, parent: str) -> list[str]:
    """Ids of the models' runs of one training."""
    wanted = {"experiment_ids": [experiment], "filter": f"tags.mlflow.parentRunId = '{parent}'", "max_results": 50}
    return [run["info"]["run_id"] for run in ask(f"{mlflow}/api/2.0/mlflow/runs/search", wanted)["runs"]]


class Camera:
    """One browser page, where its pictures go, which are wanted (all if none is named), and paths to show as `lake`."""

    def __init__(self, page, folder: Path, only: list[str], hide: list[str]):
        self.page, self.folder, self.only, self.hide = page, folder, only, hide

    def take(
        self, name: str, url: str, sign: str, prepare: Callable[[], None] | None = None, height: int = 1000
    ) -> None:
        """Open ``url``, wait for the text ``sign``, let ``prepare`` click, write ``name``.png."""
        if self.only and name not in self.only:
            return
        self.page.set_viewport_size({"width": 1600, "height": height})
        self.page.goto("about:blank")  # pages that differ after the # only would not load again
        self.page.goto(url, wait_until="domcontentloaded", timeout=120_000)
        self.page.get_by_text(sign).first.wait_for(timeout=60_000)
        self.settle()
        if prepare:
            prepare()
            self.settle()
        for text in self.hide:
            self.page.evaluate(REPLACE, text)
        path = self.folder / f"{name}.png"
        self.page.screenshot(path=path)
        shrink(path)
        print(f"{path}  {path.stat().st_size / 1000:.0f} kB")

    def settle(self) -> None:
        """Charts and graphs are drawn after their data has come."""
        self.page.wait_for_timeout(5000)

    def expand_groups(self) -> None:
        self.page.mouse.click(800, 250, button="right")
        self.page.get_by_role("menuitem", name="Expand all groups").click()

    def show_plot(self) -> None:
        self.page.get_by_text("[Show Markdown]").nth(-2).click()

    def show_table(self) -> None:
        self.page.get_by_text("[Show Markdown]").first.click()

    def show_plots(self) -> None:
        """What some figures were over time, in place of their latest values."""
        self.page.get_by_role("button", name="Plots").click()
        self.settle()
        self.page.get_by_text("parse seconds").first.evaluate("title => title.scrollIntoView({block: 'start'})")

    def expand_runs(self) -> None:
        """Show the runs nested in the first: the button with the plus stands left of its name."""
        self.settle()
        if not self.page.get_by_text("two_tower").count():
            name = self.page.get_by_role("link", name="recommender", exact=True).first.bounding_box()
            self.page.mouse.click(name["x"] - 32, name["y"] + name["height"] / 2)
        self.page.get_by_text("two_tower").first.wait_for(timeout=30_000)

    def headline_charts(self) -> None:
        """All models beside each other; of all charts those of the metrics at ten."""
        self.expand_runs()
        self.page.get_by_placeholder("Search metric charts").fill("^(discover|next)_.*at_10$")


def shrink(path: Path) -> None:
    """Fewer colours, a fifth less width: a page of text stays readable."""
    try:
        from PIL import Image
    except ImportError:
        return
    image = Image.open(path).convert("RGB")
    image = image.resize((image.width * 4 // 5, image.height * 4 // 5), Image.Resampling.LANCZOS)
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def dagster_pages(camera: Camera, dagster: str) -> None:
    camera.take("dagster-assets", f"{dagster}/asset-groups", "silver", camera.expand_groups, height=1450)
    camera.take("dagster-metadata", f"{dagster}/assets/gold/track_features?view=events", "rows inserted")
    camera.take("dagster-checks", f"{dagster}/assets/gold/track_features?view=checks", "unique_key", height=800)
    camera.take("dagster-candidate", f"{dagster}/assets/models/candidate?view=events", "comparison")
    camera.take("dagster-plot", f"{dagster}/assets/models/candidate?view=events", "comparison", camera.show_plot)
    camera.take("dagster-run", f"{dagster}/runs/{latest_run(dagster)}", "STEP_SUCCESS")
    camera.take("dagster-automation", f"{dagster}/automation", "raw_files", height=600)
    camera.take("dagster-stream", f"{dagster}/assets/stream/kafka", "records behind", camera.show_plots)
    maintained = f"{dagster}/assets/maintenance/tables?view=events"
    camera.take("dagster-maintenance", maintained, "small files after", camera.show_table)
    camera.take("dagster-online", f"{dagster}/assets/online/store?view=events", "changed rows", camera.show_table)
    camera.take("dagster-online-check", f"{dagster}/assets/online/store?view=checks", "rows agree", height=700)


def mlflow_pages(camera: Camera, mlflow: str) -> None:
    experiment, parent = latest_training(mlflow)
    runs = f"{mlflow}/#/experiments/{experiment}/runs"
    camera.take("mlflow-runs", runs, "recommender", camera.expand_runs, height=700)
    charts = f"{runs}?compareRunsMode=CHART"
    camera.take("mlflow-charts", charts, "discover_ndcg_at_10", camera.headline_charts, height=1200)
    nested = urllib.parse.quote(json.dumps(nested_runs(mlflow, experiment, parent)))
    compare = f"{mlflow}/#/compare-runs?runs={nested}&experiments={urllib.parse.quote(json.dumps([experiment]))}"
    camera.take("mlflow-compare", compare, "Comparing", height=1200)
    plot = f"{mlflow}/#/experiments/{experiment}/runs/{parent}/artifacts/comparison.png"
    camera.take("mlflow-plot", plot, "comparison.png", height=800)
    camera.take("mlflow-model", f"{mlflow}/#/models/{MODEL}", "champion", height=700)


def report_page(camera: Camera, page: Path) -> None:
    camera.take("report", page.resolve().as_uri(), "Coverage", height=2200)


def quality_page(camera: Camera, page: Path) -> None:
    camera.take("quality", page.resolve().as_uri(), "Data quality", height=1200)


def api_pages(camera: Camera, api: str, listener: str) -> None:
    """Of a `soundlake serve` that has answered some requests, so that there is something to count."""

    def ask_twice() -> None:
        page = camera.page
        page.get_by_label("Hour").select_option("8")
        page.get_by_role("button", name="Recommend").click()
        page.get_by_text("tracks by").first.wait_for()
        page.get_by_label("tracks heard before may come again").check()
        page.get_by_role("button", name="Recommend").click()

    camera.take("api-page", f"{api}/?listener={listener}", "Recommend", ask_twice, height=1300)
    camera.take("api-docs", f"{api}/docs", "/v1/recommendations", height=900)
    camera.take("api-metrics", f"{api}/metrics", "soundlake_stage_seconds", height=700)


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dagster", default="http://127.0.0.1:3000")
    parser.add_argument("--mlflow", default="http://127.0.0.1:5000")
    parser.add_argument("--quality", type=Path, metavar="FILE", help="the page that `soundlake quality` names")
    parser.add_argument("--report", type=Path, metavar="FILE", help="report.html of the latest training")
    parser.add_argument("--api", metavar="URL", help="of a running `soundlake serve`: take its pages and no others")
    parser.add_argument("--listener", default="user-7", help="who asks in the picture of its page")
    parser.add_argument("--browser", default="/usr/bin/chromium", help="executable of the browser")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="these pictures only")
    parser.add_argument("--hide", nargs="*", default=[], metavar="PATH", help="folders to show as `lake`")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.browser, args=FLAGS)
        page = browser.new_page()
        page.add_init_script(QUIET)
        camera = Camera(page, options.out, options.only, options.hide)
        if options.api:
            api_pages(camera, options.api, options.listener)
            browser.close()
            return
        dagster_pages(camera, options.dagster.rstrip("/"))
        mlflow_pages(camera, options.mlflow.rstrip("/"))
        if options.quality:
            quality_page(camera, options.quality)
        if options.report:
            report_page(camera, options.report)
        browser.close()


if __name__ == "__main__":
    main()
