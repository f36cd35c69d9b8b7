/** Files from a drop: those of folders as well, named by their way from the folder that was dropped. */

import { h } from "./dom.js";

/** Calls `take([{file, name}])` for whatever is dropped on `target`. */
export function dropped(target, take) {
  const cover = h("div", { class: "cover", hidden: true, "aria-hidden": "true" }, h("p", {}, "Drop files to add them"));
  target.append(cover);
  let depth = 0;
  const brings = (event) => event.dataTransfer?.types.includes("Files");
  const turn = (change) => (event) => {
    if (!brings(event)) return;
    event.preventDefault();
    depth = Math.max(0, depth + change);
    cover.hidden = depth === 0;
  };
  target.addEventListener("dragenter", turn(1));
  target.addEventListener("dragleave", turn(-1));
  target.addEventListener("dragover", turn(0));
  target.addEventListener("drop", async (event) => {
    if (!brings(event)) return;
    event.preventDefault();
    depth = 0;
    cover.hidden = true;
    take(await filesOf(event.dataTransfer));
  });
}

/** Files of an `<input type=file>`; those of a folder bring their way. */
export function chosen(input) {
  return [...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name }));
}

async function filesOf(transfer) {
  // The items are gone after the first await: their entries are taken before.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, name: file.name }));
  return (await Promise.all(entries.map(filesUnder))).flat();
}

async function filesUnder(entry) {
  if (entry.name.startsWith(".")) return [];
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    return [{ file, name: entry.fullPath.replace(/^\//, "") }];
  }
  return (await Promise.all((await children(entry)).map(filesUnder))).flat();
}

/** A folder's entries, which come a hundred at a time. */
async function children(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return found;
    found.push(...some);
  }
}
