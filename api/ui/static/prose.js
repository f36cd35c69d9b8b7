/**
 * Text of an answer as elements: paragraphs, lists, code, emphasis, and `[n]` as whatever `cite` makes of n.
 * A small part of Markdown, for reading; what it does not know stays as it is written.
 */

import { h } from "./dom.js";

const FENCE = /^(```|~~~)/;
const ITEM = /^\s*(?:[-*•]|\d{1,3}[.)])\s+/;
const HEADING = /^#{1,6}\s+/;
const INLINE = /`([^`\n]+)`|\*\*([^*\n]+)\*\*|\[(\d{1,3})\]/g;

/** `cite(n)` gives an element, or null if n is no source. */
export function prose(text, cite) {
  const blocks = [];
  const lines = text.split("\n");
  while (lines.length) {
    const line = lines[0];
    if (!line.trim()) lines.shift();
    else if (FENCE.test(line)) blocks.push(codeBlock(lines));
    else if (ITEM.test(line)) blocks.push(list(lines, cite));
    else if (HEADING.test(line)) blocks.push(h("p", {}, h("strong", {}, inline(lines.shift().replace(HEADING, ""), cite))));
    else blocks.push(paragraph(lines, cite));
  }
  return blocks;
}

function codeBlock(lines) {
  lines.shift();
  const end = lines.findIndex((line) => FENCE.test(line));
  const code = lines.splice(0, end < 0 ? lines.length : end);
  lines.shift();
  return h("pre", { tabindex: "0" }, h("code", {}, code.join("\n")));
}

function list(lines, cite) {
  const numbered = /^\s*\d/.test(lines[0]);
  const items = [];
  while (lines.length && ITEM.test(lines[0])) items.push(h("li", {}, inline(lines.shift().replace(ITEM, ""), cite)));
  return h(numbered ? "ol" : "ul", {}, items);
}

function paragraph(lines, cite) {
  const own = [];
  while (lines.length && lines[0].trim() && (own.length === 0 || !(FENCE.test(lines[0]) || ITEM.test(lines[0])))) {
    own.push(lines.shift());
  }
  return h("p", {}, inline(own.join("\n"), cite));
}

function inline(text, cite) {
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    const [whole, code, strong, number] = found;
    const part = code ? h("code", {}, code) : strong ? h("strong", {}, strong) : cite(Number(number));
    if (part === null) continue;
    parts.push(text.slice(end, found.index), part);
    end = found.index + whole.length;
  }
  parts.push(text.slice(end));
  return parts;
}
