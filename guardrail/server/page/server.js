// The two calls the page makes. Addresses are taken from where this file lies, so the page works wherever it is mounted.

import { Failure } from "./failure.js";
import { events } from "./stream.js";

const ROOT = new URL("../", import.meta.url);
let key = ""; // kept in memory only: a key in storage would outlive the visit

export function useKey(value) {
  key = value.trim();
}

async function call(path, options = {}) {
  const headers = { ...options.headers, ...(key ? { authorization: `Bearer ${key}` } : {}) };
  let response;
  try {
    response = await fetch(new URL(path, ROOT), { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("offline");
  }
  if (!response.ok) throw await Failure.of(response);
  return response;
}

/** Who can be talked with. */
export async function personas() {
  const response = await call("v1/models");
  const list = await response.json().catch(() => null);
  if (!Array.isArray(list?.data)) throw new Failure("broken");
  return list.data.map((model) => ({
    id: String(model.id),
    name: String(model.name ?? model.id),
    description: String(model.description ?? ""),
    greeting: String(model.greeting ?? ""),
    topics: Array.isArray(model.topics) ? model.topics.map(String) : [],
  }));
}

/** One reply as it is released: `{text}` pieces, then exactly one `{reply}`, the contract's reply object. Throws Failure, or AbortError once `signal` fires. */
export async function* converse({ persona, messages, signal }) {
  const response = await call("v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: persona, messages, stream: true }),
    signal,
  });
  let whole = "";
  try {
    for await (const event of events(response.body)) {
      if (event.data === "[DONE]") break;
      const chunk = JSON.parse(event.data);
      if (event.type === "error" || chunk.error) throw Failure.from(chunk);
      const choice = chunk.choices?.[0];
      const text = choice?.delta?.content ?? "";
      if (text) {
        whole += text;
        yield { text };
      }
      if (choice?.finish_reason) {
        // A proxy in between may drop fields it does not know; the text is then all there is to show.
        yield { reply: { reply: "answer", text: whole, citations: [], sentences: [], verdicts: [], ...chunk.guardrail } };
        return;
      }
    }
  } catch (error) {
    if (error instanceof Failure || error.name === "AbortError") throw error;
    throw new Failure("broken");
  }
  throw new Failure("broken");
}
