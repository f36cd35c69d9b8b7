/** The API key that the reader gives where the service asks for one. This tab keeps it, until it is closed. */

import { typed } from "./notices.js";

const PLACE = "embedd.key";
const REFUSED = 401;

let key = kept();
let asking = null;

export const hasKey = () => key !== "";

/** What `request` gives, which is called with the headers that carry the key: again, as often as another one comes. */
export async function withKey(request) {
  for (;;) {
    const sent = key;
    try {
      return await request(sent ? { Authorization: `Bearer ${sent}` } : {});
    } catch (error) {
      if (error.status !== REFUSED || !(await another(sent, error.message))) throw error;
    }
  }
}

/** Whether there is another key than the one that was refused; the reader is asked once, however many requests wait. */
async function another(refused, why) {
  if (key !== refused) return true;
  asking ??= ask(why).finally(() => { asking = null; });
  return asking;
}

async function ask(why) {
  const given = await typed("This service asks for a key", "API key", "Use this key", {
    type: "password", pattern: "[!-~]+", spellcheck: "false", hint: why,
  });
  if (given) keep(given);
  return Boolean(given);
}

export function forgetKey() {
  keep("");
  location.reload();
}

function kept() {
  try {
    return sessionStorage.getItem(PLACE) ?? "";
  } catch {
    return "";
  }
}

function keep(value) {
  key = value;
  try {
    if (value) sessionStorage.setItem(PLACE, value);
    else sessionStorage.removeItem(PLACE);
  } catch {
    // then it is forgotten with the page
  }
}
