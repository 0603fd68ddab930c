// Keyed parts on the screen. A part that was there before moves to its new place, a new one appears when it has
// arrived, one that is gone leaves. Without motion for whoever asked for none: the style says so.

import { frame, make } from './dom.js';
import { inside } from './maps.js';
import { reader } from './sheets.js';
import { colour, laid, pictured } from './tones.js';
import { digits } from './words.js';

/** @import { Part } from './scenes.js' */

/**
 * What a part needs of the page.
 * @typedef {object} Means
 * @property {string} base address of the picture
 * @property {number[] | null} placement of the layer's cells
 * @property {(part: Part, cell: number[]) => void} pick
 * @property {(step: number) => void} go
 * @property {(name: string) => void} open
 * @property {(n: number) => void} follow
 * @property {(place: number[]) => void} point
 */

const still = matchMedia('(prefers-reduced-motion: reduce)');
const ARRIVAL = 500; // milliseconds until what is new appears, where things move

const pieceOf = (piece) => {
  const [text, how = ''] = [piece].flat();
  return how ? make('span', text, { class: how.split(' ').map((name) => `gl-${name}`).join(' ') }) : text;
};

/** A pixel a cell: the more of a colour, the larger the number. */
function grains({ field: { h, w, values }, tone, low, top, only }) {
  const canvas = make('canvas', null, { width: w, height: h, class: 'gl-cells' });
  const image = new ImageData(w, h), [ink, up, down] = ['--ink', '--gl-for', '--gl-against'].map(colour);
  values.forEach((v, n) => {
    const share = shareIn({ tone, low, top }, v), shade = tone === 'reaction' ? ink : v < 0 ? down : up;
    image.data.set([...shade, only && !only.includes(n) ? 0 : 255 * share], 4 * n);
  });
  canvas.getContext('2d').putImageData(image, 0, 0);
  return canvas;
}

/** How strong the colour of a number is, 0..1. */
const shareIn = ({ tone, low, top }, v) =>
  Math.min(tone === 'reaction' ? (v - low) / (top - low || 1) : Math.abs(v) / (top || 1), 1);

function digitsIn(part) {
  const { field: { w, values }, print, size, only, was, tone } = part;
  const holder = make('div', null, { class: 'gl-digits' });
  holder.style.cssText = `grid-template-columns: repeat(${w}, 1fr); font-size: ${size}px`;
  values.forEach((v, n) => {
    const share = shareIn(part, v), cell = make('span', only && !only.includes(n) ? '' : digits(v, print));
    cell.classList.toggle('gl-on', share > (tone === 'reaction' ? 0.58 : 0.86));
    cell.classList.toggle('gl-half', tone === 'evidence' && share > 0.64 && share <= 0.86);
    cell.classList.toggle('gl-minus', v < 0);
    cell.classList.toggle('gl-faint', v < 0 && share < 0.3);
    cell.classList.toggle('gl-was', Boolean(was?.includes(n)));
    holder.append(cell);
  });
  return holder;
}

const cellBox = (n, { h, w }) => [n % w / w, Math.floor(n / w) / h, (n % w + 1) / w, (Math.floor(n / w) + 1) / h];

