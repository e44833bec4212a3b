// The server counts code points, JavaScript counts UTF-16 units: an emoji or a Linear B sign before a citation would shift every mark after it.

/** A function from a code point offset of `text` to its UTF-16 offset; offsets past either end are moved to that end. */
export function utf16Offsets(text) {
  const table = [0];
  for (const character of text) table.push(table[table.length - 1] + character.length);
  return (offset) => table[Math.min(Math.max(Math.trunc(offset) || 0, 0), table.length - 1)];
}
