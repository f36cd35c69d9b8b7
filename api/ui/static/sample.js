/** A collection to try things with: three short documents that come with the page. */

import { at, get, post, put } from "./api.js";
import { notify } from "./notices.js";

const NAME = "sample";

export async function addSample(app) {
  const { documents } = await get("/ui/sample.json");
  await put(at(NAME), {});
  notify("Reading three short documents…");
  await post(`${at(NAME, "documents")}?wait=true`, { documents });
  await app.refresh();
  app.go(NAME, "ask");
}

/** What the sample can be asked; nothing of any other collection. */
export async function sampleQuestions(collection) {
  return collection === NAME ? (await get("/ui/sample.json")).questions : [];
}
