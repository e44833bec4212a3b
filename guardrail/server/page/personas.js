// The cards to choose whom to talk with: plain radio buttons, so arrow keys and screen readers need nothing more.

import { element } from "./element.js";

export class PersonaCards {
  #cards = new Map();

  constructor(container, choose) {
    this.container = container;
    this.choose = choose;
  }

  show(personas) {
    for (const persona of personas) {
      const radio = element("input", { type: "radio", name: "persona", value: persona.id, onchange: () => this.choose(persona.id) });
      const state = element("span", { class: "card-state" });
      const card = element(
        "label",
        { class: "card" },
        radio,
        element("span", { class: "medallion", "aria-hidden": "true" }, persona.name.slice(0, 1)),
        element("span", { class: "card-words" }, element("span", { class: "card-name" }, persona.name), element("span", { class: "card-description" }, persona.description), state),
      );
      this.#cards.set(persona.id, { radio, state });
      this.container.append(card);
    }
  }

  select(id) {
    this.#cards.get(id).radio.checked = true;
  }

  /** Say on the card how far its conversation is, so that one can be left and found again. */
  update(conversation) {
    const { length, busy } = conversation;
    const { state } = this.#cards.get(conversation.persona.id);
    state.textContent = busy ? "answering…" : length ? `${length} ${length === 1 ? "question" : "questions"}` : "";
  }
}
