"""The page in a real Chromium, with ten thousand users: by keyboard, dark, narrow, unscripted."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from allowance.ledger.records import AccountKey, Declaration
from allowance.server.page.listing import packed
from tests.server.browser import (
    NASTY,
    USD,
    World,
    chromium,
    hold,
    needs_chromium,
    populate,
    watched,
    world,
)

pytestmark = needs_chromium

USERS = 10_000
USER = AccountKey("shop", "user", "user-04242")
PICTURES = os.environ.get("ALLOWANCE_TEST_PICTURES")
"""A folder for pictures of every page, for people to look at."""

SCREENS: dict[str, tuple[int, Literal["light", "dark"]]] = {
    "light": (1200, "light"),
    "dark": (1200, "dark"),
    "narrow": (360, "light"),
}
PATHS = {
    "overview": "/",
    "budgets": "/budgets",
    "found": "/budgets?q=042",
    "nothing": "/budgets?q=no+such",
    "new": "/budgets/new",
    "user": f"/budgets/{packed(USER)}",
    "script": f"/budgets/{packed(USER._replace(name=NASTY[0]))}",
    "quotes": f"/budgets/{packed(USER._replace(name=NASTY[1]))}",
    "long": f"/budgets/{packed(USER._replace(name=NASTY[6]))}",
    "holds": "/holds",
    "refusals": "/refusals",
    "audit": "/audit",
    "keys": "/keys",
}

_FAULTS = """() => {
  const faults = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide > 0) faults.push(`it is ${wide} pixels too wide`);
  for (const one of all('.names, h1, dd, .notice'))
    if (one.scrollWidth > one.clientWidth + 1) faults.push('it is cut off: ' + one.textContent.slice(0, 40));
  if (all('h1').length !== 1) faults.push('headings of the first order: ' + all('h1').length);
  for (const table of all('table')) if (!table.caption) faults.push('a table without a caption');
  for (const image of all('img')) if (!image.hasAttribute('alt')) faults.push('an image without alt');
  for (const svg of all('svg')) if (!svg.getAttribute('aria-label') && !svg.getAttribute('aria-labelledby')
      && svg.getAttribute('aria-hidden') !== 'true') faults.push('a picture without words');
  for (const field of all('input:not([type=hidden]):not([hidden]), select'))
    if (!field.labels.length) faults.push('a field without a label: ' + field.name);
  for (const form of all('form[method=post]'))
    if (!form.querySelector('[name=csrf]')) faults.push('no token');
  const ids = all('[id]').map((one) => one.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push('twice: ' + id);
  for (const one of all('[aria-labelledby], [aria-describedby]'))
    for (const id of (one.getAttribute('aria-labelledby') || one.getAttribute('aria-describedby')).split(' '))
      if (!document.getElementById(id)) faults.push('words that are not there: ' + id);
  if (document.querySelector('script, style, [style]')) faults.push('a script or a style in the page');
  return faults;
}"""

_OUTLINE = """() => {
  const style = getComputedStyle(document.activeElement);
  return [style.outlineStyle, style.outlineWidth];
}"""

_FAINT = """() => {
  const parse = (color) => (color.match(/[0-9.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const color = parse(getComputedStyle(one).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const faint = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    const words = texts.currentNode.textContent.trim();
    if (!words || one.closest('svg, .hidden') || !one.checkVisibility()) continue;
    const style = getComputedStyle(one);
    const [a, b] = [light(parse(style.color)), light(ground(one))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.add(`${ratio.toFixed(2)}: ${words.slice(0, 40)}`);
  }
  return [...faint];
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("browser")) as made:
        populate(made, USERS)
        made.store.define(
            USER._replace(label="gpt-4o*"), Declaration(limit=USD, models=("gpt-4o*",), creates=True)
        )
        for number, name in enumerate((USER.name, *NASTY)):
            hold(made.store, USER._replace(name=name), USD // 7, f"hold-{number}", model=name)
            now = time.time_ns() // 1_000 - number * 1_000_000_000
            made.state.refused("shop", "user", name, "", name, USD, (number - 1) * USD // 2, USD, now)
        with made.client("admin") as client:
            while "Still counting" in client.get("/").text:
                pass
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


def log_in(page: Page, site: World, who: str = "admin") -> None:
    page.goto(f"{site.url}/login")
    page.fill("#key", site.tokens[who])
    page.click("main button")
    page.wait_for_url(f"{site.url}/")


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the element has the focus, and see at each step where that is."""
    for _ in range(150):
        page.keyboard.press("Tab")
        style = page.evaluate(_OUTLINE)
        assert style == ["solid", "3px"], page.evaluate("() => document.activeElement.outerHTML")
        if page.evaluate("(wanted) => document.activeElement.matches(wanted)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached by keyboard")


def test_all_is_done_by_keyboard_alone(site: World, browser: Browser) -> None:
    """Log in, search, open a user, set a limit, see it, and log out."""
    with watched(browser, site.url) as page:
        page.goto(site.url)
        page.keyboard.type(site.tokens["admin"])
        page.keyboard.press("Enter")
        page.wait_for_url(f"{site.url}/")
        page.keyboard.press("Tab")
        assert page.evaluate("() => document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("() => document.activeElement.id") == "main"
        page.goto(site.url)
        tab_to(page, "nav a[href='/budgets']")
        page.keyboard.press("Enter")
        page.wait_for_url("**/budgets")
        tab_to(page, "#q")
        page.keyboard.type("user-04242")
        page.keyboard.press("Enter")
        page.wait_for_url("**/budgets?q=user-04242*")
        tab_to(page, "main a.name")
        page.keyboard.press("Enter")
        page.wait_for_selector("h1:has-text('user-04242')")
        tab_to(page, "#limit-1")
        page.keyboard.press("Control+A")
        page.keyboard.type("77.5")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=status]:has-text('The new terms are in force')")
        assert page.input_value("#limit-1") == "77.50"
        account = site.store.account(USER)
        assert account is not None
        assert account.terms.limit == 77_500_000_000
        tab_to(page, "button.quiet")
        page.keyboard.press("Enter")
        page.wait_for_url("**/login?bye=1")


def test_every_page_is_sound(site: World, browser: Browser) -> None:
    """Wide and narrow, light and dark: nothing sticks out, everything has words, and can be read."""
    with watched(browser, site.url) as page:
        page.goto(f"{site.url}/login")
        look(page, "login")
        log_in(page, site)
        for name, path in PATHS.items():
            page.goto(site.url + path)
            for details in page.query_selector_all("details:not([open]) > summary"):
                details.click()
            look(page, name)


def look(page: Page, name: str) -> None:
    """Find every fault of a page; the screen changes around it."""
    for screen, (width, scheme) in SCREENS.items():
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(_FAULTS) == [], f"{name}, {screen}"
        assert page.evaluate(_FAINT) == [], f"{name}, {screen}"
    for screen, (width, scheme) in SCREENS.items() if PICTURES else ():
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=Path(PICTURES or "") / f"{screen}-{name}.png", full_page=True)


def test_it_works_without_scripts_for_one_who_only_reads(site: World, browser: Browser) -> None:
    with watched(browser, site.url, java_script_enabled=False) as page:
        log_in(page, site, "reader")
        assert page.locator("svg.days g").count() == 30
        assert page.locator("table.models tbody tr").count() == 11
        assert "10,009" in page.inner_text(".tiles")
        page.click("nav a[href='/budgets']")
        page.click("a[rel=next]")
        page.fill("#q", NASTY[0])
        page.click("main button")
        page.click("a.name")
        assert page.inner_text("h1") == NASTY[0]
        assert page.locator("form:not(.who)").count() == 0
