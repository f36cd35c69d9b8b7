/** Search: hits with their words marked, their scores, and the place they open. */

import { at, post } from "./api.js";
import { count, emptyState, h, icon, segments } from "./dom.js";
import { attempt } from "./notices.js";
import { marked, wordSpans } from "./text.js";

const HITS = 20;
const EXCERPT = 560;
const BEFORE = 120;

export const MODES = [
  ["hybrid", "Both", "By meaning and by words"],
  ["dense", "Meaning", "By the model's vectors alone"],
  ["lexical", "Words", "By the words alone (BM25)"],
];
const PARTS = { dense: "meaning", lexical: "words", rerank: "rerank" };

export function searchView(app, collection) {
  const state = { query: "", mode: "hybrid", rerank: false };
  const field = h("input", {
    type: "search", placeholder: "Search…", "aria-label": "Search", "data-main-field": true, enterkeyhint: "search",
  });
  const rerank = h("input", { type: "checkbox", onchange: () => again({ rerank: rerank.checked }) });
  const form = h("form", { class: "searching", role: "search", onsubmit: (event) => {
    event.preventDefault();
    const query = field.value.trim();
    if (query === state.query) attempt(search);
    else app.go(collection, "search", query);
  } }, h("div", { class: "field" }, icon("search"), field, h("button", { class: "primary" }, "Search")),
  h("div", { class: "below-field" }, segments("Search by", MODES, state.mode, (mode) => again({ mode })),
    h("label", { class: "check", title: "Compare the best hits once more, word by word" }, rerank, "Rerank")));
  const summary = h("p", { class: "hint", role: "status" });
  const results = h("div", { class: "results" });
  const element = h("section", { class: "view", "aria-label": "Search" }, h("div", { class: "column" }, form, summary, results));

  function again(change) {
    Object.assign(state, change);
    if (state.query) attempt(search);
  }

  let latest = 0;

  async function search() {
    latest += 1;
    if (!state.query) return greet();
    const number = latest;
    const body = { query: state.query, k: HITS, mode: state.mode, ...(state.rerank ? { rerank: "late" } : {}) };
    const answer = await post(at(collection, "search"), body);
    if (number !== latest) return; // the answer to a question that was asked anew meanwhile
    summary.textContent = `${count(answer.hits.length, "passage")} in ${answer.took_ms.toFixed(1)} ms · ${answer.plan}`;
    results.replaceChildren(...(answer.hits.length ? answer.hits.map(hit) : [nothing()]));
  }

  function hit(found, index, all) {
    const open = h("button", { type: "button", class: "link", onclick: () => app.reader.open({
      collection, id: found.document_id, title: found.title, page: found.page, quotes: [[found.start, found.end]],
      quote: found.text,
    }, open) }, found.title || found.document_id);
    return h("article", { class: "hit" },
      h("header", {}, h("h2", {}, open), score(found, all)),
      found.text ? h("p", { class: "excerpt" }, excerpt(found.text, state.query)) : h("p", { class: "hint" }, "This point has no text."),
      h("p", { class: "hint" }, found.page ? `${found.document_id} · page ${found.page}` : found.document_id));
  }

  function greet() {
    summary.textContent = "";
    const { documents } = app.describe(collection);
    results.replaceChildren(documents
      ? emptyState("search", `Search ${count(documents, "document")}`, "By meaning and by words at once. “Words in quotes” are found as they stand, begin* finds beginnings.")
      : emptyState("documents", "Nothing to search yet", "This collection has no documents.",
        h("button", { class: "primary", onclick: () => app.go(collection, "documents") }, icon("upload"), "Add documents")));
  }

  function show(rest) {
    field.value = rest;
    if (rest !== state.query || !rest) {
      state.query = rest;
      attempt(search);
    }
    if (matchMedia("(hover: hover)").matches) field.focus();
  }

  return { element, show, rest: () => state.query };
}

function nothing() {
  return emptyState("none", "Nothing found", "Try other words, or search by meaning.");
}

/** The score as a bar against the best one, with its parts. */
function score({ score: value, scores }, all) {
  const best = Math.max(...all.map((one) => one.score));
  const share = value > 0 && best > 0 ? value / best : 0;
  const parts = Object.entries(scores).map(([name, part]) => `${PARTS[name] ?? name} ${part.toFixed(2)}`).join(" · ");
  const bar = h("span", { class: "bar" }, h("span", {}));
  bar.firstChild.style.width = `${Math.round(share * 100)}%`;
  return h("p", { class: "score" }, h("span", { class: "parts" }, parts), bar,
    h("strong", { title: "Score" }, value.toFixed(2)));
}

/** The passage where its first word is found, words marked; without the blank lines and the marks of headings. */
function excerpt(passage, query) {
  const text = passage.replace(/^#{1,6} +/gm, "").replace(/\s*\n\s*/g, "\n");
  const spans = wordSpans(text, query);
  const first = text.length > EXCERPT ? Math.max(0, (spans[0]?.[0] ?? 0) - BEFORE) : 0;
  const start = first && first + text.slice(first).search(/\s/) + 1;
  const cut = text.slice(start, start + EXCERPT);
  const shown = spans.map(([from, to]) => [from - start, to - start]).filter(([from, to]) => from >= 0 && to <= cut.length);
  return [start ? "… " : "", ...marked(cut, shown), start + EXCERPT < text.length ? " …" : ""];
}
