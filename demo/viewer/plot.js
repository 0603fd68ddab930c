// Curves and stems over a common axis, as an SVG.

import { number } from './words.js';

const HEIGHT = 200, LEFT = 88, RIGHT = 34, TOP = 44, BOTTOM = 26;

/**
 * @typedef {object} Curve
 * @property {number[]} y
 * @property {string} name
 * @property {string} colour
 * @property {string} [dash]
 */

/**
 * Curves; on each the place `at` is marked.
 * @param {number[]} x
 * @param {Curve[]} curves
 */
export function plotCurves(x, curves, at, width, label) {
  const { svg, add, X, Y } = axes(x, curves.flatMap((curve) => curve.y), width, label);
  curves.forEach(({ y, name, colour, dash }, n) => {
    const style = `fill: ${colour}`, points = y.map((v, i) => `${X(x[i])},${Y(v)}`).join(' ');
    const line = { style: `stroke: ${colour}`, 'stroke-width': 2.5, 'stroke-dasharray': dash ?? '' };
    add('polyline', { points, fill: 'none', ...line });
    if (!dash) y.forEach((v, i) => add('circle', { cx: X(x[i]), cy: Y(v), r: 2.5, style }));
    add('circle', { cx: X(x[at]), cy: Y(y[at]), r: 5.5, style });
    add('text', { x: 4, y: 14 + 17 * n, style }, `${dash ? '- - ' : '— '}${name}`);
  });
  return svg;
}

/**
 * A stem for every number, in their order from 1; one is marked, and named.
 * @param {number[]} y
 */
export function plotStems(y, marked, name, width, label) {
  const x = y.map((_, n) => n + 1), { svg, add, X, Y } = axes(x, y, width, label);
  y.forEach((v, i) => {
    const on = i === marked, colour = `var(--gl-${on ? 'predicted' : v < 0 ? 'against' : 'for'})`;
    const line = { style: `stroke: ${colour}`, 'stroke-width': on ? 5 : 1.3 };
    add('line', { x1: X(x[i]), x2: X(x[i]), y1: Y(0), y2: Y(v), ...line });
    if (!on) return;
    const style = `fill: ${colour}; font-weight: 700`, below = v < 0 ? -6 : 16;
    add('text', { x: X(x[i]), y: Y(0) + below, 'text-anchor': 'middle', style }, name);
  });
  return svg;
}

/**
 * The score as more is hidden; how a line looks is its class's. x in percent.
 * @param {number[]} x
 * @param {{ y: number[], kind: string }[]} curves
 * @param {number[][] | null} band its lower and its upper edge
 */
export function plotHiding(x, curves, band, width, label) {
  const { svg, add, X, Y } = axes(x, [...curves.flatMap((curve) => curve.y), ...(band ?? []).flat()], width, label);
  const points = (y) => y.map((v, i) => `${X(x[i])},${Y(v)}`);
  if (band) add('polygon', { points: [...points(band[0]), ...points(band[1]).reverse()].join(' ') });
  for (const { y, kind } of curves) {
    add('polyline', { points: points(y).join(' '), class: kind });
    if (!kind.includes('dash')) y.forEach((v, i) => add('circle', { cx: X(x[i]), cy: Y(v), r: 4, class: kind }));
  }
  add('text', { x: 4, y: 16 }, 'score');
  add('text', { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 6, 'text-anchor': 'middle' }, '% of the cells hidden');
  return svg;
}

/**
 * How like the first map each is, as more and more layers forget.
 * @param {number[]} shares of the layers, in 0..1
 * @param {number[]} alike
 * @param {number[] | null} guided the same for guided backpropagation
 * @param {number} width
 */
export function plotForgetting(shares, alike, guided, width) {
  const x = shares.map((s) => 100 * s);
  const { svg, add, X, Y } = axes(x, [...alike, ...(guided ?? []), 1], width,
    'How like the map of the network as it is each map is, as more and more layers forget');
  const draw = (y, kind) => {
    add('polyline', { points: y.map((v, i) => `${X(x[i])},${Y(v)}`).join(' '), class: kind });
    y.forEach((v, i) => add('circle', { cx: X(x[i]), cy: Y(v), r: 4, class: kind }));
  };
  if (guided) draw(guided, 'gt-cold');
  draw(alike, 'gt-hot');
  add('text', { x: 4, y: 16 }, 'how like the first map (rank correlation)');
  const middle = { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 6, 'text-anchor': 'middle' };
  add('text', middle, '% of the layers');
  return svg;
}

/** The axes, and the means to draw upon them. */
function axes(x, y, width, label) {
  const [x0, x1] = [Math.min(...x), Math.max(...x)], y0 = Math.min(...y, 0), y1 = Math.max(...y, 0) || (y0 ? 0 : 1);
  const X = (v) => LEFT + (v - x0) / (x1 - x0 || 1) * (width - LEFT - RIGHT);
  const Y = (v) => HEIGHT - BOTTOM - (v - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM);
  const svg = shape('svg', { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, class: 'gl-plot', role: 'img' });
  svg.setAttribute('aria-label', label);
  const add = (tag, attributes, text = '') => svg.append(shape(tag, attributes, text));
  const line = { stroke: 'currentColor' };
  add('line', { x1: LEFT, x2: width - RIGHT, y1: Y(0), y2: Y(0), ...line, 'stroke-opacity': 0.6 });
  if (x0 < 0) add('line', { x1: X(0), x2: X(0), y1: TOP, y2: HEIGHT - BOTTOM, ...line, 'stroke-opacity': 0.3 });
  for (const v of new Set([y1, y0])) add('text', { x: LEFT - 8, y: Y(v) + 4, 'text-anchor': 'end' }, number(v));
  for (const v of x0 < 0 ? [x0, 0, x1] : [x0, x1]) {
    add('text', { x: X(v), y: HEIGHT - 6, 'text-anchor': 'middle' }, number(v));
  }
  return { svg, add, X, Y };
}

function shape(tag, attributes, text = '') {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
}
