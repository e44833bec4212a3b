// A small bar beside a number. The number is the statement; the bar only lets the eye compare, so screen readers skip it.

import { element } from "./element.js";

const share = (value) => Math.min(Math.max(Number(value) || 0, 0), 1);

/** A bar filled to `value` (0 to 1), with a tick at `threshold` if there is one. */
export function meter(value, threshold = null) {
  const bar = element("span", { class: "meter", "aria-hidden": "true" }, element("span", { class: "meter-fill" }));
  // Set through the style object: a style attribute would be stopped by the page's content security policy.
  bar.firstElementChild.style.inlineSize = `${share(value) * 100}%`;
  if (threshold !== null && threshold !== undefined) {
    const tick = element("span", { class: "meter-tick" });
    tick.style.insetInlineStart = `${share(threshold) * 100}%`;
    bar.append(tick);
  }
  return bar;
}

/** One bar cut into parts, each `{name, value}`, by their share of the sum. */
export function stack(parts) {
  const sum = parts.reduce((total, part) => total + part.value, 0) || 1;
  const bar = element("div", { class: "stack", "aria-hidden": "true" });
  for (const part of parts) {
    const piece = element("span", { data: { part: part.name } });
    piece.style.inlineSize = `${(part.value / sum) * 100}%`;
    bar.append(piece);
  }
  return bar;
}
