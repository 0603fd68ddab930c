// Nodes. `element` is the part of the page that a script belongs to; Gradio hands it over.

import { coloured } from './maps.js';

/** @import { Box } from './maps.js' */

export const $ = (selector) => element.querySelector(selector);
export const $$ = (selector) => [...element.querySelectorAll(selector)];

/** A node with a text, or none, and attributes. */
export function make(tag, text, attributes = {}) {
  const node = document.createElement(tag);
  if (text !== null) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

export function clear(node) {
  node.replaceChildren();
  return node;
}

/** A text that may stay: written anew, it would be read aloud once more. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Whether the text of a box came to the clipboard. The old way asks nobody, and works over http and in frames, too.
 * @param {HTMLTextAreaElement} box
 */
export async function copied(box) {
  box.focus();
  box.select();
  if (document.execCommand('copy')) return true;
  try {
    await navigator.clipboard.writeText(box.value);
    return true;
  } catch {
    return false;
  }
}

/** A text that is hidden where there is none. */
export function tell(node, text) {
  node.textContent = text;
  node.hidden = !text;
}

/**
 * The colours of a heat, a pixel a value, on the whole of a canvas.
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} heat (H W,) in 0..1
 * @param {Uint8Array} palette
 */
export function paint(canvas, heat, palette) {
  const image = new ImageData(coloured(heat, palette), canvas.width, canvas.height);
  canvas.getContext('2d').putImageData(image, 0, 0);
}

/**
 * A canvas of its own, painted.
 * @returns {HTMLCanvasElement}
 */
export function painted(heat, palette, H, W) {
  const canvas = make('canvas', null, { width: W, height: H });
  paint(canvas, heat, palette);
  return canvas;
}

/**
 * Puts a node round a part of what it lies in; hides it where there is none.
 * @param {Box | null} box left, top, right, bottom in 0..1
 */
export function frame(node, box) {
  node.hidden = !box;
  if (!box) return;
  const [l, t, r, b] = box.map((v) => 100 * v);
  Object.assign(node.style, { left: `${l}%`, top: `${t}%`, width: `${r - l}%`, height: `${b - t}%` });
}
