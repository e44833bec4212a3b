"""The page in front of the embedded default: what a visitor sees, reads and presses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from starlette.applications import Starlette
from starlette.routing import Mount

from guardrail import Guardrail
from guardrail.server import create_app

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.page.conftest import Serve, Visit, Visitor

CAUSES = "What are the four causes?"
OUTSIDE = "Who won the football world cup in 2018?"
PHONE = {"width": 360, "height": 740}


@pytest.fixture
def answered(visitor: Visitor, address: str) -> Visit:
    """A visitor who has asked Aristotle for the four causes."""
    visit = visitor(address)
    visit.choose("Aristotle")
    visit.ask(CAUSES)
    return visit


def test_the_personas_can_be_chosen_with_their_greeting_and_topics(visitor: Visitor, address: str) -> None:
    visit = visitor(address)
    assert {"Plato", "Aristotle"} <= set(visit.page.locator(".card-name").all_text_contents())
    visit.choose("Aristotle")
    opening = visit.page.locator(".opening:visible")
    expect(opening.locator("h2")).to_have_text("Aristotle")
    expect(opening.locator(".greeting")).not_to_be_empty()
    expect(opening.get_by_role("button", name="the four causes")).to_be_visible()


def test_a_topic_starts_the_conversation_with_an_answer(visitor: Visitor, address: str) -> None:
    visit = visitor(address)
    visit.choose("Aristotle")
    visit.page.get_by_role("button", name="the four causes").click()
    visit.last.locator("button.marker").first.wait_for()
    expect(visit.turns.locator(".question p")).to_have_text("Tell me about the four causes.")


def test_a_greeting_gets_a_short_reply_and_no_sources(visitor: Visitor, address: str) -> None:
    reply = visitor(address).ask("hello")
    expect(reply).to_have_attribute("data-kind", "smalltalk")
    assert 0 < len(reply.locator(".words").inner_text()) < 300
    expect(reply.locator(".marker, .source")).to_have_count(0)


def test_an_answer_lists_the_sources_that_its_markers_name(answered: Visit) -> None:
    expect(answered.last).to_have_attribute("data-kind", "answer")
    markers = answered.last.locator("button.marker").all_text_contents()
    assert markers
    assert list(dict.fromkeys(markers)) == answered.last.locator(".source-marker").all_text_contents()


def test_a_marker_opens_its_passage_with_the_supporting_words_marked(answered: Visit) -> None:
    marker = answered.last.locator("button.marker").first
    marker.click()
    panel = answered.page.locator("#passage")
    expect(panel.locator("h2")).to_be_focused()
    expect(marker).to_have_attribute("aria-expanded", "true")
    passage = panel.locator(".passage-text").inner_text()
    marked = panel.locator("mark.current").all_inner_texts()
    assert marked
    assert all(words.strip() and words in passage for words in marked)
    assert len("".join(marked)) < len(passage), "not the whole passage supports one sentence"
    expect(panel.locator("cite")).not_to_be_empty()
    expect(panel.locator(".passage-locator")).not_to_be_empty()
    expect(answered.last.locator(".statement.lit").first).to_be_visible()


def test_escape_closes_the_passage_and_returns_to_its_marker(answered: Visit) -> None:
    marker = answered.last.locator("button.marker").first
    marker.click()
    answered.page.keyboard.press("Escape")
    expect(answered.page.locator("#passage")).to_be_hidden()
    expect(marker).to_be_focused()
    expect(answered.last.locator(".lit")).to_have_count(0)


def test_the_arrows_of_the_panel_walk_through_the_sources(answered: Visit) -> None:
    answered.last.locator("button.source").first.click()
    count = answered.last.locator("button.source").count()
    panel = answered.page.locator("#passage")
    for number in range(1, count + 1):
        expect(panel.locator(".passage-count")).to_have_text(f"Source {number} of {count}")
        if number < count:
            panel.get_by_role("button", name="Next source").click()
    expect(panel.get_by_role("button", name="Next source")).to_be_disabled()


def test_why_shows_every_rail_with_score_the_support_the_times_and_the_configuration(answered: Visit, address: str) -> None:
    asked = {"model": "aristotle", "messages": [{"role": "user", "content": CAUSES}]}
    said = answered.page.request.post(f"{address}v1/chat/completions", data=asked).json()["guardrail"]
    answered.last.get_by_text("Why this reply?").click()
    why = answered.last.locator(".why-body")
    rails = {verdict["rail"] for verdict in said["verdicts"]}
    assert rails
    for rail in rails:
        expect(why.locator(".checks")).to_contain_text(rail)
    expect(why.locator(".check-row:has(.meter)").first).to_contain_text(re.compile(r"passed.*\d\.\d\d.*\d m?s"))
    expect(why.locator(".support li").first).to_contain_text(re.compile(r"\d\.\d\d"))
    assert why.locator(".times dd").count() == 5
    expect(why.locator(".times dd").last).to_contain_text(re.compile(r"\d m?s"))
    expect(why.locator(".facts")).to_contain_text(said["config_hash"])
    expect(why.locator(".facts")).to_contain_text("persona")


def test_an_abstention_is_labelled_and_quieter_than_an_answer(answered: Visit) -> None:
    colour = "node => getComputedStyle(node).color"
    loud = answered.last.locator(".words").evaluate(colour)
    reply = answered.ask(OUTSIDE)
    expect(reply).to_have_attribute("data-kind", "abstention")
    expect(reply.locator(".kind")).to_have_text("Not in the books")
    quiet = reply.locator(".words").evaluate(colour)
    assert quiet != loud
    red, green, _ = (int(part) for part in re.findall(r"\d+", quiet)[:3])
    assert abs(red - green) < 40, "not knowing is nothing to be alarmed at"


def test_each_persona_keeps_a_conversation_of_its_own(visitor: Visitor, address: str) -> None:
    visit = visitor(address)
    visit.choose("Plato")
    visit.ask("hello")
    visit.choose("Aristotle")
    expect(visit.turns).to_have_count(0)
    expect(visit.page.locator("#question")).to_have_attribute("placeholder", "Ask Aristotle a question")
    expect(visit.page.locator(".card", has_text="Plato")).to_contain_text("1 question")
    visit.choose("Plato")
    expect(visit.turns).to_have_count(1)


def test_the_whole_conversation_is_sent_with_each_turn_and_at_most_twenty_messages(visitor: Visitor, address: str) -> None:
    visit = visitor(address)
    for _ in range(11):
        visit.ask("hello")
    sent = visit.sent("hello")
    assert [message["role"] for message in sent] == ["user", "assistant"] * 9 + ["user"]
    assert sent[-2]["content"] == visit.turns.nth(10).locator(".words").inner_text()


def test_a_new_conversation_forgets_the_old_one(visitor: Visitor, address: str) -> None:
    visit = visitor(address)
    visit.ask("hello")
    visit.page.get_by_role("button", name="New conversation").click()
    expect(visit.turns).to_have_count(0)
    expect(visit.page.locator("#question")).to_be_focused()
    assert len(visit.sent("good morning")) == 1


def test_markup_in_a_message_is_shown_as_text(visitor: Visitor, address: str) -> None:
    visit = visitor(address)
    hostile = "<script>window.taken = 1</script><img src=x onerror='window.taken = 1'> What is justice?"
    visit.ask(hostile)
    expect(visit.turns.last.locator(".question p")).to_have_text(hostile)
    assert visit.page.evaluate("window.taken") is None
    expect(visit.page.locator("main img, main script")).to_have_count(0)


def test_shift_enter_makes_a_line_and_enter_alone_sends(visitor: Visitor, address: str) -> None:
    visit = visitor(address)
    visit.page.keyboard.press("/")
    expect(visit.page.locator("#question")).to_be_focused()
    visit.page.keyboard.type("hello")
    visit.page.keyboard.press("Shift+Enter")
    visit.page.keyboard.type("Plato")
    expect(visit.page.locator("#question")).to_have_value("hello\nPlato")
    visit.page.keyboard.press("Enter")
    expect(visit.turns.locator(".question p")).to_have_text("hello\nPlato", use_inner_text=True)
    expect(visit.page.locator("#question")).to_have_value("")


def test_enter_on_nothing_sends_nothing(visitor: Visitor, address: str) -> None:
    visit = visitor(address)
    visit.send("   \n ")
    expect(visit.turns).to_have_count(0)


def test_tab_reaches_every_control_and_shows_where_it_is(answered: Visit) -> None:
    page = answered.page
    page.evaluate("document.activeElement.blur(); getSelection().removeAllRanges(); document.querySelector('.skip').focus()")
    reached = []
    for _ in range(40):
        here = page.evaluate(
            """() => {
              const node = document.activeElement;
              const shown = node.closest(".card, #composer") ?? node;
              const style = getComputedStyle(shown);
              const visible = style.outlineStyle !== "none" || style.boxShadow !== "none";
              return node === document.body ? null : [node.id || node.className || node.type || node.tagName, visible];
            }"""
        )
        if here is None:
            break
        reached.append(here)
        page.keyboard.press("Tab")
    names = [name for name, _ in reached]
    for wanted in ("skip", "restart", "theme", "radio", "marker", "source", "SUMMARY", "quiet", "question"):
        assert wanted in names, f"Tab does not reach {wanted}: {names}"
    assert [name for name, visible in reached if not visible] == []


def test_a_screen_reader_hears_whole_sentences_not_tokens(visitor: Visitor, address: str) -> None:
    visit = visitor(address)
    reply = visit.ask("hello").locator(".words").inner_text()
    region = visit.page.locator("#announcements")
    expect(region).to_have_attribute("aria-live", "polite")
    expect(region.locator("p").last).to_have_text(reply)
    expect(region.locator("p")).to_have_count(3)  # who is spoken with, that the reply is coming, the reply


def test_copy_takes_the_reply_with_its_sources(answered: Visit) -> None:
    answered.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    answered.last.get_by_role("button", name="Copy").click()
    expect(answered.last.get_by_role("button", name="Copied")).to_be_visible()
    copied = answered.page.evaluate("navigator.clipboard.readText()")
    first = answered.last.locator("button.source").first
    assert first.locator(".source-place").inner_text() in copied
    assert answered.last.locator(".words p").first.inner_text()[:40] in copied


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_never_scrolls_sideways(visitor: Visitor, address: str, scheme: str) -> None:
    visit = visitor(address, viewport=PHONE, color_scheme=scheme)
    wide = "() => ['html', '#scroller', '.passage-body'].map((name) => document.querySelector(name)).map((node) => node.scrollWidth - node.clientWidth)"
    assert visit.page.evaluate(wide) == [0, 0, 0]
    visit.choose("Aristotle")
    visit.ask(CAUSES)
    visit.ask("w" * 300)
    visit.turns.first.get_by_text("Why this reply?").click()
    assert visit.page.evaluate(wide) == [0, 0, 0]
    visit.turns.first.locator("button.marker").first.click()
    assert visit.page.evaluate(wide) == [0, 0, 0]
    box = visit.page.locator("#passage").bounding_box()
    assert box is not None
    assert (box["x"], box["width"]) == (0, 360)
    assert box["y"] > 200, "the sheet leaves the statement in view"


def test_dark_follows_the_system_until_the_visitor_chooses_and_is_then_remembered(visitor: Visitor, address: str) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    visit = visitor(address, color_scheme="dark")
    dark = visit.page.evaluate(ground)
    assert max(int(part) for part in re.findall(r"\d+", dark)) < 60
    visit.page.get_by_role("button", name="Switch to light colours").click()
    light = visit.page.evaluate(ground)
    assert min(int(part) for part in re.findall(r"\d+", light)) > 200
    visit.page.reload()
    assert visit.page.evaluate(ground) == light


def test_the_page_works_where_storage_is_forbidden(visitor: Visitor, address: str) -> None:
    visit = visitor(address)
    visit.page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } });")
    visit.page.reload()
    visit.page.get_by_role("button", name="Switch to dark colours").click()
    expect(visit.page.get_by_role("button", name="Switch to light colours")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_colour_has_contrast_aa_on_every_ground_it_stands_on(visitor: Visitor, address: str, scheme: str) -> None:
    page = visitor(address, color_scheme=scheme).page
    pairs = [(text, ground) for text in ("ink", "muted", "accent") for ground in ("paper", "surface", "tint", "lit")]
    pairs.remove(("muted", "lit"))  # only an answer's own words are ever lit
    pairs.append(("on-accent", "accent"))
    for text, ground in pairs:
        assert _contrast(_rgb(page, text), _rgb(page, ground)) >= 4.5, f"{text} on {ground}, {scheme}"
    assert _contrast(_rgb(page, "edge"), _rgb(page, "paper")) >= 3, "the edge of a control"


def test_reduced_motion_stops_every_animation(visitor: Visitor, address: str) -> None:
    visit = visitor(address, reduced_motion="reduce")
    visit.send(CAUSES)
    expect(visit.last.locator(".source").first).to_be_visible(timeout=60_000)
    visit.last.locator("button.marker").first.click()
    moving = "() => [...document.querySelectorAll('*')].filter((node) => getComputedStyle(node).animationName !== 'none').length"
    assert visit.page.evaluate(moving) == 0


def test_the_page_works_where_an_app_mounts_it(visitor: Visitor, serve: Serve) -> None:
    guard = Guardrail.default()
    with serve(Starlette(routes=[Mount("/philosophers", create_app(guard))])) as outer:
        visit = visitor(f"{outer}philosophers/")
        expect(visit.ask("hello")).to_have_attribute("data-kind", "smalltalk")
    guard.close()


def _rgb(page: Page, token: str) -> tuple[float, ...]:
    shown = page.evaluate(
        """(token) => {
          const node = document.body.appendChild(document.createElement("i"));
          node.style.color = `var(--${token})`;
          const found = getComputedStyle(node).color;
          node.remove();
          return found;
        }""",
        token,
    )
    return tuple(float(part) for part in re.findall(r"[\d.]+", shown)[:3])


def _contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Contrast ratio as WCAG 2.2 defines it, 1 to 21."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: tuple[float, ...]) -> float:
    red, green, blue = (part / 255 / 12.92 if part / 255 <= 0.04045 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
