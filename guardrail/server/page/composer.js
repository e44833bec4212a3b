// Where the question is written. One button serves twice: it sends, and while a reply is under way it stops it.

export class Composer {
  /** `send(text)` returns false where there is nobody to send it to yet; the text then stays. */
  constructor(form, { send, stop }) {
    this.form = form;
    this.input = form.querySelector("textarea");
    this.label = form.querySelector("label");
    this.button = form.querySelector("button");
    this.stop = stop;
    this.busy = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.busy) stop();
      else this.#send(send);
    });
    this.input.addEventListener("keydown", (event) => {
      // While an input method is composing, Enter chooses a character and must not send.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.busy) this.#send(send);
    });
    this.input.addEventListener("input", () => this.#fit());
  }

  address(persona) {
    this.label.textContent = `Your question to ${persona.name}`;
    this.input.placeholder = `Ask ${persona.name} a question`;
  }

  show(busy) {
    this.busy = busy;
    this.button.textContent = busy ? "Stop" : "Ask";
    this.button.classList.toggle("stopping", busy);
  }

  write(text) {
    this.input.value = text;
    this.#fit();
    this.input.focus();
  }

  #send(send) {
    const text = this.input.value.trim();
    if (!text || send(text) === false) return;
    this.input.value = "";
    this.#fit();
  }

  // The field grows with its text up to the height the style sheet allows.
  #fit() {
    this.input.style.blockSize = "auto";
    if (this.input.value) this.input.style.blockSize = `${this.input.scrollHeight}px`;
  }
}
