// The citations of one reply, arranged as the page shows them: statements in the text, and one source a passage.

import { utf16Offsets } from "./offsets.js";

/** One source a passage, in the order of first use: `{marker, work, locator, title, text, id, citations}`. */
export function sources(reply) {
  const found = new Map();
  for (const citation of reply.citations) {
    const known = found.get(citation.passage_id);
    if (known) known.citations.push(citation);
    else found.set(citation.passage_id, { ...citation, id: citation.passage_id, citations: [citation] });
  }
  return [...found.values()];
}

/** Work and locator as one reads them aloud, e.g. `Republic VII, 514a`. */
export function place(source) {
  return [source.work, source.locator].filter(Boolean).join(" ");
}

/** The supporting stretches of a source's text as UTF-16 ranges, sorted, without overlap: `{start, end, current}`. */
export function supports(source, current) {
  const at = utf16Offsets(source.text);
  const ranges = source.citations
    .map((citation) => ({
      start: at(citation.source_start - citation.passage_start),
      end: at(citation.source_end - citation.passage_start),
      current: citation === current,
    }))
    .filter((range) => range.start < range.end);
  // Where two statements rest on the same words, the words are cut at every edge, so that no mark is nested in another.
  const edges = [...new Set(ranges.flatMap((range) => [range.start, range.end]))].sort((a, b) => a - b);
  const pieces = [];
  for (let i = 0; i + 1 < edges.length; i += 1) {
    const covering = ranges.filter((range) => range.start <= edges[i] && edges[i + 1] <= range.end);
    if (covering.length) pieces.push({ start: edges[i], end: edges[i + 1], current: covering.some((range) => range.current) });
  }
  return pieces;
}
