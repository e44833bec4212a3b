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
    buttons.push({ start: match.index, end: match.index + match[0].length, node: () => markerButton(match[0], source, statement, open) });
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
  const kept = keptTogether(text, start, end, inserts);
  const edges = [start, end, ...[...inserts, ...statements, ...kept].flatMap((range) => [range.start, range.end]).filter(inside)];
  const cuts = [...new Set(edges)].sort((a, b) => a - b);
  const nodes = [];
  let group = null;
  for (let i = 0; i + 1 < cuts.length; i += 1) {
    const [from, to] = [cuts[i], cuts[i + 1]];
    const covers = (range) => range.start <= from && to <= range.end;
    const node = inserts.find((range) => range.start === from && range.end === to)?.node() ?? phrase(text.slice(from, to), statements.filter(covers));
    const holder = kept.find(covers);
    if (!holder) nodes.push(node);
    else if (group?.range === holder) group.node.append(node);
    else {
      group = { range: holder, node: element("span", { class: "kept" }, node) };
      nodes.push(group.node);
    }
  }
  return nodes;
}

function phrase(words, owners) {
  return owners.length ? element("span", { class: "statement", data: { citations: owners.map((owner) => owner.index).join(" ") } }, words) : words;
}

/** The stretches from the last word before a marker to the end of the markers that follow it: a line may not break inside them. */
function keptTogether(text, start, end, inserts) {
  const ranges = [];
  for (const insert of inserts.filter((range) => range.start >= start && range.end <= end)) {
    const last = ranges.at(-1);
    if (last && !text.slice(last.end, insert.start).trim()) {
      last.end = insert.end;
      continue;
    }
    const word = text.slice(start, insert.start).match(/\S{1,30}\s?$/);
    if (word) ranges.push({ start: start + word.index, end: insert.end });
  }
  return ranges;
}

function draftMarker(marker) {
  return element("span", { class: "marker" }, marker);
}

function markerButton(marker, source, { index, citation }, open) {
  return element(
    "button",
    {
      type: "button",
      class: "marker",
      "aria-label": `${marker} ${place(source)}: open the passage`,
      "aria-controls": "passage",
      "aria-expanded": "false",
      data: { citation: index },
      onclick: (event) => open(citation, event.currentTarget),
    },
    marker,
  );
}
