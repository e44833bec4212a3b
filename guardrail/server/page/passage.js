// The passage beside the conversation: a column where there is room, a sheet from below on a phone.

import { place, sources, supports } from "./citations.js";
import { element } from "./element.js";
import { meter } from "./meter.js";

export class PassagePanel {
  #opener = null;
  #turn = null;

  constructor(panel) {
    this.panel = panel;
    this.body = panel.querySelector(".passage-body");
    this.count = panel.querySelector(".passage-count");
    panel.querySelector(".passage-close").addEventListener("click", () => this.close());
    panel.querySelector(".passage-previous").addEventListener("click", () => this.#step(-1));
    panel.querySelector(".passage-next").addEventListener("click", () => this.#step(1));
  }

  get isOpen() {
    return !this.panel.hidden;
  }

  get holdsFocus() {
    return this.panel.contains(document.activeElement);
  }

  /** Show the passage behind `citation` of `turn`; focus moves there and comes back to `opener` on closing. */
  open(turn, citation, opener) {
    this.#turn?.unmark();
    this.#opener = opener;
    this.#turn = turn;
    // Open first: the statement can only be scrolled clear of a sheet that is there.
    this.panel.hidden = false;
    document.body.dataset.passage = "open";
    this.#show(citation);
    this.body.querySelector("h2").focus({ preventScroll: true });
    this.body.querySelector("mark.current, mark")?.scrollIntoView({ block: "nearest" });
  }

  close({ returnFocus = true } = {}) {
    if (!this.isOpen) return;
    this.panel.hidden = true;
    delete document.body.dataset.passage;
    this.#turn?.unmark();
    if (returnFocus && this.#opener?.isConnected) this.#opener.focus();
    this.#opener = this.#turn = null;
  }

  #step(by) {
    const known = sources(this.#turn.reply);
    const next = known[this.index + by];
    if (!next) return;
    this.#show(next.citations[0]);
    this.body.scrollTop = 0;
  }

  #show(citation) {
    const known = sources(this.#turn.reply);
    this.index = known.findIndex((source) => source.id === citation.passage_id);
    const source = known[this.index];
    this.count.textContent = `Source ${this.index + 1} of ${known.length}`;
    this.panel.querySelector(".passage-previous").disabled = this.index === 0;
    this.panel.querySelector(".passage-next").disabled = this.index === known.length - 1;
    this.#turn.mark(citation);
    this.body.replaceChildren(
      element("h2", { id: "passage-title", tabindex: "-1" }, element("span", { class: "marker-label" }, source.marker), " ", element("cite", {}, source.work)),
      element("p", { class: "passage-locator" }, source.locator),
      source.title ? element("p", { class: "passage-heading" }, source.title) : null,
      element("blockquote", { class: "passage-text" }, ...words(source, citation)),
      element(
        "dl",
        { class: "passage-facts" },
        element("dt", {}, "Support"),
        element("dd", {}, meter(citation.score), element("span", { class: "figure" }, Number(citation.score).toFixed(2))),
        element("dt", {}, "Passage"),
        element("dd", { class: "passage-id" }, source.id),
      ),
    );
    this.panel.setAttribute("aria-label", `Passage: ${place(source)}`);
  }
}

function words(source, citation) {
  const nodes = [];
  let last = 0;
  for (const range of supports(source, citation)) {
    nodes.push(source.text.slice(last, range.start), element("mark", { class: range.current ? "current" : "" }, source.text.slice(range.start, range.end)));
    last = range.end;
  }
  return [...nodes, source.text.slice(last)];
}
