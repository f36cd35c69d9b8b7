/**
 * Points on a canvas. Knows places, colours and which point is chosen; nothing of documents or of the service.
 * Places are numbers from -1 to 1, x to the right and y upwards.
 */

import { h } from "./dom.js";

const MARGIN = 28;
const NEAR = 14;
const DIRECTIONS = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
const TURNED = 0.5; // of the cosine between a direction and the way to a point: within 60 degrees

/** `choose(point | null, [left, top])` hears what is under the pointer or chosen by key, `open(point)` what is wanted. */
export function plot({ choose, open }) {
  const canvas = h("canvas", {
    tabindex: "0", role: "application", "aria-label": "Map of passages. Arrow keys go to the next one, Enter opens it.",
    "aria-describedby": "map-detail",
  });
  const state = { points: [], query: null, chosen: null, colours: null };

  function draw() {
    const { width, height } = fit(canvas);
    const pen = canvas.getContext("2d");
    const paint = coloursOf(canvas);
    const found = state.points.some((point) => point.rank);
    pen.clearRect(0, 0, width, height);
    for (const point of state.points.filter((one) => !one.rank)) dot(pen, place(point), 3.5, state.colours(point), found ? 0.4 : 0.85);
    for (const point of state.points.filter((one) => one.rank)) ring(pen, place(point), state.colours(point), paint, point.rank);
    if (state.query) star(pen, place(state.query), paint);
    if (state.chosen) circle(pen, place(state.chosen), 8, paint.text);
  }

  function place({ x, y }) {
    const { clientWidth: width, clientHeight: height } = canvas;
    return [MARGIN + ((x + 1) / 2) * (width - 2 * MARGIN), MARGIN + ((1 - y) / 2) * (height - 2 * MARGIN)];
  }

  function select(point) {
    if (point === state.chosen) return;
    state.chosen = point;
    choose(point, point && place(point));
    draw();
  }

  function under({ offsetX, offsetY }) {
    const distance = (point) => Math.hypot(place(point)[0] - offsetX, place(point)[1] - offsetY);
    const nearest = leastBy(state.points, distance);
    return nearest && distance(nearest) <= NEAR ? nearest : null;
  }

  function step(event) {
    const direction = DIRECTIONS[event.key];
    if (event.key === "Enter" && state.chosen) return open(state.chosen);
    if (!direction || !state.points.length) return;
    event.preventDefault();
    select(state.chosen ? next(state.points, state.chosen, direction) ?? state.chosen : leastBy(state.points, (one) => one.rank ?? 1000));
  }

  canvas.onpointermove = (event) => select(under(event));
  canvas.onpointerleave = () => document.activeElement === canvas || select(null);
  canvas.onclick = (event) => { const point = under(event); if (point) open(point); };
  canvas.onkeydown = step;
  canvas.onblur = () => select(null);
  new ResizeObserver(draw).observe(canvas);
  window.addEventListener("themechange", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  return {
    element: canvas,
    /** Shows `points` ({x, y, rank?}), a `query` ({x, y}) or none, each point in `colours(point)`. */
    show(points, query, colours) {
      Object.assign(state, { points, query, colours, chosen: null });
      choose(null);
      draw();
    },
    place,
  };
}

/** The next point from `from` in a direction: near, and not much to the side. */
function next(points, from, [right, up]) {
  const ahead = points.filter((point) => {
    const [dx, dy] = [point.x - from.x, point.y - from.y];
    const far = Math.hypot(dx, dy);
    return far > 0 && (dx * right + dy * up) / far > TURNED;
  });
  return leastBy(ahead, (point) => Math.hypot(point.x - from.x, point.y - from.y));
}

function leastBy(points, measure) {
  let least = null, smallest = Infinity;
  for (const point of points) {
    const value = measure(point);
    if (value < smallest) [least, smallest] = [point, value];
  }
  return least;
}

function fit(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.getContext("2d").scale(ratio, ratio);
  return { width, height };
}

function coloursOf(canvas) {
  const style = getComputedStyle(canvas);
  return { text: style.color, ground: style.backgroundColor, accent: style.outlineColor };
}

function dot(pen, [left, top], radius, colour, alpha = 1) {
  pen.globalAlpha = alpha;
  pen.fillStyle = colour;
  pen.beginPath();
  pen.arc(left, top, radius, 0, 2 * Math.PI);
  pen.fill();
  pen.globalAlpha = 1;
}

function circle(pen, [left, top], radius, colour) {
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.arc(left, top, radius, 0, 2 * Math.PI);
  pen.stroke();
}

/** A hit, with its number. */
function ring(pen, [left, top], colour, paint, rank) {
  dot(pen, [left, top], 6, colour);
  circle(pen, [left, top], 6.5, paint.text);
  pen.fillStyle = paint.text;
  pen.font = "600 11px system-ui, sans-serif";
  pen.fillText(String(rank), left + 10, top + 4);
}

/** The query. */
function star(pen, [left, top], paint) {
  pen.beginPath();
  for (let corner = 0; corner < 10; corner += 1) {
    const radius = corner % 2 ? 4.5 : 11;
    const angle = (corner * Math.PI) / 5 - Math.PI / 2;
    pen.lineTo(left + radius * Math.cos(angle), top + radius * Math.sin(angle));
  }
  pen.closePath();
  pen.fillStyle = paint.accent;
  pen.strokeStyle = paint.ground;
  pen.lineWidth = 2;
  pen.stroke();
  pen.fill();
}
