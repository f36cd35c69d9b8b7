/**
 * Places in texts. The service counts code points, JavaScript counts UTF-16 units: every offset that comes from
 * the service goes through `units` before a text is cut by it.
 */

import { h } from "./dom.js";

/** The place in UTF-16 units of each of `points`, which count code points and may come in any order. */
export function units(text, points) {
  const ascending = points.map((point, index) => ({ point, index })).sort((a, b) => a.point - b.point);
  const places = new Array(points.length);
  let unit = 0, passed = 0;
  for (const { point, index } of ascending) {
    while (passed < point && unit < text.length) {
      unit += text.codePointAt(unit) > 0xffff ? 2 : 1;
      passed += 1;
    }
    places[index] = unit;
  }
  return places;
}

/** `text` with its `spans` ([start, end] in UTF-16 units) marked; spans that overlap are marked once. */
export function marked(text, spans, className) {
  const parts = [];
  let end = 0;
  for (const [from, to] of [...spans].sort((a, b) => a[0] - b[0])) {
    const start = Math.max(from, end);
    if (start >= to) continue;
    parts.push(text.slice(end, start), h("mark", { class: className }, text.slice(start, to)));
    end = to;
  }
  parts.push(text.slice(end));
  return parts.filter((part) => part !== "");
}

const WORD = /[\p{L}\p{N}]+/gu;
const IDEOGRAPHIC = /[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]/u;
const SUFFIX = /(ings?|edly|ed|es|e|s|ly)$/;
const STOP_WORDS = new Set(("a an and are as at be by can do does for from how i in is it its of on or that the this to was what " +
  "when where which who why will with").split(" "));

/** Where words of `query` stand in `text`, in whatever form: spans in UTF-16 units. */
export function wordSpans(text, query) {
  const wanted = stems(query);
  const spans = [];
  for (const found of text.matchAll(WORD)) {
    const word = found[0].toLowerCase();
    if (wanted.has(stem(word))) spans.push([found.index, found.index + found[0].length]);
    else if (IDEOGRAPHIC.test(word)) spans.push(...partSpans(word, found.index, wanted));
  }
  return spans;
}

function stems(query) {
  const words = [...query.toLowerCase().matchAll(WORD)].map((found) => found[0]);
  const telling = words.filter((word) => !STOP_WORDS.has(word));
  return new Set((telling.length ? telling : words).map(stem));
}

function stem(word) {
  const cut = word.replace(SUFFIX, "");
  return cut.length >= 3 ? cut : word;
}

/** Scripts without blanks: the words of the query stand within longer runs. */
function partSpans(run, offset, wanted) {
  return [...wanted].filter((word) => run.includes(word))
    .map((word) => [offset + run.indexOf(word), offset + run.indexOf(word) + word.length]);
}

/** "3 minutes ago", in the reader's language. */
export function ago(moment) {
  const seconds = (Date.parse(moment) - Date.now()) / 1000;
  const format = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return format.format(Math.round(seconds / size), unit);
  }
  return "just now";
}

/** "12 s", "3 min". */
export function duration(seconds) {
  return seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`;
}

/** "1.4 MB". */
export function size(bytes) {
  const power = bytes < 1000 ? 0 : Math.min(3, Math.floor(Math.log10(bytes) / 3));
  const number = bytes / 1000 ** power;
  return `${power && number < 10 ? number.toFixed(1) : Math.round(number)} ${["B", "kB", "MB", "GB"][power]}`;
}

/** What a file is called by people. */
export function kind(mediaType) {
  const known = {
    "application/pdf": "PDF", "text/html": "HTML", "text/markdown": "Markdown", "text/plain": "Text", "text/csv": "CSV",
    "application/json": "JSON", "application/rtf": "RTF", "application/epub+zip": "EPUB", "message/rfc822": "E-mail",
  };
  if (known[mediaType]) return known[mediaType];
  const office = [["wordprocessingml", "Word"], ["presentationml", "PowerPoint"], ["spreadsheetml", "Excel"],
    ["opendocument.text", "ODT"]].find(([part]) => mediaType.includes(part));
  return office ? office[1] : mediaType.split("/").pop().replace(/^(x-|vnd\.)/, "");
}
