/** The service's routes as functions. What it refuses is thrown as a `ServiceError` with its own message. */

import { withKey } from "./key.js";

export class ServiceError extends Error {
  constructor(status, detail, retryAfterS) {
    super(detail.message);
    this.status = status;
    this.code = detail.code;
    this.retryAfterS = retryAfterS;
  }
}

/** The address of a collection, and of what is in it; every part is escaped. */
export const at = (collection, ...parts) =>
  ["/v1/collections", ...[collection, ...parts].map(encodeURIComponent)].join("/");

export const get = (path, signal) => ask("GET", path, undefined, signal);
export const post = (path, body, signal) => ask("POST", path, body, signal);
export const put = (path, body) => ask("PUT", path, body);
export const remove = (path) => ask("DELETE", path);

async function ask(method, path, body, signal) {
  return (await send(method, path, body, signal)).json();
}

function send(method, path, body, signal) {
  return withKey(async (headers) => {
    const options = { method, signal, headers };
    if (body !== undefined) {
      options.body = JSON.stringify(body);
      headers["Content-Type"] = "application/json";
    }
    const response = await reach(path, options);
    if (!response.ok) throw await refusal(response);
    return response;
  });
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError(0, { message: "The service cannot be reached.", code: "unreachable" });
  }
}

async function refusal(response) {
  const text = await response.text();
  return new ServiceError(response.status, detailOf(text, response.status), Number(response.headers.get("Retry-After")));
}

/** What went wrong, from an error's body; proxies send bodies of their own. */
function detailOf(text, status) {
  try {
    const { error } = JSON.parse(text);
    if (error?.message) return error;
  } catch {
    // not the service's
  }
  return { message: `The service answered ${status}.`, code: "unknown" };
}

/** The events of a stream (server-sent events over fetch), until it says [DONE]. */
export async function* events(method, path, body, signal) {
  const response = await send(method, path, body, signal);
  let rest = "";
  for await (const piece of decoded(response.body)) {
    const frames = (rest + piece).split("\n\n");
    rest = frames.pop();
    for (const frame of frames.filter((one) => one.startsWith("data:"))) {
      const data = frame.replace(/^data: ?/, "");
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new ServiceError(200, event.error);
      yield event;
    }
  }
}

async function* decoded(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError(0, { message: "The connection broke.", code: "unreachable" });
  } finally {
    reader.cancel().catch(() => {});
  }
}

const POLL_MS = 500;

/** A job again and again until it has ended: as a stream, or by asking where something on the way holds that back. */
export async function* follow(id, signal) {
  const path = `/v1/jobs/${encodeURIComponent(id)}`;
  let job;
  try {
    for await (job of events("GET", `${path}/events`, undefined, signal)) yield job;
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  while (job === undefined || job.status === "running") {
    job = await get(path, signal);
    yield job;
    if (job.status === "running") await new Promise((done) => setTimeout(done, POLL_MS));
  }
}

/** Sends files as a form; `onprogress` hears the share that has been sent. fetch does not tell that. */
export function upload(collection, files, { password, onprogress, signal }) {
  const form = new FormData();
  for (const { file, name } of files) form.append("file", file, name);
  if (password) form.append("password", password);
  return withKey((headers) => sendForm(at(collection, "documents"), form, headers, { onprogress, signal }));
}

function sendForm(path, form, headers, { onprogress, signal }) {
  const request = new XMLHttpRequest();
  return new Promise((done, failed) => {
    request.upload.onprogress = (event) => onprogress(event.loaded / (event.total || 1));
    request.onload = () => {
      if (request.status < 300) done(JSON.parse(request.responseText));
      else failed(new ServiceError(request.status, detailOf(request.responseText, request.status)));
    };
    request.onerror = () => failed(new ServiceError(0, { message: "The upload broke off.", code: "unreachable" }));
    request.onabort = () => failed(new DOMException("cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.open("POST", path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.send(form);
  });
}
