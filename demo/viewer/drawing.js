// What a visitor draws on a picture: a box, or spots of a brush, in shares of its width and height.

/** @import { Region } from './wire.js' */

/** @type {Region} */
export const NOTHING_DRAWN = { box: null, spots: [] };
const BRUSH = 1 / 16; // as in hide.py
const STEP = 1 / 20; // of the picture, with the keys
const NEAR = BRUSH / 2; // spots closer than this are one
const START = [0.3, 0.3, 0.7, 0.7]; // of a box that the keys begin
const MOST = 400;

/** @param {Region} region */
export const isDrawn = ({ box, spots }) => Boolean(box || spots.length);

const inShares = (v) => Math.min(Math.max(v, 0), 1);

/** The box between two corners, whichever they are. */
export const between = ([x, y], [u, v]) => [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)];

/** A box moved or, at its right and lower side, stretched; it stays in the picture. */
export function nudged([l, t, r, b], dx, dy, stretch) {
  if (stretch) return [l, t, Math.max(inShares(r + dx), l + STEP), Math.max(inShares(b + dy), t + STEP)];
  const [x, y] = [Math.min(Math.max(dx, -l), 1 - r), Math.min(Math.max(dy, -t), 1 - b)];
  return [l + x, t + y, r + x, b + y];
}

/** One more spot, if it is not where one is. @param {Region} region @returns {Region} */
export function brushed({ spots }, [x, y]) {
  const near = spots.some(([u, v]) => Math.hypot(x - u, y - v) < NEAR);
  return { box: null, spots: near || spots.length >= MOST ? spots : [...spots, [x, y]] };
}

const SVG = 'http://www.w3.org/2000/svg';

/** What was drawn, over a picture that is as large as the drawing. @param {Region} region */
export function regionShown(svg, { box, spots }) {
  const part = (name, numbers) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(numbers)) node.setAttribute(key, value);
    return node;
  };
  const [l, t, r, b] = box ?? [];
  svg.replaceChildren(
    ...(box ? [part('rect', { x: l, y: t, width: r - l, height: b - t })] : []),
    ...spots.map(([cx, cy]) => part('ellipse', { cx, cy, rx: BRUSH, ry: BRUSH })),
  );
}

/**
 * Drag with a mouse, a finger or the keys.
 * @param {HTMLElement} node over the picture
 * @param {{ tool: () => 'box' | 'brush' | null, region: () => Region,
 *   give: (region: Region, done: boolean) => void }} hand
 */
export function watchDrawing(node, { tool, region, give }) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 1 1');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('aria-hidden', 'true');
  node.append(svg);
  let from = null;
  const at = (e) => {
    const { left, top, width, height } = node.getBoundingClientRect();
    return [inShares((e.clientX - left) / width), inShares((e.clientY - top) / height)];
  };
  const drawn = (e) => tool() === 'brush' ? brushed(region(), at(e)) : { box: between(from, at(e)), spots: [] };
  node.addEventListener('pointerdown', (e) => {
    if (!tool() || e.button) return;
    e.preventDefault();
    node.focus({ preventScroll: true });
    node.setPointerCapture(e.pointerId);
    from = at(e);
    give(tool() === 'brush' ? brushed(region(), from) : NOTHING_DRAWN, false);
  });
  node.addEventListener('pointermove', (e) => { if (from) give(drawn(e), false); });
  for (const end of ['pointerup', 'pointercancel']) {
    node.addEventListener(end, (e) => {
      if (!from) return;
      const made = drawn(e), [l, t, r, b] = made.box ?? [0, 0, 1, 1];
      from = null;
      give(r - l < STEP / 2 || b - t < STEP / 2 ? NOTHING_DRAWN : made, true); // a click is no box
    });
  }
  node.addEventListener('keydown', (e) => {
    const move = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[e.key];
    if (!tool() || !(move || e.key === 'Enter')) return;
    e.preventDefault();
    const { box } = region();
    give({ box: box && move ? nudged(box, ...move, e.shiftKey) : START, spots: [] }, true);
  });
  return svg;
}
