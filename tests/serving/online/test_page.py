"""The page at / in a real Chromium, over a real model server."""

from __future__ import annotations

import shutil

import pytest
from online_api import listening

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)"),
]


@pytest.fixture
def page(served, world):
    from playwright.sync_api import sync_playwright

    with listening(served, world.server.address) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.failures, page.asked = [], []
        page.on("pageerror", lambda error: page.failures.append(str(error)))
        page.on("console", lambda said: said.type == "error" and page.failures.append(said.text))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(url)
        page.home = url
        yield page
        browser.close()


def tracks(page) -> list[str]:
    return page.locator("#tracks tbody tr").evaluate_all("rows => rows.map(row => row.dataset.track)")


def test_a_list_its_reasons_what_moved_and_a_degraded_answer(page):
    page.get_by_label("Listener", exact=True).fill("ann")
    page.get_by_label("Hour").select_option("8")
    page.get_by_role("spinbutton", name="Tracks").fill("5")
    page.get_by_role("button", name="Recommend").click()
    page.get_by_text("5 tracks by").wait_for()
    first = page.locator("#tracks tbody tr").first
    assert "Title" in first.inner_text() and "Because you played" in page.locator("#tracks").inner_text()
    assert page.get_by_role("alert").is_hidden()
    assert "rank" in page.locator("#timings").inner_text()
    ranked = tracks(page)

    # Another history is another list; places are told against the list before.
    page.get_by_label("tracks heard before may come again").check()
    page.get_by_role("spinbutton", name="Tracks").fill("8")
    page.get_by_role("button", name="Recommend").click()
    page.get_by_text("8 tracks by").wait_for()
    now = tracks(page)
    moves = page.locator("#tracks tbody td.moved").all_inner_texts()
    for place, (track, sign) in enumerate(zip(now, moves, strict=True)):
        if track not in ranked:
            assert sign == "new"
        else:
            moved = ranked.index(track) - place
            assert sign == ("=" if moved == 0 else f"▲ {moved}" if moved > 0 else f"▼ {-moved}")

    page.get_by_role("button", name="A new listener").click()
    page.get_by_role("alert").wait_for()
    assert "unknown_user" in page.get_by_role("alert").inner_text()
    assert tracks(page)[0] == "t0"
    assert page.failures == []
    assert all(address.startswith((page.home, "data:")) for address in page.asked)


def test_every_control_has_a_name(page):
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("input, select, button")]
            .filter(control => !(control.labels?.length || control.textContent.trim()))
            .map(control => control.id)"""
    )
    assert unnamed == []


def test_the_documents_need_no_network_either(page):
    page.asked.clear()
    page.goto(f"{page.home}/docs")
    page.get_by_text("/v1/recommendations").first.wait_for()
    assert page.failures == []
    assert all(address.startswith((page.home, "data:")) for address in page.asked)
