// Speaks to screen readers. A live region that grew token by token would stammer, so words are held back to whole sentences, at most one batch a second.

import { element } from "./element.js";

const PAUSE_MS = 1000;
const KEPT = 12; // old lines are dropped, or a long visit would leave the conversation in the page twice

export class Announcer {
  #held = "";
  #timer = 0;

  /** While it is mute nothing is said: the conversation it speaks for is not the one on the page. */
  mute = false;

  constructor(region) {
    this.region = region;
  }

  say(text) {
    if (this.mute) return;
    this.region.append(element("p", {}, text));
    while (this.region.childElementCount > KEPT) this.region.firstElementChild.remove();
  }

  /** A piece of a reply; spoken once its sentence is complete. */
  push(text) {
    this.#held += text;
    if (!this.#timer) this.#timer = setTimeout(() => this.#speak(false), PAUSE_MS);
  }

  /** The reply is over: say what is left. */
  finish() {
    clearTimeout(this.#timer);
    this.#speak(true);
  }

  /** Forget what has not been said, after a stop or a switch. */
  drop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#held = "";
  }

  #speak(all) {
    this.#timer = 0;
    const end = all ? this.#held.length : (this.#held.match(/^[^]*[.!?…]["'”’)\]\d[]*(?=\s)/)?.[0].length ?? 0);
    const sentence = this.#held.slice(0, end).replace(/\s*\[\d+\]/g, "").trim(); // markers are buttons to find, not words to hear
    this.#held = this.#held.slice(end);
    if (sentence) this.say(sentence);
  }
}
