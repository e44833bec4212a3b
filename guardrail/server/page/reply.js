// The words of a reply as nodes: paragraphs, statements that can be lit up, and markers that open a passage.

import { place, sources } from "./citations.js";
import { element } from "./element.js";
import { utf16Offsets } from "./offsets.js";

const MARKER = /\[\d+\]/g;

/** Paragraphs for a reply that is still arriving; markers already have their look, so that nothing jumps when they become buttons. */
export function draftParagraphs(text) {
  return paragraphs(text, [...text.matchAll(MARKER)].map((match) => ({ start: match.index, end: match.index + match[0].length, node: () => draftMarker(match[0]) })), []);
}

/** Paragraphs for a finished reply. `open(citation)` is called with the citation a pressed marker stands for. */
export function paragraphsOf(reply, open) {
  const at = utf16Offsets(reply.text);
  const statements = reply.citations.map((citation, index) => ({ index, citation, start: at(citation.answer_start), end: at(citation.answer_end) }));
  const known = sources(reply);
  const buttons = [];
  for (const match of reply.text.matchAll(MARKER)) {
    // The same marker may stand in several places; each belongs to the last statement before it that carries it.
    const before = statements.filter((statement) => statement.citation.marker === match[0] && statement.end <= match.index + match[0].length);
    const statement = before.at(-1) ?? statements.find((candidate) => candidate.citation.marker === match[0]);
    if (!statement) continue;
    const source = known.find((candidate) => candidate.id === statement.citation.passage_id);
    buttons.push({ start: match.index, end: match.index + match[0].length, node: () => markerButton(match[0], source, statement.citation, open) });
  }
  return paragraphs(reply.text, buttons, statements);
}

function paragraphs(text, inserts, statements) {
  const nodes = [];
  let start = 0;
  for (const piece of text.split(/(\n\s*\n)/)) {
    if (piece.trim()) nodes.push(element("p", {}, ...inline(text, start, start + piece.length, inserts, statements)));
    start += piece.length;
  }
  return nodes;
}

function inline(text, start, end, inserts, statements) {
  const inside = (offset) => offset > start && offset < end;
  const edges = [start, end, ...[...inserts, ...statements].flatMap((range) => [range.start, range.end]).filter(inside)];
  const cuts = [...new Set(edges)].sort((a, b) => a - b);
  const nodes = [];
  for (let i = 0; i + 1 < cuts.length; i += 1) {
    const insert = inserts.find((range) => range.start === cuts[i] && range.end === cuts[i + 1]);
    if (insert) {
      nodes.push(insert.node());
      continue;
    }
    const words = text.slice(cuts[i], cuts[i + 1]);
    const owners = statements.filter((range) => range.start <= cuts[i] && cuts[i + 1] <= range.end).map((range) => range.index);
    nodes.push(owners.length ? element("span", { class: "statement", data: { citations: owners.join(" ") } }, words) : words);
  }
  return nodes;
}

function draftMarker(marker) {
  return element("span", { class: "marker" }, marker);
}

function markerButton(marker, source, citation, open) {
  return element(
    "button",
    {
      type: "button",
      class: "marker",
      "aria-label": `${marker} ${place(source)}: open the passage`,
      "aria-controls": "passage",
      "aria-expanded": "false",
      data: { passage: source.id },
      onclick: (event) => open(citation, event.currentTarget),
    },
    marker,
  );
}