/** @type {Record<string, (part: Part, means: Means) => (Node | string)[]>} */
const DRAW = {
  ask: () => [make('span', '?', { class: 'gl-ask', role: 'img', 'aria-label': 'not shown yet' })],

  text: ({ pieces }) => [make('p', null)].map((p) => { p.append(...pieces.filter(Boolean).map(pieceOf)); return p; }),

  picture: ({ grey }, { base }) => [pictured(base, grey)],

  grid(part) {
    const marks = (part.marks ?? []).map((n) => {
      const mark = make('i', null, { class: 'gl-mark' });
      frame(mark, cellBox(n, part.field));
      return mark;
    });
    const { field, print, size, only } = part, canvas = grains(part), hides = !print || only;
    const told = size ? [digitsIn(part)] : hides ? [] : [reader(canvas, field, print, field.exact, part.marks?.[0])];
    return [canvas, ...told, ...marks];
  },

  heat({ field, tone = 'evidence', smooth, w, h, placement }, { base, placement: usual }) {
    const lies = { ...field, placement: placement === undefined ? usual : placement };
    return laid(base, lies, tone, Math.round(w), Math.round(h), Boolean(smooth));
  },

  frames({ cells, said = '', line, voted }) {
    if (line) return [make('i', null, { class: 'gl-line' })];
    return cells.map((box) => {
      const mark = make('i', said, { class: voted ? 'gl-mark gl-voted' : 'gl-mark gl-said' });
      frame(mark, box);
      return mark;
    });
  },

  patch: () => [],

  bars({ rows }) {
    return rows.flatMap(({ name, share, said, strong, evidence }) => {
      const bar = make('i', null), track = make('span', null, { class: 'gl-track' });
      bar.style.width = `${100 * Math.min(Math.max(share, 0), 1)}%`;
      bar.className = evidence ? 'gl-evidence' : strong ? 'gl-first' : '';
      track.append(bar);
      const how = { class: strong ? 'gl-strong' : '' };
      return [make('span', name, how), track, make('b', said, how)];
    });
  },

  stems({ values }) {
    const high = Math.max(...values, 0), low = Math.min(...values, 0), all = high - low || 1, n = values.length;
    const svg = shapeOf('svg', { viewBox: `0 0 ${n} 1000`, preserveAspectRatio: 'none', role: 'img' });
    svg.setAttribute('aria-label', `${n} weights, the largest first`);
    const step = Math.max(1, Math.floor(n / 240)), zero = 1000 * high / all;
    for (let i = 0; i < n; i += step) {
      const v = values[i], tall = 1000 * Math.abs(v) / all, y = v > 0 ? zero - tall : zero;
      const how = v < 0 ? 'gl-fill-against' : 'gl-fill-for';
      svg.append(shapeOf('rect', { x: i, y, width: 0.86 * step, height: tall, class: how }));
    }
    svg.append(shapeOf('rect', { x: 0, y: zero - 3, width: n, height: 6, class: 'gl-fill-ink' }));
    return [svg];
  },

  sum: ({ lines, apart }) => lines.flatMap(([name, said, last]) => {
    const how = { class: last ? `gl-total${apart ? ' gl-apart' : ''}` : '' };
    return [make('span', name, how), make('b', said, how)];
  }),

  pieces({ values }) {
    const all = values.reduce((a, b) => a + Math.abs(b), 0) || 1, top = Math.max(...values.map(Math.abs));
    return values.map((v) => {
      const piece = make('i', null, { class: v < 0 ? 'gl-less' : '' });
      piece.style.cssText = `width: ${100 * Math.abs(v) / all}%; opacity: ${0.35 + 0.65 * Math.abs(v) / top}`;
      return piece;
    });
  },

  wires({ lines, w, h }) {
    const svg = shapeOf('svg', { viewBox: `0 0 ${w} ${h}`, 'aria-hidden': 'true' });
    for (const { points, dotted } of lines) {
      const how = { points: points.map((p) => p.join()).join(' '), class: dotted ? 'gl-dotted' : '' };
      const [[x0, y0], [x1, y1]] = points.slice(-2), d = Math.hypot(x1 - x0, y1 - y0) || 1;
      const [u, v] = [(x1 - x0) / d, (y1 - y0) / d], at = (a, b) => `${x1 - a * u - b * v},${y1 - a * v + b * u}`;
      svg.append(shapeOf('polyline', how), shapeOf('polygon', { points: [at(0, 0), at(13, 7), at(13, -7)].join(' ') }));
    }
    return [svg];
  },
};

function shapeOf(tag, attributes) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

const same = (one, other) => Object.keys({ ...one, ...other }).every((name) => {
  const [a, b] = [one[name], other[name]];
  if (['x', 'y', 'key'].includes(name) || Object.is(a, b)) return true;
  return typeof a === 'object' && typeof b === 'object' && JSON.stringify(a) === JSON.stringify(b);
});

const ARROWS_HELD = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };

/** A part that does one thing, by click or key. */
function pressable(node, act, name) {
  node.onclick = act;
  if (!name) return;
  Object.assign(node, { tabIndex: 0, role: 'button', ariaLabel: name });
  node.onkeydown = (e) => { if (['Enter', ' '].includes(e.key)) act(); };
}

