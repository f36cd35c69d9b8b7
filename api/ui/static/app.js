/**
 * The page: where it is (the address behind #), what it knows, and which view shows it.
 *
 * An address is `#/<collection>/<view>/<rest>`; the rest is a view's own: a conversation, a query. Views are made
 * once for a collection and kept, so that an answer goes on while the reader looks something up.
 */

import { at, get, put, remove } from "./api.js";
import { conversations } from "./conversations.js";
import { emptyState, h, icon, iconButton, remember, remembered } from "./dom.js";
import { dropped } from "./dropped.js";
import { attempt, confirmed, notify, typed } from "./notices.js";
import { reader } from "./reader.js";
import { addSample } from "./sample.js";
import { sidebar } from "./sidebar.js";

const VIEWS = {
  ask: { title: "Ask", load: async () => (await import("./ask.js")).askView },
  search: { title: "Search", load: async () => (await import("./search.js")).searchView },
  documents: { title: "Documents", load: async () => (await import("./documents.js")).documentsView },
  map: { title: "Map", load: async () => (await import("./map.js")).mapView },
};
const POLL_MS = 2000;
const NAMES = "Small letters, digits, - and _, up to 63 of them.";

const made = new Map();
const main = document.getElementById("main");

/** What views use of the page. */
const app = {
  collections: [],
  generators: [],
  generator: null,
  limits: {},
  collection: null,
  view: "ask",
  rest: "",
  conversations,
  reader: reader(document.getElementById("reader")),
  go,
  refresh,
  createCollection,
  deleteCollection,
  addFiles,
  describe: (name) => app.collections.find((one) => one.name === name),
};
const side = sidebar(app, document.getElementById("sidebar"));

/** To a view of a collection; `replace` leaves no step to go back to. */
function go(collection, view = app.view, rest = "", { replace = false } = {}) {
  const hash = addressOf(collection, view, rest);
  if (replace) history.replaceState(null, "", hash);
  else if (location.hash !== hash) return void (location.hash = hash);
  route();
}

function addressOf(...parts) {
  return `#/${parts.filter(Boolean).map(encodeURIComponent).join("/")}`;
}

/** Where the reader was in a view of this collection. */
function restOf(view) {
  return made.get(keyOf(view, app.collection))?.rest?.() ?? "";
}

function route() {
  const [, collection, view, ...rest] = location.hash.split("/").map(decodeURIComponent);
  const known = app.describe(collection) ?? app.describe(remembered("collection")) ?? app.collections[0];
  const isHere = known?.name === collection;
  if (app.collection !== (known?.name ?? null)) app.reader.close();
  app.collection = known?.name ?? null;
  app.view = view in VIEWS ? view : "ask";
  app.rest = isHere ? rest.join("/") : "";
  if (collection && !isHere && app.collections.length) notify(`There is no collection “${collection}”.`);
  if (app.collection) remember("collection", app.collection);
  return show();
}

async function show() {
  side.render();
  document.body.dataset.view = app.view;
  document.title = app.collection ? `${VIEWS[app.view].title} · ${app.collection} · embedd` : "embedd";
  if (!app.collection) return void main.replaceChildren(topBar(), welcome());
  const view = await viewOf(app.view, app.collection);
  if (view !== made.get(keyOf(app.view, app.collection))) return; // the reader has gone on meanwhile
  // Moved in the tree an element loses its focus and its place, so the view that is there stays.
  if (main.contains(view.element)) main.firstElementChild.replaceWith(topBar());
  else main.replaceChildren(topBar(), view.element);
  view.show(app.rest);
}

async function viewOf(name, collection) {
  const make = await VIEWS[name].load();
  const key = keyOf(name, collection);
  if (!made.has(key)) made.set(key, make(app, collection));
  return made.get(key);
}

function keyOf(name, collection) {
  return `${name}/${collection}`;
}

