// One question and what became of it.

import { place, sources } from "./citations.js";
import { copyText } from "./clipboard.js";
import { element } from "./element.js";
import { keyForm } from "./key.js";
import { draftParagraphs, paragraphsOf } from "./reply.js";
import { why } from "./why.js";

const LABELS = { abstention: "Not in the books", refusal: "Declined" };

export class Turn {
  reply = null;
  #draft = "";

  constructor(question, persona, openPassage) {
    this.question = question;
    this.openPassage = openPassage;
    this.words = element("div", { class: "words" });
    this.foot = element("div", { class: "reply-foot" });
    this.answer = element("div", { class: "reply" }, element("h3", { class: "speaker" }, persona.name), this.words, this.foot);
    this.element = element("li", { class: "turn" }, element("div", { class: "question" }, element("h3", { class: "speaker" }, "You"), element("p", {}, question)), this.answer);
    this.waitingText = `${persona.name} is looking in the books`;
    this.begin();
  }

  /** What the visitor has read of the reply so far. */
  get text() {
    return this.reply?.text ?? this.#draft;
  }

  begin() {
    this.#draft = "";
    this.#become("waiting");
    this.words.replaceChildren(element("p", { class: "waiting" }, this.waitingText, element("span", { class: "dots", "aria-hidden": "true" })));
    this.foot.replaceChildren();
  }

  append(text) {
    this.#draft += text;
    this.#become("arriving");
    this.words.replaceChildren(...draftParagraphs(this.#draft));
  }

  finish(reply) {
    this.reply = reply;
    this.#become(reply.reply);
    const label = LABELS[reply.reply];
    this.words.replaceChildren(
      ...(label ? [element("p", { class: "kind" }, label)] : []),
      ...paragraphsOf(reply, (citation, opener) => this.openPassage(this, citation, opener)),
    );
    this.foot.replaceChildren(...[this.#sources(), element("div", { class: "reply-tools" }, why(reply), this.#copy())].filter(Boolean));
  }

  stop() {
    this.#become("stopped");
    this.words.replaceChildren(...draftParagraphs(this.#draft), element("p", { class: "note" }, this.#draft ? "Stopped here." : "Stopped before a reply."));
    this.foot.replaceChildren();
  }

  /** A wait of the server's choosing; `seconds` are left of it. */
  wait(failure, seconds) {
    this.#become("waiting");
    this.words.replaceChildren(element("p", { class: "note" }, `${failure.message} Trying again in ${seconds} s.`));
  }

  fail(failure, { retry, edit }) {
    this.#become("failed");
    const button = (label, action) => element("button", { type: "button", class: "button", onclick: action }, label);
    const ways = failure.kind === 401 ? keyForm(retry) : failure.canRetry ? button("Try again", retry) : button("Change the question", edit);
    const code = [typeof failure.kind === "number" ? failure.kind : "", failure.code].filter(Boolean).join(" ");
    this.words.replaceChildren(
      ...draftParagraphs(this.#draft),
      element("div", { class: "failure" }, element("p", {}, failure.message), ways, code ? element("small", {}, code) : null),
    );
    this.foot.replaceChildren();
  }

  /** Light up the statement that rests on `citation`, and its marker. */
  mark(citation) {
    this.unmark();
    const index = String(this.reply.citations.indexOf(citation));
    for (const span of this.element.querySelectorAll(".statement")) span.classList.toggle("lit", span.dataset.citations.split(" ").includes(index));
    // In the text one marker of several is the open one; in the list of sources it is the passage's line.
    for (const button of this.element.querySelectorAll("button.marker")) button.setAttribute("aria-expanded", String(button.dataset.citation === index));
    for (const button of this.element.querySelectorAll("button.source")) button.setAttribute("aria-expanded", String(button.dataset.passage === citation.passage_id));
    this.element.querySelector(".statement.lit")?.scrollIntoView({ block: "nearest" });
  }

  unmark() {
    for (const span of this.element.querySelectorAll(".statement.lit")) span.classList.remove("lit");
    for (const button of this.element.querySelectorAll("[aria-expanded=true]")) button.setAttribute("aria-expanded", "false");
  }

  #become(state) {
    this.answer.dataset.kind = state;
    this.answer.setAttribute("aria-busy", String(state === "waiting" || state === "arriving"));
  }

  #sources() {
    const known = sources(this.reply);
    if (!known.length) return null;
    const rows = known.map((source) =>
      element(
        "li",
        {},
        element(
          "button",
          {
            type: "button",
            class: "source",
            "aria-controls": "passage",
            "aria-expanded": "false",
            data: { passage: source.id },
            onclick: (event) => this.openPassage(this, source.citations[0], event.currentTarget),
          },
          element("span", { class: "source-marker" }, source.marker),
          element("span", { class: "source-place" }, element("cite", {}, source.work), " ", source.locator),
          source.title ? element("span", { class: "source-title" }, source.title) : null,
        ),
      ),
    );
    return element("div", { class: "sources" }, element("h4", {}, known.length === 1 ? "Source" : "Sources"), element("ol", {}, ...rows));
  }

  #copy() {
    const label = "Copy";
    const button = element("button", { type: "button", class: "quiet" }, label);
    button.addEventListener("click", async () => {
      const list = sources(this.reply).map((source) => `${source.marker} ${place(source)}`);
      const copied = await copyText([this.reply.text, list.join("\n")].filter(Boolean).join("\n\n"));
      button.textContent = copied ? "Copied" : "Copying is not allowed here";
      setTimeout(() => (button.textContent = label), 2000);
    });
    return button;
  }
}
