/** One answer: its text while it grows, its citations, its sources, and whether it is one. */

import { h, icon } from "./dom.js";
import { prose } from "./prose.js";

/** An answer that nothing has been said of; `open(source, button)` is called for what the reader wants to see. */
export function answer(open) {
  const body = h("div", { class: "prose" });
  const below = h("div", { class: "below" });
  const element = h("article", { class: "answer", "aria-label": "Answer", "aria-busy": "true" },
    h("p", { class: "thinking" }, h("span", { class: "unseen" }, "Looking…")), body, below);
  let text = "", sources = [], drawn = 0;

  function draw() {
    drawn = 0;
    const seen = new Map();
    body.replaceChildren(...prose(text, (index) => citation(index, seen)));
  }

  /** The k-th [n] of the text is the k-th quote of source n, the last one for those beyond. */
  function citation(index, seen) {
    const quotes = sources.filter((source) => source.index === index);
    if (!quotes.length) return null;
    const turn = seen.get(index) ?? 0;
    seen.set(index, turn + 1);
    const source = quotes[Math.min(turn, quotes.length - 1)];
    const button = h("button", {
      type: "button", class: "cite", title: source.title || source.document_id,
      "aria-label": `Source ${index}: ${source.title || source.document_id}`,
      onclick: () => open(source, button),
    }, String(index));
    return button;
  }

  return {
    element,
    get text() { return text; },
    /** More text, or other sources: the candidates at first, in the end those that are cited. */
    add(piece, newSources) {
      text += piece;
      sources = newSources ?? sources;
      if (text) element.querySelector(".thinking")?.remove();
      drawn ||= requestAnimationFrame(draw);
    },
    /** It is complete, was stopped, or has failed with `error`. */
    finish({ grounding, abstained, stopped, error } = {}) {
      cancelAnimationFrame(drawn);
      draw();
      element.querySelector(".thinking")?.remove();
      element.setAttribute("aria-busy", "false");
      const refused = grounding?.abstained ?? abstained;
      element.classList.toggle("abstained", Boolean(refused));
      below.replaceChildren(...[
        refused && !error ? abstention(grounding) : null,
        error ? h("p", { class: "failure", role: "alert" }, error.message) : null,
        stopped ? h("p", { class: "hint" }, "Stopped.") : null,
        refused ? null : sourceList(cited(text, sources), open),
      ].filter(Boolean));
    },
  };
}

/** Those that the text names; a stopped answer still has all the candidates. */
function cited(text, sources) {
  return sources.filter((source) => text.includes(`[${source.index}]`));
}

/** Nothing is cited: because the documents do not have it, or because whoever wrote this does not say where it is from. */
function abstention(grounding) {
  const enough = grounding && grounding.evidence >= grounding.threshold;
  const figures = grounding
    ? ` The evidence scores ${grounding.evidence.toFixed(2)}; an answer takes ${grounding.threshold.toFixed(2)}.`
    : "";
  const [title, advice] = enough
    ? ["No source is cited.", " Nothing in the documents vouches for this text."]
    : ["Not in these documents.", `${figures} Try other words, or add a document that has it.`];
  return h("p", { class: "abstention" }, icon("none"), h("span", {}, h("strong", {}, title), advice));
}

function sourceList(sources, open) {
  if (!sources.length) return null;
  return h("ol", { class: "sources", "aria-label": "Sources" }, sources.map((source) => h("li", {}, sourceCard(source, open))));
}

function sourceCard(source, open) {
  const place = source.page ? `page ${source.page}` : "";
  const card = h("button", { type: "button", class: "source", onclick: () => open(source, card) },
    h("span", { class: "number" }, String(source.index)),
    h("span", { class: "words" }, h("span", { class: "title" }, source.title || source.document_id, place && h("span", {}, ` · ${place}`)),
      h("q", {}, source.quote)));
  return card;
}
