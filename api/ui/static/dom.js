/**
 * Elements from plain values. A string becomes text and nothing else: neither here nor anywhere else on this
 * page is one parsed as markup, and the policy that the page is sent with forbids it.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. Functions among `properties` are listeners (`onclick`), `true` is an attribute without a value,
 * `false`, null and undefined are left out. Children that are null or false are left out.
 */
export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) set(node, name, value);
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function set(node, name, value) {
  if (value === false || value === null || value === undefined) return;
  if (typeof value === "function" || name === "value") node[name] = value;
  else node.setAttribute(name, value === true ? "" : value);
}

/** One of the symbols of index.html; it says nothing to those who cannot see it. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#${name}`);
  svg.append(use);
  return svg;
}

/** A button of an icon alone, named for everybody. */
export function iconButton(name, label, onclick, properties = {}) {
  return h("button", { type: "button", class: "quiet", "aria-label": label, title: label, onclick, ...properties },
    icon(name));
}

/** What a view shows while there is nothing: an icon, what that means, what to do. */
export function emptyState(name, title, text, ...actions) {
  return h("div", { class: "empty" }, icon(name), h("h2", {}, title), h("p", {}, text),
    actions.length ? h("div", { class: "actions" }, actions) : null);
}

/** Radio buttons that look like one control; `onchange` hears the value. */
export function segments(label, options, chosen, onchange) {
  const name = `segments-${label.toLowerCase().replaceAll(" ", "-")}`;
  return h("fieldset", { class: "segments" }, h("legend", { class: "unseen" }, label),
    options.map(([value, text, title]) => h("label", { title },
      h("input", { type: "radio", name, value, checked: value === chosen, onchange: () => onchange(value) }),
      h("span", {}, text))));
}

/** "1 document", "2,400 documents". */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** localStorage, which may be switched off. */
export function remembered(key) {
  try {
    return localStorage.getItem(`embedd.${key}`);
  } catch {
    return null;
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(`embedd.${key}`, value);
  } catch {
    // then it is forgotten with the page
  }
}