/** A grid of which a cell can be chosen. Enter gives it the arrow keys, Escape gives them back to the lesson. */
function choosing(node, part, means) {
  const { h, w } = part.field, label = `Grid of ${h} rows and ${w} columns. Enter: the arrow keys choose a cell.`;
  Object.assign(node, { tabIndex: 0, role: 'application', ariaLabel: label });
  node.onclick = (e) => {
    const box = node.getBoundingClientRect();
    const [down, right] = [(e.clientY - box.top) / box.height, (e.clientX - box.left) / box.width];
    means.pick(part, [Math.floor(down * h), Math.floor(right * w)]);
  };
  node.onblur = () => { delete node.dataset.held; };
  node.onkeydown = (e) => {
    const by = ARROWS_HELD[e.key], held = node.dataset.held !== undefined, at = part.marks?.[0] ?? 0;
    if (e.key === 'Enter') node.dataset.held = '';
    else if (held && e.key === 'Escape') delete node.dataset.held;
    else if (held && by) means.pick(part, inside([Math.floor(at / w) + by[0], at % w + by[1]], h, w));
    else return;
    e.preventDefault();
  };
}

/** What a click or a key on a part does. @param {Part} part @param {Means} means */
function touchable(node, part, means) {
  const { go, open, tile, pick, kind } = part, boxed = kind !== 'text';
  node.classList.toggle('gl-touch', [go, open, tile].some((what) => what !== undefined) || Boolean(pick));
  Object.assign(node, { onclick: null, onkeydown: null, onblur: null, role: null, ariaLabel: null });
  if (go !== undefined) pressable(node, () => means.go(go), boxed && `Step ${go}`);
  else if (open !== undefined) pressable(node, () => means.open(open), !boxed && part.pieces.flat()[2]);
  else if (tile !== undefined) pressable(node, () => means.follow(tile), `Follow map ${tile + 1}`);
  else if (pick && kind === 'grid') choosing(node, part, means);
  else if (pick) {
    node.onclick = (e) => {
      const box = node.getBoundingClientRect();
      means.point([(e.clientY - box.top) / box.height, (e.clientX - box.left) / box.width]);
    };
  }
  if (node.onkeydown) return;
  node.removeAttribute('tabindex'); // not before: it would take the focus, and with it the next key
  delete node.dataset.held;
}

/**
 * @param {HTMLElement} holder
 * @param {Part[]} parts
 * @param {Means} means
 */
export function fly(holder, parts, means) {
  const left = new Map([...holder.children].filter((n) => !n.dataset.leaving).map((n) => [n.dataset.key, n]));
  const fresh = holder.children.length === 0, moves = !still.matches && parts.some(({ key }) => left.has(key));
  for (const one of parts) {
    let node = left.get(one.key);
    const born = !node;
    if (born) {
      node = make('div', null, { 'data-key': one.key });
      holder.append(node);
    }
    left.delete(one.key);
    if (born || !same(node.shows, one)) {
      node.replaceChildren(...DRAW[one.kind](one, means));
      const how = ['card', 'plain', 'big', 'ring', 'upright', 'hold'].filter((name) => one[name]);
      node.className = ['part', one.kind, one.side, ...how].filter(Boolean).map((name) => `gl-${name}`).join(' ');
      touchable(node, one, means);
    }
    node.shows = one;
    Object.assign(node.style, {
      width: `${one.w}px`, height: `${one.h}px`, transform: `translate(${one.x}px, ${one.y}px)`,
      fontSize: one.size && one.kind === 'text' ? `${one.size}px` : '',
    });
    node.classList.toggle('gl-gone', Boolean(one.gone));
    if (born && !fresh) {
      const delay = moves ? ARRIVAL : 0;
      node.animate([{ opacity: 0 }, { opacity: 1 }], { duration: 300, delay, fill: 'backwards' });
    }
  }
  for (const node of left.values()) {
    node.dataset.leaving = 'true';
    node.animate([{ opacity: 1 }, { opacity: 0 }], { duration: 160 }).onfinish = () => node.remove();
  }
}
