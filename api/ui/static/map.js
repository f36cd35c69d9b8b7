/** Map: the passages of a collection from above, a query among them. */

import { at, get, post } from "./api.js";
import { count, emptyState, h, icon } from "./dom.js";
import { attempt } from "./notices.js";
import { plot } from "./plot.js";

const HITS = 10;
const POINTS = 2000;
const NAMED = 8;
const EXCERPT = 240;
/** Told apart by eyes that see fewer colours (after Okabe and Ito), on light ground and on dark. */
const PALETTE = ["#3a5bd9", "#d55e00", "#009e73", "#cc79a7", "#e0a000", "#56a5e0", "#8a63d2", "#7c8a2e"];
const OTHER = "#8b8f97";

export function mapView(app, collection) {
  const field = h("input", { type: "search", placeholder: "Where would a question land?", "aria-label": "Question", "data-main-field": true });
  const form = h("form", { class: "searching", role: "search", onsubmit: (event) => {
    event.preventDefault();
    attempt(() => find(field.value.trim()));
  } }, h("div", { class: "field" }, icon("search"), field, h("button", { class: "primary" }, "Show")));
  const detail = h("div", { class: "detail", id: "map-detail", role: "status", hidden: true });
  const drawing = plot({ choose, open });
  const legend = h("ul", { class: "legend", "aria-label": "Documents by colour" });
  const hint = h("p", { class: "hint", role: "status" });
  const stage = h("div", { class: "stage" }, drawing.element, detail);
  const empty = h("div");
  const element = h("section", { class: "view map", "aria-label": "Map" }, form, stage, legend, hint, empty);
  const state = { map: null, colours: new Map(), revision: "" };

  async function load() {
    const { points, documents } = app.describe(collection);
    stage.hidden = legend.hidden = hint.hidden = form.hidden = !points;
    empty.replaceChildren(...(points ? [] : [nothing()]));
    const revision = `${points}/${documents}`;
    if (!points || state.revision === revision) return;
    state.map = await get(`${at(collection, "map")}?limit=${POINTS}`);
    state.revision = revision;
    colour(state.map.points);
    show([], null);
  }

  /** The documents with most passages have colours of their own, the others share one. */
  function colour(points) {
    const sizes = new Map();
    const titles = new Map(points.map((point) => [point.document_id, point.title || point.document_id]));
    for (const point of points) sizes.set(point.document_id, (sizes.get(point.document_id) ?? 0) + 1);
    const named = [...sizes].sort((a, b) => b[1] - a[1]).slice(0, NAMED).map(([id]) => id);
    state.colours = new Map(named.map((id, index) => [id, PALETTE[index]]));
    const rest = sizes.size - named.length;
    legend.replaceChildren(...named.map((id) => entry(state.colours.get(id), titles.get(id))),
      ...(rest > 0 ? [entry(OTHER, count(rest, "other document"))] : []));
  }

  function show(hits, query) {
    const { points, total, projection } = state.map;
    const ranks = new Map(hits.map((hit, index) => [hit.id, index + 1]));
    const known = new Set(points.map((point) => point.id));
    const further = hits.filter((hit) => !known.has(hit.id)).map((hit) => ({ ...hit, ...placeOf(hit.vector, projection) }));
    const shown = [...points, ...further].map((point) => ({ ...point, rank: ranks.get(point.id) }));
    drawing.show(shown, query, (point) => state.colours.get(point.document_id) ?? OTHER);
    const spread = Math.round(100 * (projection.explained[0] + projection.explained[1]));
    hint.textContent = [
      ...(hits.length ? [`best hit: ${hits[0].title || hits[0].document_id}`] : []),
      points.length < total ? `${points.length.toLocaleString("en")} of ${count(total, "passage")}, evenly chosen` : count(total, "passage"),
      `two principal components, ${spread} % of the variance`,
    ].join(" · ");
  }

  let latest = 0;

  async function find(query) {
    latest += 1;
    if (!query) return show([], null);
    const number = latest;
    const { hits } = await post(at(collection, "search"), { query, k: HITS, include: ["text", "metadata", "vector"] });
    const place = await placeOfQuery(query);
    if (number === latest) show(hits, place); // else another question was asked meanwhile
  }

  async function placeOfQuery(query) {
    const { model } = app.describe(collection);
    if (!model) return null;
    const { data } = await post("/v1/embeddings", { input: query, model, input_type: "query" });
    return placeOf(data[0].embedding, state.map.projection);
  }

  function choose(point, place) {
    detail.hidden = !point;
    if (!point) return;
    detail.replaceChildren(h("strong", {}, point.title || point.document_id), h("p", {}, (point.text ?? "No text").slice(0, EXCERPT)));
    const room = stage.clientWidth - detail.offsetWidth - 8;
    detail.style.left = `${Math.max(8, Math.min(place[0] + 14, room))}px`;
    const below = place[1] + 14;
    detail.style.top = `${below + detail.offsetHeight > stage.clientHeight ? Math.max(8, place[1] - detail.offsetHeight - 14) : below}px`;
  }

  function open(point) {
    app.reader.open({ collection, id: point.document_id, title: point.title, quotes: [[point.start, point.end]] }, drawing.element);
  }

  function nothing() {
    return emptyState("map", "Nothing to show yet", "Every passage becomes a point here, near those that mean alike.",
      h("button", { class: "primary", onclick: () => app.go(collection, "documents") }, icon("upload"), "Add documents"));
  }

  return { element, show: () => attempt(load) };
}

function entry(colour, title) {
  const dot = h("span", { class: "dot" });
  dot.style.background = colour;
  return h("li", { title }, dot, h("span", {}, title));
}

/** Where a vector lies on the plane. */
function placeOf(vector, { mean, axes, normalized }) {
  const length = normalized ? Math.hypot(...vector) || 1 : 1;
  const [x, y] = axes.map((axis) => axis.reduce((sum, part, index) => sum + part * (vector[index] / length - mean[index]), 0));
  return { x: Math.max(-1, Math.min(1, x)), y: Math.max(-1, Math.min(1, y)) };
}
