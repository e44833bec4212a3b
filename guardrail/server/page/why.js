// "Why this reply?": every verdict, the support of every sentence, who wrote it and where the time went, in plain words.

import { element } from "./element.js";
import { meter, stack } from "./meter.js";
import { utf16Offsets } from "./offsets.js";

const SUMMARY = {
  answer: "An answer. Each sentence was held against the passages of the library before it was shown; what no passage supports was left out.",
  abstention: "No answer. Nothing in the library settles the question, and a guess would not be shown.",
  refusal: "Declined. A rule of this server stopped the message or the reply.",
  smalltalk: "A courtesy. It states no doctrine, so nothing was looked up.",
};
const RAILS = {
  intent: "What kind of message is this?",
  answerable: "Do the books hold an answer?",
  grounding: "Does a passage support the sentence?",
  keywords: "Does it hold words that are not allowed?",
  attack: "Does it try to turn the persona, or to get at its instructions?",
  harm: "Could it do harm?",
  sentiment: "How does it sound?",
  personal_data: "Does it hold personal data?",
  leak: "Does it repeat what the model was trained on?",
  prompt_leak: "Does it give away the instructions?",
  planted: "Do the passages give orders?",
  remote: "What does another detector say?",
  generation: "Did the writing go wrong?",
};
const STAGES = { input: "your message", retrieval: "the passages found", output: "the reply", decode: "the reply as it was written" };
const DECISIONS = { pass: "passed", modify: "changed", abstain: "held back", block: "blocked" };
const OUTCOMES = { error: "failed", timeout: "ran out of time", skipped: "did not run", bypassed: "failed and was passed over" };
const REASONS = { number: "a number no passage has", name: "a name no passage has", quotation: "a quotation no passage has", negation: "says the opposite of the passage" };
const STEPS = [
  ["screen", "Reading your message"],
  ["retrieve", "Finding passages"],
  ["write", "Writing"],
  ["verify", "Checking sentences"],
];

/** The disclosure for one finished reply. */
export function why(reply) {
  const details = element("details", { class: "why" }, element("summary", {}, "Why this reply?"));
  // Built when it is first opened: most are never opened, and a long conversation would carry them all.
  details.addEventListener("toggle", () => details.childElementCount === 1 && details.append(account(reply)), { once: true });
  return details;
}

function account(reply) {
  const parts = [element("p", { class: "why-summary" }, SUMMARY[reply.reply] ?? ""), checks(reply), support(reply), time(reply), facts(reply)];
  return element("div", { class: "why-body" }, ...parts);
}

function section(title, ...children) {
  return element("section", {}, element("h3", {}, title), ...children);
}

function checks(reply) {
  if (!reply.verdicts.length) return section("Checks", element("p", { class: "why-note" }, "No check was needed beyond reading the message."));
  const groups = new Map();
  for (const verdict of reply.verdicts) {
    const key = `${verdict.stage} ${verdict.rail}`;
    groups.set(key, [...(groups.get(key) ?? []), verdict]);
  }
  const list = element("ul", { class: "checks" }, ...[...groups.values()].map(check));
  return section("Checks", element("p", { class: "why-note" }, "Scores run from 0 (nothing to object to) to 1. A rail acts when its score reaches the tick."), list);
}

function check(verdicts) {
  const [{ rail, rail_version: version, stage, mode }] = verdicts;
  const head = element(
    "div",
    { class: "check-head" },
    element("strong", {}, RAILS[rail] ?? rail),
    element("span", { class: "why-note" }, `${rail} ${version}, on ${STAGES[stage] ?? stage}${mode === "shadow" ? ", watching only" : ""}`),
  );
  return element("li", {}, head, ...rows(verdicts));
}

