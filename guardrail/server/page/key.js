// Asks for the access key of a server that wants one.

import { element } from "./element.js";
import { useKey } from "./server.js";

/** A small form; once a key is given, `then` is called. */
export function keyForm(then) {
  const input = element("input", { type: "password", autocomplete: "off", "aria-label": "Access key", placeholder: "Access key", required: true });
  const submit = (event) => {
    event.preventDefault();
    useKey(input.value);
    then();
  };
  return element("form", { class: "key", onsubmit: submit }, input, element("button", { class: "button" }, "Use this key"));
}