function topBar() {
  const links = Object.entries(VIEWS).map(([name, { title }], index) => h("a", {
    href: addressOf(app.collection, name, restOf(name)),
    "aria-current": name === app.view ? "page" : null,
    title: `Alt ${index + 1}`,
  }, icon(name), h("span", {}, title)));
  return h("header", { class: "top" },
    iconButton("menu", "Collections and conversations", side.toggle, { class: "quiet menu", "aria-controls": "sidebar" }),
    h("h1", {}, app.collection ?? "Welcome"),
    app.collection ? h("nav", { "aria-label": "Views" }, links) : null);
}

function welcome() {
  return h("section", { class: "view welcome" }, emptyState("documents", "Ask your own documents",
    "Put files into a collection. Then search them, or ask: every answer quotes them, and every quote opens where it stands.",
    h("button", { class: "primary", onclick: createCollection }, icon("plus"), "New collection"),
    h("button", { onclick: () => attempt(() => addSample(app)) }, "Try it with a sample")));
}

async function createCollection() {
  const name = await typed("New collection", "Name", "Create", {
    pattern: "[a-z0-9][a-z0-9_\\-]{0,62}", maxlength: 63, spellcheck: "false",
    title: NAMES, hint: NAMES,
  });
  if (!name) return;
  await attempt(async () => {
    await put(at(name), {});
    await refresh();
    go(name, "documents");
  });
}

async function deleteCollection(name) {
  const { documents } = app.describe(name);
  const text = `All of its ${documents.toLocaleString("en")} documents are deleted with it. This cannot be undone.`;
  if (!(await confirmed(`Delete “${name}”?`, text, "Delete collection"))) return;
  await attempt(async () => {
    await remove(at(name));
    for (const key of [...made.keys()].filter((one) => one.endsWith(`/${name}`))) made.delete(key);
    await refresh();
    go(app.collections[0]?.name ?? "", "documents");
    notify(`“${name}” is deleted.`);
  });
}

/** Files that were dropped or chosen, wherever the reader is. */
async function addFiles(files) {
  if (!files.length) return;
  if (!app.collection) await createCollection();
  if (!app.collection) return;
  go(app.collection, "documents");
  (await viewOf("documents", app.collection)).add(files);
}

/** Asks again what there is; the views are told by what they ask themselves. */
async function refresh() {
  const [{ collections }] = await Promise.all([get("/v1/collections"), conversations.load()]);
  app.collections = collections;
  side.render();
}

async function learn() {
  const [info, models] = await Promise.all([get("/v1/info"), get("/v1/models"), refresh()]);
  app.limits = info.limits;
  app.generators = models.data.filter((one) => one.kind === "generator" && !one.id.includes("@")).map((one) => one.id);
  app.generator = info.generator;
  side.describe(info);
  untilReady(info);
}

/** Says so while the model is loading; the page can be used meanwhile. */
async function untilReady(info) {
  for (let now = info; ; now = await get("/v1/info")) {
    const { status, reason } = now.models.find((one) => one.name === now.default_model) ?? { status: "ready" };
    side.tell(status === "ready" ? "" : `The model ${now.default_model} is ${status}. ${reason ?? ""}`);
    if (status !== "loading") return;
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}

function onKey(event) {
  const digit = /^Digit([1-4])$/.exec(event.code);
  if (event.altKey && digit && app.collection) {
    event.preventDefault();
    const view = Object.keys(VIEWS)[digit[1] - 1];
    go(app.collection, view, restOf(view));
  } else if ((event.ctrlKey || event.metaKey) && event.key === "k" && app.collection) {
    event.preventDefault();
    if (app.view === "documents") go(app.collection, "ask", restOf("ask"));
    main.querySelector("[data-main-field]")?.focus();
  } else if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
    if (!side.close() && !app.reader.close()) made.get(keyOf(app.view, app.collection))?.stop?.();
  }
}

window.addEventListener("hashchange", route);
window.addEventListener("keydown", onKey);
dropped(document.body, addFiles);
await attempt(learn);
await route();
performance.mark("first-view");
Object.values(VIEWS).forEach(({ load }) => load()); // at hand when they are wanted
