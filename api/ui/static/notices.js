/** What is said beside the views: short notices, questions in dialogs, the list of keys. */

import { h, iconButton } from "./dom.js";

const SHOWN_MS = 6000;

/** A notice that goes by itself; errors stay until they are closed. */
export function notify(message, { error = false } = {}) {
  const notice = h("div", { class: error ? "notice error" : "notice", role: error ? "alert" : null },
    h("p", {}, message), iconButton("close", "Close this notice", () => notice.remove()));
  document.getElementById("notices").append(notice);
  if (!error) setTimeout(() => notice.remove(), SHOWN_MS);
}

/** Says what the service said, unless the reader has cancelled the request. */
export function notifyOf(error) {
  if (error.name === "AbortError") return;
  const again = error.retryAfterS > 0 ? ` Try again in ${error.retryAfterS} s.` : "";
  notify(`${error.message}${again}`, { error: true });
}

/** Runs `action` and says what went wrong, if something did. */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    notifyOf(error);
    return undefined;
  }
}

/** Resolves to true if the reader agrees. */
export async function confirmed(title, text, verb) {
  return (await dialog(title, [h("p", {}, text)], verb, "danger")) !== null;
}

/** Resolves to what was typed into one field, or to null. */
export async function typed(title, label, verb, { hint, ...properties } = {}) {
  const input = h("input", { id: "typed", required: true, autocomplete: "off", "aria-describedby": hint && "hint", ...properties });
  const said = hint ? h("p", { class: "hint", id: "hint" }, hint) : null;
  const form = await dialog(title, [h("label", { for: "typed" }, label), input, said], verb, "primary");
  return form && input.value.trim();
}

function dialog(title, content, verb, kind) {
  return new Promise((done) => {
    const form = h("form", { method: "dialog" }, h("h2", {}, title), content,
      h("div", { class: "actions" },
        h("button", { type: "button", onclick: () => box.close() }, "Cancel"),
        h("button", { class: kind }, verb)));
    const box = h("dialog", { "aria-label": title }, form);
    let agreed = false;
    form.onsubmit = () => { agreed = true; };
    box.onclose = () => { box.remove(); done(agreed ? form : null); };
    document.body.append(box);
    box.showModal();
  });
}

const KEYS = [
  ["Ctrl K", "Write a question or a search"], ["Alt 1 … Alt 4", "Ask, Search, Documents, Map"],
  ["Enter", "Send; Shift Enter begins a new line"], ["Esc", "Stop an answer, close the document"],
  ["↑ ↓ ← →", "On the map: the next passage in this direction"],
];

/** The keys that this page knows. */
export function showKeys() {
  const box = h("dialog", { "aria-label": "Keyboard" }, h("form", { method: "dialog" }, h("h2", {}, "Keyboard"),
    h("dl", { class: "keys" }, KEYS.map(([keys, what]) => [h("dt", {}, h("kbd", {}, keys)), h("dd", {}, what)]).flat()),
    h("div", { class: "actions" }, h("button", { class: "primary" }, "Close"))));
  box.onclose = () => box.remove();
  document.body.append(box);
  box.showModal();
}
