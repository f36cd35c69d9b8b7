/** Ask: a conversation over a collection. */

import { events } from "./api.js";
import { answer } from "./answer.js";
import { count, emptyState, h, icon } from "./dom.js";
import { attempt } from "./notices.js";
import { sampleQuestions } from "./sample.js";

export function askView(app, collection) {
  const log = h("div", { class: "log", role: "log", "aria-label": "Conversation", tabindex: "0" });
  const field = h("textarea", {
    rows: 1, placeholder: "Ask your documents…", "aria-label": "Your question", "data-main-field": true,
    oninput: grow, onkeydown: onKey,
  });
  const button = h("button", { class: "primary round", "aria-label": "Send", title: "Send" }, icon("send"));
  const generators = h("select", { "aria-label": "Who answers", hidden: app.generators.length < 2 },
    app.generators.map((name) => h("option", { selected: name === app.generator }, name)));
  const again = h("button", { type: "button", class: "quiet again", onclick: startAnew },
    icon("plus"), "New conversation");
  const composer = h("form", { class: "composer", onsubmit },
    h("div", { class: "field" }, field, button),
    h("div", { class: "below-field" }, again, generators));
  const element = h("section", { class: "view ask", "aria-label": "Ask" }, log, composer);
  const state = { turns: [], conversation: "", opening: null, running: null };

  function onsubmit(event) {
    event.preventDefault();
    if (state.running) return stop();
    const text = field.value.trim();
    if (!text) return field.focus();
    field.value = "";
    grow();
    attempt(() => send(text));
  }

  function onKey(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      composer.requestSubmit();
    }
  }

  function grow() {
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight, 200)}px`;
  }

  function startAnew() {
    if (state.conversation) app.go(collection, "ask");
    else attempt(() => load(""));
    field.focus();
  }

  function stop() {
    state.running?.abort();
  }

  function open(source, button) {
    const quotes = [[source.start, source.end]];
    app.reader.open({ collection, id: source.document_id, title: source.title, page: source.page, quote: source.quote, quotes }, button);
  }

  async function send(text) {
    await state.opening?.catch(() => {}); // what was said before comes first
    const shown = answer(open);
    log.querySelector(".empty")?.remove();
    log.append(h("article", { class: "question", "aria-label": "Question" }, text), shown.element);
    shown.element.scrollIntoView({ block: "end" });
    const { turns } = state; // another conversation may be opened meanwhile
    turns.push({ role: "user", content: text });
    const controller = run(new AbortController());
    try {
      shown.finish(await app.conversations.keeping(async (kept) => {
        if (kept) await begin(text);
        return receive(shown, turns, kept, controller.signal);
      }));
      turns.push({ role: "assistant", content: shown.text });
    } catch (error) {
      shown.finish(error.name === "AbortError" ? { stopped: true } : { error });
      if (error.name === "AbortError") turns.push({ role: "assistant", content: shown.text });
      else turns.pop();
    } finally {
      if (state.running === controller) run(null);
      attempt(app.refresh);
    }
  }

  /** Switches between what sends and what stops. */
  function run(controller) {
    state.running = controller;
    const label = controller ? "Stop" : "Send";
    button.replaceChildren(icon(label.toLowerCase()));
    button.setAttribute("aria-label", label);
    button.title = label;
    again.hidden = !state.turns.length;
    return controller;
  }

  async function begin(text) {
    if (state.conversation) return;
    state.conversation = await app.conversations.begin(text, generators.value, collection);
    if (app.collection === collection && app.view === "ask") {
      app.go(collection, "ask", state.conversation, { replace: true });
    }
  }

  /** Reads the stream into `shown`; gives how it ended. */
  async function receive(shown, turns, kept, signal) {
    const body = {
      model: generators.value, retrieval: { collection }, stream: true,
      ...(kept && state.conversation ? { messages: turns.slice(-1), conversation: state.conversation } : { messages: turns }),
    };
    let grounding, sources;
    for await (const chunk of events("POST", "/v1/chat/completions", body, signal)) {
      const follows = isAtEnd();
      sources = chunk.sources ?? sources;
      grounding = chunk.grounding ?? grounding;
      shown.add(chunk.choices[0]?.delta.content ?? "", chunk.sources);
      if (follows) log.scrollTop = log.scrollHeight;
    }
    return { grounding, abstained: sources?.length === 0 };
  }

  function isAtEnd() {
    return log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  }

  /** What there is to say before anything is asked. */
  async function greet() {
    const { documents } = app.describe(collection);
    log.replaceChildren(documents
      ? emptyState("ask", `Ask ${count(documents, "document")}`, "Answers quote them, sentence by sentence. Each [n] opens the place.")
      : emptyState("documents", "Nothing to ask yet", "This collection has no documents.",
        h("button", { class: "primary", onclick: () => app.go(collection, "documents") }, icon("upload"), "Add documents")));
    const questions = documents ? await sampleQuestions(collection) : [];
    log.querySelector(".empty")?.append(h("div", { class: "actions" },
      questions.map((text) => h("button", { onclick: () => attempt(() => send(text)) }, text))));
  }

  async function load(conversation) {
    stop();
    state.conversation = conversation;
    state.opening = null;
    state.turns = [];
    run(null);
    if (!conversation) return greet();
    log.replaceChildren();
    const opening = app.conversations.messages(conversation);
    state.opening = opening;
    const messages = await opening;
    if (state.opening !== opening) return; // another one was opened meanwhile
    for (const message of messages) restore(message);
    run(null);
    log.scrollTop = log.scrollHeight;
  }

  function restore({ role, content, sources, grounding, finish_reason: reason }) {
    state.turns.push({ role, content });
    if (role === "user") return log.append(h("article", { class: "question", "aria-label": "Question" }, content));
    const shown = answer(open);
    log.append(shown.element);
    shown.add(content, sources);
    shown.finish({ grounding, abstained: sources?.length === 0, stopped: reason === "cancelled" });
  }

  function show(rest) {
    if (rest !== state.conversation || !state.turns.length) attempt(() => load(rest));
    if (matchMedia("(hover: hover)").matches) field.focus();
  }

  return { element, show, stop, rest: () => state.conversation };
}
