// A conversation with one persona: its turns on the page, what of them is sent along, and the one reply that may be under way.

import { Announcer } from "./announcer.js";
import { sources } from "./citations.js";
import { element } from "./element.js";
import { Failure } from "./failure.js";
import { converse } from "./server.js";
import { Turn } from "./turn.js";

const SENT_MESSAGES = 20; // enough for any follow-up; a longer history would only run into the server's limits
const WAITS = 3; // how often a busy server is tried again before the visitor is asked

export class Conversation {
  #turns = [];
  #abort = null;

  /** `outlets`: openPassage(turn, citation, opener), changed(conversation), follow(element), edit(text), and the live `region`. */
  constructor(persona, outlets) {
    this.persona = persona;
    this.outlets = outlets;
    this.announcer = new Announcer(outlets.region);
    this.list = element("ol", { class: "turns" });
    this.element = element("section", { class: "conversation", "aria-label": `Conversation with ${persona.name}`, hidden: true }, this.#opening(), this.list);
  }

  get busy() {
    return this.#abort !== null;
  }

  get length() {
    return this.#turns.length;
  }

  /** Bring it onto the page or take it off; a reply under way goes on, unheard. */
  show(visible) {
    this.element.hidden = !visible;
    this.announcer.mute = !visible;
  }

  async ask(question) {
    if (this.busy) return;
    const turn = new Turn(question, this.persona, this.outlets.openPassage);
    this.#turns.push(turn);
    this.list.append(turn.element);
    this.outlets.changed(this);
    this.outlets.follow(turn.element);
    await this.#answer(turn);
  }

  stop() {
    this.#abort?.abort();
  }

  /** Forget everything that was said. */
  clear() {
    this.stop();
    this.#abort = null; // the next question need not wait until the stopped reply has noticed
    this.#turns = [];
    this.list.replaceChildren();
    this.outlets.changed(this);
  }

  async #answer(turn) {
    const abort = new AbortController();
    this.#abort = abort;
    turn.begin();
    this.outlets.changed(this);
    const { announcer } = this;
    announcer.drop();
    announcer.say(turn.waitingText);
    try {
      await this.#receive(turn, abort.signal);
      announcer.finish();
    } catch (error) {
      announcer.drop();
      if (error.name === "AbortError") {
        turn.stop();
        announcer.say("Stopped.");
      } else {
        this.#fail(turn, error instanceof Failure ? error : new Failure("broken"));
      }
    } finally {
      // A cleared conversation may already be answering anew.
      if (this.#abort === abort) this.#abort = null;
      this.outlets.changed(this);
    }
  }

  async #receive(turn, signal) {
    const messages = this.#messages(turn);
    for (let waits = 0; ; waits += 1) {
      try {
        for await (const { text, reply } of converse({ persona: this.persona.id, messages, signal })) {
          if (reply) {
            turn.finish(reply);
            const count = sources(reply).length;
            if (count) this.announcer.push(` With ${count === 1 ? "one source" : `${count} sources`}.`);
          } else {
            turn.append(text);
            this.announcer.push(text);
          }
        }
        return;
      } catch (error) {
        // Only a turn that has shown nothing yet may start over by itself.
        if (error.kind !== 429 || waits >= WAITS || turn.text) throw error;
        for (let left = Math.ceil(error.retryAfter); left > 0; left -= 1) {
          turn.wait(error, left);
          await pause(1000, signal);
        }
      }
    }
  }

  #fail(turn, failure) {
    const retry = () => !this.busy && this.#answer(turn);
    const edit = () => {
      this.#turns = this.#turns.filter((other) => other !== turn);
      turn.element.remove();
      this.outlets.edit(turn.question);
      this.outlets.changed(this);
    };
    turn.fail(failure, { retry, edit });
    this.announcer.say(failure.message);
  }

  /** What is sent with `turn`: everything before it that got a reply, then its question. */
  #messages(turn) {
    const before = this.#turns.slice(0, this.#turns.indexOf(turn)).filter((other) => other.text);
    const messages = before.flatMap((other) => [
      { role: "user", content: other.question },
      { role: "assistant", content: other.text },
    ]);
    messages.push({ role: "user", content: turn.question });
    const sent = messages.slice(-SENT_MESSAGES);
    return sent[0].role === "user" ? sent : sent.slice(1);
  }

  #opening() {
    const { name, description, greeting, topics } = this.persona;
    const starters = topics.map((topic) =>
      element("li", {}, element("button", { type: "button", class: "starter", onclick: () => this.ask(`Tell me about ${topic}.`) }, topic)),
    );
    return element(
      "header",
      { class: "opening" },
      element("span", { class: "medallion large", "aria-hidden": "true" }, name.slice(0, 1)),
      element("h2", {}, name),
      element("p", { class: "description" }, description),
      element("div", { class: "meander", "aria-hidden": "true" }),
      greeting ? element("p", { class: "greeting" }, greeting) : null,
      starters.length ? element("div", { class: "starters" }, element("h3", { class: "speaker" }, "Ask about"), element("ul", {}, ...starters)) : null,
    );
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stopped = () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stopped);
      resolve();
    }, milliseconds);
    if (signal.aborted) stopped();
    else signal.addEventListener("abort", stopped, { once: true });
  });
}