/** A row a verdict; where a rail passed several sentences, one row stands for all of those, since each is listed with its support below. */
function rows(verdicts) {
  const passed = verdicts.filter((verdict) => verdict.decision === "pass" && verdict.outcome === "ok");
  if (passed.length < 2) return verdicts.map((verdict) => verdictRow(verdict));
  const highest = passed.reduce((worst, verdict) => (verdict.score > worst.score ? verdict : worst));
  const latency = passed.reduce((sum, verdict) => sum + verdict.latency_ms, 0);
  const others = verdicts.filter((verdict) => !passed.includes(verdict));
  return [verdictRow({ ...highest, latency_ms: latency }, `${passed.length} passed, highest`), ...others.map((verdict) => verdictRow(verdict))];
}

function verdictRow(verdict, summary = null) {
  const limited = verdict.threshold !== null && verdict.threshold !== undefined;
  const scored = limited || verdict.score > 0; // some rails only name what they see: an empty bar would say nothing
  const reason = verdict.reason && `${verdict.rail === "intent" ? "read as: " : ""}${verdict.reason.replaceAll("_", " ")}`;
  return element(
    "div",
    { class: "check-row", data: { decision: verdict.decision } },
    element("span", { class: "check-said" }, summary ?? verdictWord(verdict)),
    scored ? meter(verdict.score, verdict.threshold) : element("span", { class: "why-note" }, reason ?? ""),
    element("span", { class: "figure" }, scored ? `${number(verdict.score)}${limited ? ` of ${number(verdict.threshold)}` : ""}` : ""),
    element("span", { class: "figure" }, milliseconds(verdict.latency_ms)),
    scored && reason ? element("span", { class: "check-reason" }, reason) : null,
  );
}

function verdictWord({ outcome, decision }) {
  return outcome === "ok" ? (DECISIONS[decision] ?? decision) : (OUTCOMES[outcome] ?? outcome);
}

function support(reply) {
  if (!reply.sentences.length) return null;
  const at = utf16Offsets(reply.text);
  const rows = reply.sentences.map((sentence) => {
    const citation = reply.citations.find((candidate) => candidate.answer_start < sentence.end && sentence.start < candidate.answer_end);
    const reasons = (sentence.reasons ?? []).map((reason) => REASONS[reason] ?? reason).join(", ");
    return element(
      "li",
      {},
      element("q", {}, reply.text.slice(at(sentence.start), at(sentence.end)).replace(/\s*\[\d+\]/g, "").trim()),
      element(
        "div",
        { class: "check-row" },
        element("span", { class: "check-said" }, citation ? `source ${citation.marker}` : "no source needed"),
        citation ? meter(sentence.support) : element("span"),
        citation ? element("span", { class: "figure" }, number(sentence.support)) : null,
        reasons ? element("span", { class: "check-reason" }, reasons) : null,
      ),
    );
  });
  const note = element("p", { class: "why-note" }, "0 means that no passage supports the sentence, 1 that a passage says it outright.");
  return section("Support, sentence by sentence", note, element("ol", { class: "support" }, ...rows));
}

function time(reply) {
  const timings = reply.timings_ms;
  if (!timings) return null;
  const parts = STEPS.map(([name]) => ({ name, value: Number(timings[name]) || 0 }));
  const rows = STEPS.map(([name, title]) =>
    element("div", { data: { part: name } }, element("dt", {}, title), element("dd", { class: "figure" }, milliseconds(timings[name]))),
  );
  const total = element("div", {}, element("dt", {}, "All of it"), element("dd", { class: "figure" }, milliseconds(timings.total)));
  return section("Time", stack(parts), element("dl", { class: "times" }, ...rows, total));
}

function facts(reply) {
  const pairs = [
    ["Written by", reply.generator === "quotation" ? "quotation: the passages' own words, no language model" : reply.generator],
    ["Decision", reply.decision],
    ["Configuration", reply.config_hash],
  ].filter(([, value]) => value);
  if (!pairs.length) return null;
  return section("Origin", element("dl", { class: "facts" }, ...pairs.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, String(value))])));
}

const number = (value) => (Number(value) || 0).toFixed(2);

function milliseconds(value) {
  const time = Number(value) || 0;
  return time >= 1000 ? `${(time / 1000).toFixed(1)} s` : `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;
}
