// What the lesson shows and speaks of, out of the numbers that it is given. No page and no state.

import { boxRound, middleOf, printed, valuesOf } from './maps.js';
import { chance, number } from './words.js';

/** @import { Lesson, Nudge, StepMap } from './wire.js' */
/** @import { InView } from './viewer.js' */
/** @import { Lattice } from './maps.js' */

/** What the two halves of an example show; of any other picture they are its halves. */
const SHOWN = { cheetah_and_lion: ['cheetah', 'lion'] };

/**
 * A grid of numbers.
 * @typedef {object} Field
 * @property {number} h
 * @property {number} w
 * @property {Float32Array} values (h w,)
 * @property {number} top the largest of them, whatever its sign
 * @property {boolean} exact whether they are the network's own, not out of bytes
 */

/** @param {StepMap} map @param {Int8Array} bytes @returns {Field} */
export const fieldOf = (map, bytes) => ({
  h: map.sent[0], w: map.sent[1], values: valuesOf(map, bytes), top: Math.max(map.top, map.bottom),
  exact: Boolean(map.numbers),
});

/** With so many decimal places, and a real minus; of what is below zero it stays, however small. */
export const decimals = (v, n) => (v < 0 ? '−' : '') + Math.abs(v).toFixed(n);

/** The same with a plus, too. */
export const change = (v, n) => (v < 0 ? '' : '+') + decimals(v, n);

/** So many decimal places that the sum of what is printed is the sum that is printed; or the most. */
export function agreeing(parts, sum, least = 2, most = 5) {
  for (let n = least; n < most; n++) {
    const all = parts.reduce((a, b) => a + Number(b.toFixed(n)), 0);
    if (Math.abs(all - Number(sum.toFixed(n))) < 0.1 ** (n + 1)) return n;
  }
  return most;
}

/** So many places that a number that small has a digit. */
export const enough = (v, least = 2) => v ? Math.min(Math.max(least, -Math.floor(Math.log10(Math.abs(v)))), 9) : least;

/**
 * What of a map is above zero, left and right of the picture's middle; of a cell in the middle a half each.
 * @param {Field} field
 * @param {number[] | null} placement
 */
export function halvesOf({ h, w, values }, placement) {
  const sums = [0, 0];
  values.forEach((v, n) => {
    const share = sideOf([Math.floor(n / w), n % w], { h, w, placement });
    if (v > 0) [0, 1].forEach((side) => { sums[side] += v * (side ? 1 - share : share); });
  });
  return sums;
}

/** Of a cell 1 on the left of the picture, 0 on its right, a half in the middle. @param {Lattice} lattice */
function sideOf(cell, lattice) {
  const [, right] = middleOf(cell, lattice);
  return Math.abs(right - 0.5) < 1e-4 ? 0.5 : Number(right < 0.5);
}

const PATCH = [0.34, 0.34]; // high, wide, in shares of the picture

/** A patch on the cell with the largest number of a map, or the smallest. */
export function patchOn({ h, w, values }, placement, which) {
  const n = values.indexOf(which(...values));
  return patchAt(middleOf([Math.floor(n / w), n % w], { h, w, placement }));
}

/** A patch round a place of the picture. */
export const patchAt = (place) => boxRound(place, PATCH);

/** On which side more of the last map is, and which share of every map lies there. */
function sharesOf({ last, mean, each }) {
  const [[l, r], ...others] = [last, mean, each].map((one) => halvesOf(one, one.placement));
  const side = Number(r > l), part = (sums) => sums[side] / (sums[0] + sums[1] || 1);
  return { side, shares: [[l, r], ...others].map(part) };
}

/** How much of the map the mean moves to the other side. */
export function movedBy(earlier) {
  const [last, mean] = sharesOf(earlier).shares;
  return last - mean;
}

/** Where the largest numbers are: as large as the largest, as it is printed. @param {Field} field */
export function peaksOf({ values, top }, print) {
  const most = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const said = (v) => decimals(v / print.unit, print.places);
  return [...values.keys()].filter((n) => top > 0 && said(values[n]) === said(most));
}

