// What the steps of "How it is made" are drawn with: grids with their scales, and how they stand on the page.

import { $, make, painted } from './dom.js';
import { inside, lightness, printed, toneOf } from './maps.js';
import { digits, number } from './words.js';

const NUMBERED = 8; // cells a side at most of a grid whose cells show their numbers

/**
 * A grid as it is drawn.
 * @typedef {object} Drawn
 * @property {number} h
 * @property {number} w
 * @property {Float32Array} data (h w,)
 * @property {Float32Array} unit the same in 0..1
 * @property {number} top what the end of the colours stands for
 * @property {boolean} round whether zero is in the middle of the colours
 * @property {Uint8Array} palette
 */

// ---- grids -------------------------------------------------------------------------------------

/**
 * A cell a pixel.
 * @param {Drawn} drawn
 */
export function cells({ unit, palette, h, w }) {
  const canvas = painted(unit, palette, h, w);
  canvas.className = 'gl-cells';
  return canvas;
}

export function area(...nodes) {
  const node = make('div', null, { class: 'gl-area' });
  node.append(...nodes);
  return node;
}

/** @param {Drawn} drawn */
function numbersIn({ data, unit, palette, w }, print) {
  const holder = make('div', null, { class: 'gl-digits' });
  holder.style.cssText = `--w: ${w}; grid-template-columns: repeat(${w}, 1fr)`;
  data.forEach((v, n) => {
    const cell = make('span', digits(v, print));
    cell.style.color = lightness(palette, toneOf(unit[n])) > 117 ? '#000' : '#fff';
    holder.append(cell);
  });
  return holder;
}

/**
 * Where cells are too small or too many for their numbers: the number of the one that is pointed at.
 * @param {HTMLCanvasElement} canvas of these cells
 * @param {{ h: number, w: number, values: Float32Array }} field
 * @param {number} [at] the cell that is read first
 */
export function reader(canvas, { h, w, values }, print, exact, at) {
  const line = make('span', 'Point at a cell to read it', { class: 'gl-read' });
  const read = (n) => {
    const said = `${exact ? '' : 'about '}${digits(values[n], print)}${print.unit === 1 ? '' : ` × ${print.unit}`}`;
    line.textContent = `row ${Math.floor(n / w) + 1}, column ${n % w + 1}: ${said}`;
  };
  const point = ({ offsetX: x, offsetY: y }) => {
    const [i, j] = inside([Math.floor(h * y / canvas.clientHeight), Math.floor(w * x / canvas.clientWidth)], h, w);
    read(i * w + j);
  };
  for (const name of ['pointermove', 'pointerdown']) canvas.addEventListener(name, point);
  if (at !== undefined) read(at);
  return line;
}

/**
 * The colours and what they stand for.
 * @param {Drawn} drawn
 */
function scaleOf({ top, round, palette }) {
  const holder = make('div', null), bar = make('div', null, { class: 'gl-bar' });
  const ticks = make('div', null, { class: 'gl-ticks' });
  const stops = Array.from({ length: 17 }, (_, n) => {
    const tone = toneOf(n / 16);
    return `rgb(${palette.subarray(3 * tone, 3 * tone + 3).join()})`;
  });
  bar.style.background = `linear-gradient(to right, ${stops.join()})`;
  ticks.append(...(round ? [-top, 0, top] : [0, top]).map((v) => make('span', number(v))));
  holder.append(bar, ticks);
  return holder;
}

/**
 * A grid with its scale; in few cells their numbers. `again` makes another, to be shown by itself.
 * @param {Drawn} drawn
 * @param {boolean} exact whether its numbers are those of the network, not out of bytes
 */
export function sheet(drawn, exact) {
  const holder = make('div', null, { class: 'gl-sheet' }), canvas = cells(drawn), field = area(canvas);
  const print = printed(drawn.top), { h, w, data: values } = drawn;
  holder.append(field, scaleOf(drawn));
  if (exact && Math.max(h, w) <= NUMBERED) {
    field.append(numbersIn(drawn, print));
    if (print.unit !== 1) holder.append(make('div', `In the cells: units of ${print.unit}.`, { class: 'gl-unit' }));
  } else {
    holder.append(reader(canvas, { h, w, values }, print, exact));
  }
  holder.again = () => sheet(drawn, exact);
  return holder;
}

// ---- how they stand on the page ----------------------------------------------------------------

export function image(src, alt) {
  const node = make('img', null, { alt });
  node.src = src;
  return node;
}

export function figure(node, text, side = 240, more = '') {
  const holder = make('figure', null), caption = make('figcaption', text + more);
  holder.style.flex = `0 1 ${side}px`;
  holder.append(node, caption);
  if (node.again) {
    const button = make('button', 'Enlarge', { type: 'button', class: 'gl-link' });
    button.onclick = () => enlarge(node.again(), text);
    caption.append(' ', button);
  }
  return holder;
}

/** As large as the screen, for the last row of a classroom. Esc, the button or a click beside it close. */
function enlarge(node, text) {
  const large = $('.gl-large');
  large.querySelector('h3').textContent = text;
  large.querySelector('div').replaceChildren(node);
  large.showModal();
}

/** A figure of which the whole stays on the screen, of a portrait too. */
export function photo(node, text, [H, W], side = 300, high = 55) {
  const holder = figure(node, text, 0);
  holder.style.flexBasis = node.style.width = `min(${side}px, ${high * W / H}vh)`;
  node.style.maxWidth = '100%';
  holder.style.minWidth = '7em';
  return holder;
}

export function row(...nodes) {
  const holder = make('div', null, { class: 'gl-row' });
  holder.append(...nodes);
  return holder;
}

/**
 * Buttons with a grid each.
 * @param {{ k: number }[]} list of channels
 * @param {(item: object) => Drawn} draw
 * @param {(item: object) => string} label
 * @param {(item: object, n: number) => void} act
 */
export function tiles(list, draw, label, act) {
  const holder = make('div', null, { class: 'gl-tiles' });
  list.forEach((item, n) => {
    const button = make('button', null, { type: 'button', 'aria-label': label(item) });
    button.append(cells(draw(item)), make('span', `#${item.k}`));
    button.onclick = () => act(item, n);
    holder.append(button);
  });
  return holder;
}

/** A range with a text above it: [the label, the text, the range]. */
export function slider(text, attributes, move) {
  const label = make('label', null), title = make('span', text);
  const input = make('input', null, { type: 'range', ...attributes });
  input.oninput = () => move(Number(input.value));
  label.append(title, input);
  return [label, title, input];
}

/**
 * A table of texts.
 * @param {string[][]} lines the first are its heads
 * @param {number} bold which line is bold
 */
export function table(lines, bold) {
  const holder = make('table', null);
  lines.forEach((texts, n) => {
    const line = make('tr', null);
    line.append(...texts.map((text) => n ? make('td', text) : make('th', text, { scope: 'col' })));
    if (n === bold) line.style.fontWeight = 700;
    holder.append(line);
  });
  return holder;
}
