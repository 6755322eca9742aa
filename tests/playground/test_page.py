"""The page itself, in a real Chromium: what a newcomer sees, does and hears."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from service.app import create_app
from service.server import address_of, bind, server_of
from tests.playground.pages import DEVELOPMENT

CHROMIUM = shutil.which("chromium")
IS_CI = os.environ.get("CI") == "true"
OWN = "The agent’s own"
HOURS = "What are your opening hours?"
SOON = 15_000
"""Milliseconds: a slow machine may take that long."""

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not (CHROMIUM or IS_CI), reason="there is no Chromium here: apt-get install chromium"),
]

SPEED = "(speed) => { const range = document.getElementById('speed'); range.max = 20; range.value = speed; }"
FAKE_VOICE = """
window.asked = 0;
window.spoken = [];
window.hushed = 0;
window.SpeechRecognition = class {
  start() { window.asked += 1; window.ears = this; }
  stop() { this.onend(); }
  hear(text, isFinal) {
    const result = Object.assign([{ transcript: text }], { isFinal });
    this.onresult({ results: [result] });
    if (isFinal) this.onend();
  }
};
window.SpeechSynthesisUtterance = class { constructor(text) { this.text = text; } };
Object.defineProperty(window, "speechSynthesis", { value: {
  speak(words) { window.spoken.push(words.text); },
  cancel() { window.hushed += 1; },
} });
"""
KEPT_SOCKET = """
const Real = window.WebSocket;
window.WebSocket = class extends Real { constructor(url) { super(url); window.line = this; } };
"""
CONTRASTS = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility() || element.closest(":disabled")) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${element.tagName} ${texts.currentNode.data.trim().slice(0, 40)}`);
  }
  return faint;
}"""
NAMELESS = """() => [...document.querySelectorAll("button, input, select, textarea, summary, ol[tabindex]")]
  .filter((each) => each.checkVisibility())
  .filter((each) => !each.textContent.trim() && !each.ariaLabel && !(each.labels?.[0]?.textContent.trim()))
  .map((each) => each.outerHTML)"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    assert CHROMIUM, "CI needs Chromium: apt-get install chromium"
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        await launched.close()


@asynccontextmanager
async def serving(port: int = 0) -> AsyncIterator[str]:
    """A service in development, at this port of this machine."""
    listener = bind(DEVELOPMENT, port)
    ready = asyncio.Event()
    server = server_of(create_app(DEVELOPMENT), DEVELOPMENT, ready.set)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.serve(sockets=[listener]))
        await ready.wait()
        try:
            yield address_of(listener)
        finally:
            server.should_exit = True
            await running
            listener.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address() -> AsyncIterator[str]:
    async with serving() as here:
        yield here


@dataclass
class Visitor:
    """Somebody at the page."""

    page: Page
    faults: list[str] = field(default_factory=list)

    async def open(self, address: str) -> None:
        self.page.set_default_timeout(SOON)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda told: self.faults.append(told.text) if told.type == "error" else None)
        await self.page.goto(f"http://{address}/playground")
        await expect(self.page.get_by_role("status")).to_have_text("Ready")

    async def call(self, model: str = "A stand-in", *, speed: int = 20) -> None:
        """Start a call in which people talk so fast, and hear the greeting."""
        await self.page.get_by_label(model).check()
        await self.page.evaluate(SPEED, speed)
        await self.button("Start the call").click()
        await expect(self.answers.first).to_contain_text("How may I help you?")
        await self.until_heard(self.answers.first)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=re.compile(f"^{name}"))

    @property
    def words(self) -> Locator:
        return self.page.get_by_label("What you say")

    @property
    def said(self) -> Locator:
        return self.page.get_by_role("list", name="What was said")

    @property
    def answers(self) -> Locator:
        return self.page.locator("#said .agent")

    @property
    def turns(self) -> Locator:
        return self.page.locator("#turns > li")

    async def say(self, text: str) -> None:
        await self.words.fill(text)
        await self.words.press("Enter")

    async def until_heard(self, answer: Locator) -> None:
        await expect(answer.locator(".rest")).to_have_text("")


@asynccontextmanager
async def visit(browser: Browser, address: str, *scripts: str, **context: Any) -> AsyncIterator[Visitor]:
    async with await browser.new_context(reduced_motion="reduce", **context) as opened:
        for script in scripts:
            await opened.add_init_script(script)
        visitor = Visitor(await opened.new_page())
        await visitor.open(address)
        yield visitor
        await visitor.page.close()
    assert visitor.faults == []


@pytest.fixture(autouse=True)
def _patient() -> None:
    expect.set_options(timeout=SOON)


async def test_a_whole_call_with_a_barge_in(browser: Browser, address: str) -> None:
    async with visit(browser, address, viewport={"width": 1440, "height": 900}) as me:
        await me.call(speed=8)
        await me.say(HOURS)
        await expect(me.answers.nth(1)).to_contain_text("struck out.")
        await expect(me.turns).to_have_count(2)
        await me.words.press_sequentially("Wait")
        await expect(me.answers.nth(1)).to_contain_text("You cut in here.")
        heard, lost = me.answers.nth(1).locator("span").all_text_contents(), me.answers.nth(1).locator(".lost")
        await expect(lost).to_contain_text("struck out.")
        assert "struck out" not in (await heard)[0]
        await me.words.press("Enter")
        await expect(me.turns.nth(1)).to_contain_text("interrupted after")
        await expect(me.answers.nth(2)).to_contain_text("callers would hear.")
        await me.until_heard(me.answers.nth(2))
        for milestone in ("first token", "first chunk", "first sentence", "done", "Knowledge"):
            await expect(me.turns.first).to_contain_text(milestone)
        await me.button("Hang up").click()
        await expect(me.page.get_by_role("status")).to_have_text("The call is over")
        await expect(me.turns.locator(".outcome")).to_have_text(["completed", "interrupted", "completed"])
        await me.button("Call again").click()
        await expect(me.turns).to_have_count(1)


async def test_a_line_that_breaks_is_dialled_again(browser: Browser, address: str) -> None:
    async with visit(browser, address) as me:
        await me.call(OWN)
        await me.button("Drop the line").click()
        await expect(me.said).to_contain_text("The line was cut. The platform dials again.")
        await expect(me.said).to_contain_text("Back on the line.")
        await me.say(HOURS)
        await expect(me.answers.nth(1)).to_contain_text("8 AM")


async def test_a_model_that_fails_is_heard_and_seen(browser: Browser, address: str) -> None:
    async with visit(browser, address) as me:
        await me.call()
        await me.page.get_by_text("refuses").click()
        await me.say(HOURS)
        await expect(me.answers.nth(1)).to_contain_text("sorry")
        await me.button("Hang up").click()
        await expect(me.turns.first).to_contain_text("failed (RateLimited)")
        await expect(me.turns.first).to_contain_text("asked first): failed")


async def test_a_broken_message_is_answered_in_words_and_the_call_goes_on(browser: Browser, address: str) -> None:
    async with visit(browser, address, KEPT_SOCKET) as me:
        await me.call(OWN)
        await me.page.evaluate("line.send('{')")
        await expect(me.page.locator("#trouble")).to_contain_text("not understood")
        await me.say(HOURS)
        await expect(me.answers.nth(1)).to_contain_text("8 AM")
        await expect(me.page.locator("#trouble")).to_have_text("")


async def test_mistakes_in_the_details_are_told_before_the_call_begins(browser: Browser, address: str) -> None:
    async with visit(browser, address) as me:
        variables, trouble = me.page.get_by_label("Variables, as JSON"), me.page.locator("#setup-trouble")
        await me.page.get_by_text("Call details and variables").click()
        await variables.fill('{"name": Ada}')
        await me.button("Start the call").click()
        await expect(trouble).to_contain_text("Variables are not JSON")
        await expect(variables).to_be_focused()
        await expect(variables).to_have_attribute("aria-invalid", "true")
        await variables.fill("[1]")
        await me.button("Start the call").click()
        await expect(trouble).to_contain_text("one JSON object")
        await variables.fill('{"age": 7}')
        await me.button("Start the call").click()
        await expect(trouble).to_contain_text("'age' is no text")
        await variables.fill('{"name": "Ada"}')
        await me.page.get_by_label("The caller’s number").fill("555")
        await me.button("Start the call").click()
        await expect(trouble).to_contain_text("from_number")
        await me.page.get_by_label("The caller’s number").fill("+14155550123")
        await me.page.get_by_text("Raw frames").click()
        await me.button("Start the call").click()
        await expect(me.page.get_by_role("list", name="Raw frames")).to_contain_text('"from_number":"+14155550123"')


async def test_when_the_service_goes_the_page_says_so_and_finds_back(browser: Browser) -> None:
    async with await browser.new_context() as context:
        me = Visitor(await context.new_page())
        async with serving() as here:
            await me.open(here)
            await me.call()
        await expect(me.page.get_by_role("alert").first).to_contain_text("The service is gone. Is it running?")
        await expect(me.said).to_contain_text("The service went away, and the call with it.")
        await me.button("Call again").click()
        await expect(me.page.locator("#setup-trouble")).to_contain_text("The service is gone")
        async with serving(int(here.rpartition(":")[2])):
            await me.button("Try again now").click()
            await expect(me.page.locator("#gone")).to_be_hidden()
            await me.call()


async def test_all_of_it_fits_on_a_phone(browser: Browser, address: str) -> None:
    async with visit(browser, address, viewport={"width": 390, "height": 844}, has_touch=True) as me:
        too_wide = "document.documentElement.scrollWidth > innerWidth"
        await me.page.get_by_text("Call details and variables").tap()
        assert not await me.page.evaluate(too_wide)
        await me.call()
        await me.say(HOURS)
        await expect(me.turns).to_have_count(2)
        await me.page.get_by_text("Raw frames").tap()
        await expect(me.page.locator("#frame-list li").first).to_be_visible()
        assert not await me.page.evaluate(too_wide)
        for name in ("Say", "Talk", "Hang up", "Interrupt", "Stay silent", "Drop the line", "Press"):
            box = await me.button(name).bounding_box()
            assert box is not None
            assert box["height"] >= 36
            assert box["x"] + box["width"] <= 390


async def test_the_keyboard_is_enough(browser: Browser, address: str) -> None:
    async with visit(browser, address) as me:
        keys = me.page.keyboard
        await me.page.evaluate(SPEED, 8)
        await until_focused(me, "Start the call")
        outline = await me.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        await keys.press("Enter")
        await expect(me.words).to_be_focused()
        await keys.type(HOURS)
        await keys.press("Enter")
        await expect(me.answers.nth(1)).to_contain_text("8 AM")
        await expect(me.answers.nth(1).locator("span").first).not_to_have_text("")
        await keys.press("Escape")
        await expect(me.answers.nth(1)).to_contain_text("You cut in here.")
        await keys.press("Alt+KeyK")
        await keys.type("1 2#")
        await keys.press("Enter")
        await expect(me.said).to_contain_text("You pressed 12#.")
        await keys.press("Alt+KeyX")
        await expect(me.said).to_contain_text("Back on the line.")
        await keys.press("Alt+KeyR")
        await keys.press("Alt+KeyH")
        await expect(me.said).to_contain_text("You hung up.")
        await expect(me.button("Call again")).to_be_focused()


async def until_focused(me: Visitor, name: str) -> None:
    for _key in range(12):
        await me.page.keyboard.press("Tab")
        if name in await me.page.evaluate("document.activeElement.textContent"):
            return
    raise AssertionError(f"{name} cannot be reached by Tab")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_can_be_read_and_has_names_for_screen_readers(browser: Browser, address: str, scheme: str) -> None:
    async with visit(browser, address, color_scheme=scheme) as me:
        shade = await me.page.evaluate("parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")
        assert (shade < 100) == (scheme == "dark")
        await me.page.get_by_text("Call details and variables").click()
        assert await me.page.evaluate(CONTRASTS) == []
        assert await me.page.evaluate(NAMELESS) == []
        await me.call()
        await me.page.get_by_text("says nothing").click()
        await me.page.get_by_text("Raw frames").click()
        await me.say(HOURS)
        await expect(me.turns.first).to_contain_text("done")
        await me.say("Hello?")
        await expect(me.turns.nth(1).locator(".outcome")).not_to_have_text("said")
        await me.page.evaluate("document.getElementById('gone').hidden = false")
        assert await me.page.evaluate(CONTRASTS) == []
        assert await me.page.evaluate(NAMELESS) == []


async def test_a_screen_reader_is_told_sentences_and_not_each_word(browser: Browser, address: str) -> None:
    async with visit(browser, address) as me:
        await me.page.evaluate(
            """() => { window.told = []; const region = document.getElementById("told");
              new MutationObserver(() => told.push(region.textContent)).observe(region, { childList: true }); }"""
        )
        await me.call(OWN)
        await me.say(HOURS)
        await expect(me.answers.nth(1)).to_contain_text("8 AM")
        await expect(me.page.locator("#told")).to_contain_text("8 AM")
        told = await me.page.evaluate("told")
        assert len(told) == 3
        assert told[0] == "The line is open."


async def test_the_microphone_is_asked_for_when_it_is_wanted(browser: Browser, address: str) -> None:
    async with visit(browser, address, FAKE_VOICE) as me:
        await me.call(OWN)
        await me.button("Talk").click()
        await expect(me.page.get_by_role("group", name="Microphone")).to_contain_text("Cuebox gets the text alone")
        assert await me.page.evaluate("asked") == 0
        await me.button("Use the microphone").click()
        await expect(me.button("Listening")).to_have_attribute("aria-pressed", "true")
        await me.page.evaluate("ears.hear('what are', false)")
        await expect(me.words).to_have_value("what are")
        await me.page.evaluate("ears.hear('what are your opening hours', true)")
        await expect(me.page.locator("#said .caller")).to_have_text("You: what are your opening hours")
        await expect(me.button("Talk")).to_have_attribute("aria-pressed", "false")
        await expect(me.answers.nth(1)).to_contain_text("8 AM")
        spoken = await me.page.evaluate("spoken")
        assert "8 AM" in spoken[0]
        hushed = await me.page.evaluate("hushed")
        await me.button("Interrupt").click()
        assert await me.page.evaluate("hushed") > hushed


async def test_without_a_microphone_one_can_type(browser: Browser, address: str) -> None:
    async with visit(browser, address, FAKE_VOICE) as me:
        await me.call(OWN)
        await me.button("Talk").click()
        await me.button("Use the microphone").click()
        await me.page.evaluate("ears.onerror({ error: 'not-allowed' }), ears.onend()")
        await expect(me.page.locator("#trouble")).to_have_text("The microphone was refused. You can go on by typing.")
        await me.button("Talk").click()
        await me.button("Not now").click()
        await expect(me.words).to_be_focused()
