/** Uploads and the jobs that follow them: a card for each while it runs, and what failed with its reason. */

import { follow, get, remove, upload } from "./api.js";
import { count, h, icon, iconButton, remember, remembered } from "./dom.js";
import { attempt, notify, notifyOf, typed } from "./notices.js";
import { duration, size } from "./text.js";

const GOES_AFTER_MS = 4000;
const JOBS_LOOKED_AT = 5;

/** The uploads of a collection; `changed()` is called when documents have come. */
export function uploads(app, collection, changed) {
  const element = h("div", { class: "uploads", role: "group", "aria-label": "Uploads" });
  const files = new Map(); // by their id, to send one again with its password

  async function add(chosen) {
    const most = app.limits.max_documents_per_request ?? chosen.length;
    for (let start = 0; start < chosen.length; start += most) await send(chosen.slice(start, start + most));
  }

  async function send(batch, password) {
    for (const one of batch) files.set(one.name, one.file);
    const bytes = batch.reduce((sum, one) => sum + one.file.size, 0);
    const controller = new AbortController();
    const card = jobCard(`${count(batch.length, "file")}, ${size(bytes)}`, () => controller.abort());
    element.prepend(card.element);
    try {
      const onprogress = (share) => card.progress(share, share < 1 ? "Sending" : "Accepting");
      const { job } = await upload(collection, batch, { password, onprogress, signal: controller.signal });
      await watch(job.id, card);
    } catch (error) {
      card.element.remove();
      notifyOf(error);
    }
  }

  async function watch(id, card) {
    card.onstop(() => attempt(() => remove(`/v1/jobs/${encodeURIComponent(id)}`)));
    let last = null;
    for await (const job of follow(id)) {
      card.progress(job.total ? job.done / job.total : 1, progressOf(job));
      if (last && job.done !== last.done) changed();
      last = job;
    }
    end(await get(`/v1/jobs/${encodeURIComponent(id)}`), card);
  }

  /** A job that has ended: what came of it, and the failures, which stay until they are closed. */
  function end(job, card) {
    const failed = (job.documents ?? []).filter((one) => one.status === "failed");
    const ready = job.done - job.failed;
    const said = job.status === "cancelled" ? `Cancelled; ${count(ready, "document")} had been added` : `${count(ready, "document")} added`;
    card.end(said, failed.map(failure), () => remember(`closed.${job.id}`, "1"));
    if (!failed.length) setTimeout(() => card.element.remove(), GOES_AFTER_MS);
    changed();
  }

  function failure({ id, error, code }) {
    const file = files.get(id);
    const needsPassword = file && ["encrypted", "wrong_password"].includes(code);
    return h("li", { class: "failed" }, h("strong", {}, id), h("span", {}, error ?? "It failed."),
      needsPassword ? h("button", { type: "button", onclick: () => withPassword(id, file) }, "Enter its password") : null);
  }

  async function withPassword(id, file) {
    const password = await typed(`Password of ${id}`, "Password", "Send again", { type: "password" });
    if (password) await send([{ file, name: id }], password);
  }

  /** Jobs that were under way before this page was opened, and the latest failures. */
  async function resume() {
    const { jobs } = await get(`/v1/jobs?collection=${encodeURIComponent(collection)}`).catch(() => ({ jobs: [] }));
    for (const job of jobs.slice(0, JOBS_LOOKED_AT).filter((one) => !remembered(`closed.${one.id}`))) {
      if (job.status === "running") attempt(() => watch(job.id, newCard(job)));
      else if (job.failed) attempt(async () => end(await get(`/v1/jobs/${encodeURIComponent(job.id)}`), newCard(job)));
    }
  }

  function newCard(job) {
    const card = jobCard(count(job.total, "document"), () => {});
    element.append(card.element);
    return card;
  }

  return { element, add, resume };
}

function progressOf({ total, done, failed, progress }) {
  const parts = [`${done.toLocaleString("en")} of ${count(total, "document")}`];
  if (failed) parts.push(`${failed} failed`);
  if (progress?.passages) parts.push(count(progress.passages, "passage"));
  if (progress?.rate) parts.push(`${progress.rate.toFixed(1)} a second`);
  if (progress?.seconds_left) parts.push(`${duration(progress.seconds_left)} left`);
  return parts.join(" · ");
}

function jobCard(title, stop) {
  const bar = h("progress", { max: 1, value: 0, "aria-label": title });
  const text = h("p", { class: "hint", role: "status" });
  const button = iconButton("close", "Cancel", () => stop());
  const failures = h("ul", { class: "failures" });
  const element = h("section", { class: "job", "aria-label": title },
    h("header", {}, icon("upload"), h("strong", {}, title), text, button), bar, failures);
  return {
    element,
    onstop: (action) => { stop = action; },
    progress(share, what) {
      bar.value = share;
      text.textContent = what;
    },
    end(what, failed, closed) {
      bar.remove();
      text.textContent = failed.length ? `${what}, ${failed.length} failed` : what;
      button.setAttribute("aria-label", "Close");
      button.title = "Close";
      stop = () => {
        element.remove();
        closed();
      };
      failures.replaceChildren(...failed);
      if (failed.length) notify(`${count(failed.length, "document")} failed.`);
    },
  };
}
