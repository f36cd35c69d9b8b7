/** Conversations that the service keeps. */

import { get, post, remove } from "./api.js";

const path = (id, ...parts) => ["/v1/conversations", encodeURIComponent(id), ...parts].join("/");
const LISTED = 50;
const TITLE_LENGTH = 80;

export const conversations = {
  /** The newest ones; null where none are kept for this reader, whose key is limited to collections or tags. */
  list: [],

  async load() {
    try {
      conversations.list = (await get(`/v1/conversations?limit=${LISTED}`)).conversations;
    } catch (error) {
      if (error.code !== "key_is_limited") throw error;
      conversations.list = null;
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
