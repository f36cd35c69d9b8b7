/** Collections, conversations, and what belongs to the page itself. */

import { count, h, icon, iconButton, remember } from "./dom.js";
import { forgetKey, hasKey } from "./key.js";
import { attempt, confirmed, showKeys } from "./notices.js";

const THEMES = { auto: "light", light: "dark", dark: "auto" };

export function sidebar(app, element) {
  const collections = h("ul");
  const talks = h("section", { "aria-label": "Conversations" });
  const status = h("p", { class: "status", role: "status" });
  const version = h("span", { class: "version" });
  const theme = iconButton("theme", "", () => switchTheme(theme));
  const forget = iconButton("key", "Forget the API key", forgetKey);
  nameTheme(theme);
  element.append(
    h("div", { class: "brand" }, icon("map"), h("span", {}, "embedd"), version,
      iconButton("close", "Close the menu", () => close(), { class: "quiet only-narrow" })),
    h("section", { "aria-label": "Collections" },
      h("div", { class: "heading" }, h("h2", {}, "Collections"),
        iconButton("plus", "New collection", app.createCollection)),
      collections),
    talks,
    status,
    h("footer", {}, theme, iconButton("keys", "Keyboard", showKeys), forget,
      h("a", { class: "button quiet", href: "/docs", title: "The HTTP API" }, icon("api"), "API")),
  );

  function render() {
    collections.replaceChildren(...app.collections.map((one) => collectionLink(app, one)));
    const list = app.conversations.list;
    forget.hidden = !hasKey();
    talks.hidden = !list.length;
    talks.replaceChildren(h("div", { class: "heading" }, h("h2", {}, "Conversations")),
      h("ul", {}, list.map((one) => conversationLink(app, one))));
    close();
  }

  function close() {
    const wasOpen = element.classList.contains("open");
    element.classList.remove("open");
    return wasOpen;
  }

  return {
    render,
    close,
    toggle: () => {
      if (element.classList.toggle("open")) element.querySelector("a, button").focus();
    },
    describe: (info) => { version.textContent = info.version; },
    tell: (text) => { status.textContent = text; },
  };
}

function collectionLink(app, { name, documents }) {
  const current = name === app.collection;
  return h("li", {}, h("a", { href: `#/${name}/${app.view}`, "aria-current": current ? "true" : null },
    h("span", { class: "name" }, name),
    h("span", { class: "count", title: count(documents, "document") }, documents.toLocaleString("en"))));
}

function conversationLink(app, conversation) {
  const { id, title, retrieval } = conversation;
  const collection = app.describe(retrieval?.collection) ? retrieval.collection : app.collection;
  const current = app.view === "ask" && app.rest === id;
  return h("li", {},
    h("a", { href: `#/${collection}/ask/${encodeURIComponent(id)}`, "aria-current": current ? "page" : null },
      h("span", { class: "name" }, title || "Untitled")),
    iconButton("trash", `Delete the conversation “${title || "Untitled"}”`, () => deleteConversation(app, conversation)));
}

async function deleteConversation(app, { id, title }) {
  if (!(await confirmed("Delete this conversation?", title || "Untitled", "Delete conversation"))) return;
  await attempt(async () => {
    await app.conversations.remove(id);
    if (app.rest === id) app.go(app.collection, "ask");
    await app.refresh();
  });
}

function switchTheme(button) {
  const next = THEMES[document.documentElement.dataset.theme];
  document.documentElement.dataset.theme = next;
  remember("theme", next);
  nameTheme(button);
  window.dispatchEvent(new Event("themechange"));
}

function nameTheme(button) {
  const label = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" }[document.documentElement.dataset.theme];
  button.title = label;
  button.setAttribute("aria-label", label);
}
