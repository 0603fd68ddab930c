// The state of the tab "How it is made", and what it asks of the server.

import { readLink } from './address.js';
import { $ } from './dom.js';
import { fieldOf, movedBy } from './facts.js';
import { roundingOf, scaled, signedBytesOf, valuesOf } from './maps.js';
import { sheet } from './sheets.js';
import { store } from './store.js';
import { paletteOf } from './tones.js';
import { UNREACHED } from './words.js';

/** @import { CellSum, Guided, Lesson, Nudge, StepMap, Tile, Without } from './wire.js' */
/** @import { Drawn } from './sheets.js' */
/** @import { InView } from './viewer.js' */

/** What a visitor plays with, at the start of a lesson. */
export const FRESH = {
  tile: 0, // which of the channels is followed
  cell: null, // row, column; null: the middle
  /** @type {Nudge | null} */ nudged: null,
  size: null, // which of its changes
  count: 0, // which of the stations
  off: [], // channels that are switched off
  /** @type {Without | 'running' | 'failed'} */ score: 'running', // without them
  turned: false, // whether evidence against the class is kept
  /** @type {CellSum | null} */ sum: null, // of the cell, with it
  /** @type {Guided | null} */ lines: null,
  running: false, // whether they are on their way
  contrast: null, // with the likeliest of the other classes: { label, below, field }
  earlier: null, // what an earlier layer shows, by two methods
  covers: {}, // a patch, as JSON -> what the network says with it on the picture
  patch: null, // that the visitor put: left, top, right, bottom in 0..1; null: the lesson's own
  votes: {}, // step -> the answer that was chosen, or the cell that was pointed at
  seen: [], // steps that were answered
};

const { link } = readLink(location.hash);

const lecture = store({
  step: Number(link.step ?? 0),
  phase: Number(link.show ?? 0), // how many reveals of it are shown
  len: link.len ?? '', // of the lesson, in minutes; empty: nobody chose
  hides: false, // whether classes and percentages are hidden until the answer to step 1 is shown
  fold: '', // what is open in place of the figure or of the band: math, code or play
  /** @type {StepRow[]} formula and code of each step of the method */ rows: [],
  /** @type {Lesson | null} */ lesson: null,
  bytes: null, // of its maps
  /** @type {InView | null} */ topic: null, // what it is about
  /** @type {InView | null} */ wanted: null, // what the viewer shows, which may be ahead of it
  asked: null, // the key of what was asked for last
  error: '',
  pending: false, // whether an answer is on its way to the viewer
  stale: false, // whether what it shows is not what the page asks for
  said: '', // what it says to the visitor
  notes: false, // whether the teacher's notes were opened: they have the answers of all steps
  opacity: 100,
  space: [0, 0], // of the figure, in pixels
  ...FRESH,
});
export const state = lecture.state;
export const put = lecture.set;
export const addView = lecture.view;

/** @param {InView | null} about */
export const keyOf = (about) => about && JSON.stringify(about.request);

/** @returns {Tile} */
export const tile = () => state.lesson.tiles[state.tile];

export const cellNow = () => state.cell ?? state.lesson.shape.slice(0, 2).map((n) => n >> 1);
export const rounding = () => roundingOf(state.topic.classes);
export const say = (text) => { $('.gl-numbers').textContent = text; };
export const valuesIn = (map) => valuesOf(map, state.bytes);

/** Whether the answer must not be told yet. */
export const isHidden = () => state.hides && !state.seen.includes(1);

/** The class that the lesson holds against its own: the likeliest of the others; none: there is no other. */
export function rivalNow() {
  const { classes, target } = state.topic;
  return [...classes].sort((a, b) => a.rank - b.rank).find((c) => c.index !== target);
}

/**
 * @param {StepMap} map
 * @param {'reaction' | 'evidence'} tone
 * @param {number} top what the end of the colours stands for; 0: the largest of this map
 * @param {Float32Array} data instead of the map's own
 * @returns {Drawn}
 */