const UNITS = { 0.01: 'hundredths', 0.001: 'thousandths', 0.000001: 'millionths', 1000: 'thousands' };

/** In which unit a grid's numbers are printed, in words; empty: as they are. */
export const unitOf = ({ unit }) => unit === 1 ? '' : `in ${UNITS[unit] ?? `units of ${unit}`}`;

/**
 * @param {{ lesson: Lesson, topic: InView, bytes: Int8Array, tile: number, cell: number[] | null,
 *   nudged: Nudge | null, contrast: { label: string, field: Field, below: number } | null, hidden: boolean }} given
 *   earlier: see askEarlier, covers: see askCover; patch: where the visitor put one, left, top, right, bottom
 *   hidden: whether the classes and how likely they are must not be told yet
 */
export function factsOf({ lesson, topic, bytes, tile, cell, nudged, contrast, earlier, covers, patch, hidden }) {
  const { shape: [h, w, K], placement, whole, score, start, alphas } = lesson, t = lesson.tiles[tile];
  const file = topic.request.path.split('/').at(-1).replace(/\.\w+$/, '');
  const names = hidden ? undefined : SHOWN[file];
  const map = fieldOf(lesson.map, bytes), a = fieldOf(t.a, bytes), g = fieldOf(t.g, bytes);
  const print = { map: printed(map.top || 1), a: printed(a.top || 1), g: printed(g.top || 1) };
  const peaks = peaksOf(a, print.a), middle = [h >> 1, w >> 1], inMap = h === map.h;
  const peak = inMap && peaks.length ? [Math.floor(peaks[0] / w), peaks[0] % w] : middle;
  const patches = [patch ?? patchOn(map, placement, Math.max), patchOn(map, placement, Math.min)];
  const classes = topic.classes.map((c) => ({ ...c, chance: chance(c, topic.percent) }));
  const byRank = [...classes].sort((one, other) => one.rank - other.rank);
  return {
    h, w, K, cells: h * w, placement, placed: lesson.placed,
    score, start, whole, map, a, g, print, peaks, nudged, inMap,
    contrast: contrast && { ...contrast, label: hidden ? 'another class' : contrast.label },
    label: hidden ? 'the answer' : topic.label, layer: lesson.layer, percent: topic.percent, head: topic.head,
    known: topic.known, count: topic.count, network: topic.model, hidden,
    ratio: topic.picture[1] / topic.picture[0], crop: topic.crop,
    classes: byRank, first: byRank[0], second: byRank[1],
    others: topic.count - classes.length,
    k: t.k, alpha: t.alpha, total: t.total, even: t.even,
    tiles: lesson.tiles.map((one) => ({ k: one.k, alpha: one.alpha, field: fieldOf(one.a, bytes) })),
    stages: lesson.stages.map((s) => ({ ...s, field: fieldOf(s.map, bytes) })),
    weights: [...alphas].sort((one, other) => other - one),
    pro: alphas.filter((v) => v > 0).length, con: alphas.filter((v) => v < 0).length,
    below: whole.below, halves: halvesOf(map, placement),
    sides: names ?? ['left half', 'right half'], where: names ? names.map((n) => `on the ${n}`)
      : ['in the left half', 'in the right half'],
    named: Boolean(names), sideOf: (n) => sideOf([Math.floor(n / w), n % w], { h, w, placement }),
    earlier: earlier && {
      ...earlier, ...sharesOf(earlier), print: printed(earlier.g.top || 1),
      label: hidden ? (earlier.own ? 'the answer' : 'another class') : earlier.label,
    },
    patches, covered: patches.map((box) => covers[JSON.stringify(box)] ?? null), own: Boolean(patch),
    nudgedCell: cell ?? middle, addedCell: cell ?? peak,
    at: ([i, j]) => i * w + j,
    brief: (v) => number(v, 2),
  };
}

/** @typedef {ReturnType<typeof factsOf>} Facts */
