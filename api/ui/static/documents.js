/** Documents: what is in a collection, how it gets there, and how it goes. */

import { at, get, remove } from "./api.js";
import { count, emptyState, h, icon, iconButton } from "./dom.js";
import { chosen } from "./dropped.js";
import { attempt, confirmed, notify } from "./notices.js";
import { addSample } from "./sample.js";
import { ago, kind } from "./text.js";
import { uploads } from "./uploads.js";

const PAGE = 100;

export function documentsView(app, collection) {
  const files = h("input", { type: "file", multiple: true, hidden: true, onchange: takeFiles });
  const running = uploads(app, collection, soon);
  const rows = h("tbody");
  const table = h("table", { class: "documents", hidden: true }, h("thead", {}, h("tr", {},
    ["Document", "Kind", "Passages", "State", "Changed"].map((name) => h("th", { scope: "col" }, name)),
    h("th", { scope: "col" }, h("span", { class: "unseen" }, "Actions")))), rows);
  const more = h("button", { type: "button", hidden: true, onclick: () => attempt(next) }, "Show more");
  const empty = h("div");
  const summary = h("p", { class: "hint" });
  const element = h("section", { class: "view", "aria-label": "Documents" }, h("div", { class: "column wide" },
    h("div", { class: "toolbar" }, summary,
      h("button", { type: "button", class: "quiet danger", onclick: () => app.deleteCollection(collection) }, icon("trash"), "Delete collection"),
      h("button", { type: "button", class: "primary", "data-main-field": true, onclick: () => files.click() }, icon("upload"), "Add files"), files),
    running.element, table, more, empty));
  let after = null, isLoading = false, isStale = false, wasShown = false;

  function takeFiles() {
    running.add(chosen(files));
    files.value = "";
  }

  /** Reads the first page again, once at a time: a job says often that something has come. */
  async function soon() {
    isStale = true;
    if (isLoading) return;
    isLoading = true;
    await attempt(async () => {
      while (isStale) {
        isStale = false;
        await load();
      }
    });
    isLoading = false;
  }

  async function load() {
    const page = await get(`${at(collection, "documents")}?limit=${PAGE}`);
    rows.replaceChildren(...page.documents.map(row));
    turn(page);
    await app.refresh();
    describe();
  }

  async function next() {
    const page = await get(`${at(collection, "documents")}?limit=${PAGE}&after=${encodeURIComponent(after)}`);
    rows.append(...page.documents.map(row));
    turn(page);
  }

  function turn(page) {
    after = page.next;
    more.hidden = after === null;
    table.hidden = !rows.children.length;
    empty.replaceChildren(...(rows.children.length ? [] : [nothing()]));
  }

  function describe() {
    const { documents, points } = app.describe(collection) ?? { documents: 0, points: 0 };
    summary.textContent = documents ? `${count(documents, "document")} · ${count(points, "passage")}` : "";
  }

  function nothing() {
    return emptyState("upload", "Drop files anywhere on this page",
      "Text, Markdown, HTML, PDF and more. They are cut into passages, embedded and kept on this service.",
      h("button", { onclick: () => files.click() }, "Choose files"),
      app.collections.some((one) => one.documents) ? null
        : h("button", { onclick: () => attempt(() => addSample(app)) }, "Try it with a sample"));
  }

  function row(document_) {
    const { id, title, media_type: mediaType, passages, updated_at: changed } = document_;
    const name = title || id;
    const open = h("button", { type: "button", class: "link", onclick: () => app.reader.open({ collection, id, title }, open) }, name);
    return h("tr", {},
      h("th", { scope: "row" }, open, title && title !== id ? h("span", { class: "hint" }, id) : null),
      h("td", {}, kind(mediaType)),
      h("td", { class: "number", "data-label": "passages" }, passages.toLocaleString("en")),
      h("td", {}, h("span", { class: "state" }, "Ready")),
      h("td", { title: changed }, ago(changed)),
      h("td", {}, iconButton("trash", `Delete ${name}`, () => deleteDocument(id, name))));
  }

  async function deleteDocument(id, name) {
    if (!(await confirmed("Delete this document?", name, "Delete"))) return;
    await attempt(async () => {
      await remove(at(collection, "documents", id));
      app.reader.closeIf(collection, id);
      notify(`“${name}” is deleted.`);
      await soon();
    });
  }

  function show() {
    if (!wasShown) running.resume();
    wasShown = true;
    soon();
  }

  return { element, show, add: running.add };
}
