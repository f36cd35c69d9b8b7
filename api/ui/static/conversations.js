/** Conversations that the service keeps. */

import { get, post, remove } from "./api.js";

const path = (id, ...parts) => ["/v1/conversations", encodeURIComponent(id), ...parts].join("/");
const LISTED = 50;
const TITLE_LENGTH = 80;

export const conversations = {
  /** The newest ones. */
  list: [],

  /** Whether this reader's are: not where the key is limited to collections or tags, or may only read. */
  kept: true,

  async load() {
    try {
      conversations.list = (await get(`/v1/conversations?limit=${LISTED}`)).conversations;
    } catch (error) {
      if (error.code !== "key_is_limited") throw error;
      conversations.kept = false;
    }
  },

  /** What `ask` gives, which is told whether to keep it; once more, if this reader may only read. */
  async keeping(ask) {
    try {
      return await ask(conversations.kept);
    } catch (error) {
      if (error.code !== "scope_missing" || !conversations.kept) throw error;
      conversations.kept = false;
      return ask(false);
    }
  },

  /** A new one that begins with `question`; its id. */
  async begin(question, model, collection) {
    const title = [...question].slice(0, TITLE_LENGTH).join("");
    return (await post("/v1/conversations", { title, model, retrieval: { collection } })).id;
  },

  /** Its messages, oldest first. */
  messages: async (id) => (await get(path(id, "messages"))).messages,

  remove: (id) => remove(path(id)),
};
