/** One document beside whatever is on the page, with the place that was asked for marked and in sight. */

import { at, get } from "./api.js";
import { h, iconButton } from "./dom.js";
import { kind, marked, units } from "./text.js";

const AROUND = 60_000;
/** A text of many megabytes takes a browser seconds: so much of it is shown around the place. */

export function reader(element) {
  const title = h("h2", { tabindex: "-1" });
  const place = h("p", { class: "hint" });
  const note = h("p", { class: "failure", role: "status", hidden: true });
  const body = h("div", { class: "text", tabindex: "0", role: "region", "aria-label": "Text of the document" });
  element.append(h("header", {}, h("div", {}, title, place), iconButton("close", "Close the document", () => close())), note, body);
  let opener = null, shown = null;

  /** Opens `id`; `quotes` are [start, end] in code points, the first of which is brought into sight. */
  async function open(wanted, button) {
    opener = button ?? document.activeElement;
    shown = wanted;
    title.textContent = wanted.title || wanted.id;
    place.textContent = "Opening…";
    note.hidden = true;
    body.replaceChildren();
    element.hidden = false;
    document.body.classList.add("reading");
    title.focus({ preventScroll: true });
    try {
      const found = await get(`${at(wanted.collection, "documents", wanted.id)}?include=text`);
      if (shown === wanted) fill(found, wanted);
    } catch (error) {
      if (shown === wanted) miss(error, wanted);
    }
  }

  function fill(found, { quotes = [], quote, page }) {
    title.textContent = found.title || found.id;
    const parts = [found.id, kind(found.media_type), page && `page ${page}`].filter(Boolean);
    place.textContent = [...new Set(parts)].join(" · ");
    const text = found.text ?? "";
    const spans = spansOf(text, quotes);
    if (quote && spans.length && text.slice(...spans[0]) !== quote) say("This document was changed since: the place may be another one.");
    if (!text) say("This document has no text.");
    draw(text, spans, Math.max(0, (spans[0]?.[0] ?? 0) - AROUND), (spans[0]?.[1] ?? 0) + AROUND);
    body.querySelector("mark")?.scrollIntoView({ block: "center" });
  }

  /** The document is gone, or cannot be read: what was quoted is still known. */
  function miss(error, { quote }) {
    place.textContent = shown.id;
    say(error.status === 404 ? "This document is not there any more." : error.message);
    if (quote) body.replaceChildren(h("mark", { class: "quote" }, quote));
  }

  function say(message) {
    note.textContent = message;
    note.hidden = false;
  }

  function draw(text, spans, from, to) {
    const here = spans.map(([start, end]) => [start - from, end - from]);
    const whole = (side) => h("button", { type: "button", class: "rest", onclick: () => draw(text, spans, 0, text.length) }, side);
    body.replaceChildren(...[
      from > 0 ? whole("Show what comes before") : null,
      ...marked(text.slice(from, to), here, "quote"),
      to < text.length ? whole("Show the rest") : null,
    ].filter((part) => part !== null));
  }

  /** True if there was something to close; the focus goes back to where it came from. */
  function close() {
    if (element.hidden) return false;
    element.hidden = true;
    document.body.classList.remove("reading");
    body.replaceChildren();
    shown = null;
    opener?.focus?.();
    return true;
  }

  function closeIf(collection, id) {
    if (shown?.collection === collection && shown.id === id) close();
  }

  return { open, close, closeIf };
}

function spansOf(text, quotes) {
  const places = units(text, quotes.flat());
  return quotes.map((_, index) => [places[2 * index], places[2 * index + 1]]);
}