export function drawn(map, tone, top = 0, data = valuesIn(map)) {
  const [h, w] = map.sent, round = tone === 'evidence' || map.bottom > 0;
  return { h, w, data, round, palette: paletteOf(tone), ...scaled(data, round, top) };
}

/** A grid with its scale. */
export const sheetOf = (map, ...how) => sheet(drawn(map, ...how), Boolean(map.numbers));

const latest = {}; // the last question of each kind

/** null where the server could not; undefined where a newer question has overtaken this, or another picture. */
export async function ask(name, request, ...more) {
  const mine = latest[name] = {}, { topic } = state;
  const current = () => mine === latest[name] && (name === 'lesson' || name === 'formulas' || topic === state.topic);
  try {
    const made = await server[name](more.length ? [request, ...more] : request);
    if (!current()) return undefined;
    put({ error: made.error ?? '' });
    return made.error ? null : made;
  } catch {
    if (!current()) return undefined;
    put({ error: UNREACHED });
    return null;
  }
}

/** A lesson has come. @param {Lesson} lesson @param {InView} topic */
export const begin = (lesson, topic) => put({ ...FRESH, lesson, bytes: signedBytesOf(lesson.bytes), topic });

const underWay = new Map(); // what is asked for -> the answer to come

/** Asked for once, however many want it meanwhile. */
function once(key, question) {
  if (!underWay.has(key)) underWay.set(key, question().finally(() => underWay.delete(key)));
  return underWay.get(key);
}

/** The number of the cell, a little larger and smaller: the network's tail is run for it. */
export async function askNudge() {
  const { topic, nudged } = state, which = [tile().k, ...cellNow()];
  if (nudged) return nudged;
  const made = await once(`nudge ${which} ${keyOf(topic)}`, () => ask('nudge', topic.request, ...which));
  if (made) put({ nudged: made });
  return made;
}

/** The class against the likeliest of the others. */
export async function askContrast() {
  const { topic, contrast } = state, rival = rivalNow();
  if (contrast || !rival) return;
  const request = { ...topic.request, rival: rival.index };
  const made = await once(`contrast ${JSON.stringify(request)}`, () => ask('contrast', request));
  const { label } = rival, { below } = made ?? {};
  if (made) put({ contrast: { label, below, field: fieldOf(made.map, signedBytesOf(made.bytes)) } });
}

const placed = (map, bytes) => ({ ...fieldOf(map, bytes), placement: map.placement });

/** The last layer, and an earlier one by two methods: for the class or its rival, where the mean moves more. */
export async function askEarlier() {
  const { topic, earlier } = state, best = topic.layers.find((layer) => layer.best), rival = rivalNow();
  if (earlier || !best || topic.layers[0].best) return;
  const found = [];
  for (const [index, label] of [[topic.request.target, topic.label], ...(rival ? [[rival.index, rival.label]] : [])]) {
    const request = { ...topic.request, target: index, layer: best.name };
    const made = await once(`earlier ${JSON.stringify(request)}`, () => ask('earlier', request));
    if (!made) return;
    const bytes = signedBytesOf(made.bytes), { layer, shape, k, alpha } = made;
    const [last, mean, each] = [made.last, made.mean, made.each].map((map) => placed(map, bytes));
    const rest = { label, own: index === topic.request.target, layer, shape, k, alpha, g: fieldOf(made.g, bytes) };
    found.push({ ...rest, last, mean, each });
  }
  put({ earlier: found.reduce((one, other) => movedBy(other) > movedBy(one) ? other : one) });
}

/** The network is run with this part of the picture covered; of several questions the last is answered. */
export async function askCover(box) {
  const { topic } = state, key = JSON.stringify(box);
  const request = { ...topic.request, rival: null, boxes: [box], fill: props.fills[0] };
  const made = await once(`cover ${JSON.stringify(request)}`, () => ask('cover', request));
  if (!made) return;
  const field = placed({ ...made.map, numbers: null }, signedBytesOf(made.bytes));
  put({ covers: { ...state.covers, [key]: { score: made.score, classes: made.classes[0], field } } });
}
