// The state of the tab "Look", and what follows from it: which map is in view, on which scale, in which colours.

import { make, painted } from './dom.js';
import {
  alike, arrange, boxOf, bytesOf, fitted, gridOf, lit, project, rowOf, scaleEnd, signedBytesOf, toUnit,
} from './maps.js';
import { store } from './store.js';

/** @import { Answer, CoverAnswer, MethodRow, Row } from './wire.js' */
/** @import { Grid, Sign } from './maps.js' */
/** @import { Look } from './words.js' */

export const SILENCE = { sentence: '', mild: false, stale: false };
export const SIDE = 720; // of the overlay's canvas at most
const palettes = Object.fromEntries(Object.entries(props.palettes).map(([name, text]) => [name, bytesOf(text)]));

const page = store({
  /** @type {Answer | null} */ answer: null,
  bytes: null, // of its maps
  url: '', // of the picture that it is about
  base: null, // that picture once it is there: { image, url, ratio }
  layer: null,
  method: '', // that was chosen; none: what suits the layer
  band: 'target',
  sign: 'for', // of one class, that was chosen; a method may not know it
  sides: 'both', // the same of the contrast of two
  colours: props.colours[0],
  opacity: 100 * props.opacities[props.colours[0]],
  tool: 'look',
  one: false, // whether the overlay is alone
  held: false, // whether the photograph is shown in its place, as long as it is pressed
  swipe: 50,
  patch: null, // what is covered: left, top, right, bottom in 0..1
  fill: props.fills[0],
  /** @type {CoverAnswer | null} */ covered: null, // what the network says of the picture with the patch on it
  tried: null, // what covering each place does, as far as it is known: { h, w, fall, done }
  size: [innerWidth, innerHeight],
  box: false,
  threshold: 50, // the paper has 15, where the box often goes round the whole picture
  place: null, // of the cell that is read: [down, right] in 0..1
  said: SILENCE, // to the visitor; mild: it is no mistake; stale: the answer is not what the page asks for
  shrinking: false, // whether a picture is made smaller before it is sent
  sending: false, // whether one is on its way to the server
  asItIs: false, // whether that one is just what was given
  wanted: null, // a layer on its way, and the answer it was asked beside: { layer, answer }
  token: '', // of a map on its way that takes long, by which it can be stopped
  playing: null,
  more: false, // whether the drawer is open
  doctor: false, // whether the layer doctor is open
  ways: false, // whether the ways of preparing the picture are
  labels: [], // of the network's classes, once somebody searches
});
export const state = page.state;
export const put = page.set;
export const addView = page.view;

/** Whether the picture that the answer is about is there. */
export const ready = () => Boolean(state.answer && state.base && state.base.url === state.url);

/** The arrangement in which the pictures are largest. */
export const arranged = () => arrange(...state.size, state.base?.ratio ?? 2, !state.one);

/**
 * The method that shows a layer: the one that was chosen, if it has a map here, else what suits the layer.
 * @param {Row} row
 * @returns {MethodRow}
 */
export function methodOf(row) {
  const chosen = row.maps[`${state.band}/${state.method}`] ? state.method : row.film[state.band];
  return props.methods.find((m) => m.name === chosen);
}

/** @returns {MethodRow} */
export function methodNow() {
  return state.covered ? props.methods[0] : methodOf(rowOf(state.answer, state.layer));
}

/** The map of the picture with its patch. @returns {Grid} */
function coveredGrid() {
  const { map, bytes } = state.covered, [h, w] = map.sent;
  return { ...map, row: rowOf(state.answer, state.layer), h, w, q: signedBytesOf(bytes) };
}

/** @returns {Sign} */
export function signOf(method) {
  return method.against ? 'for' : state.band === 'contrast' ? state.sides : state.sign;
}

export const signNow = () => signOf(methodNow());

const coloursOf = (sign) => sign === 'both' ? props.diverging[state.colours] : state.colours;

export const paletteNow = () => palettes[coloursOf(signNow())];

/** The palette where one sign is shown. */
export const plainPalette = () => palettes[state.colours];

/** Whether the colours mute the picture. */
export const isLit = () => props.lit.includes(state.colours);

/** What the end of the colours stands for. */
export function topNow(ends) {
  const { answer, bytes, layer, band } = state;
  const end = scaleEnd(answer, bytes, rowOf(answer, layer), methodNow(), band, signNow(), ends);
  return state.covered ? Math.max(end, state.covered.map.top) : end;
}

/** @returns {Look} */
export function look() {
  const { answer, band, bytes } = state, method = methodNow();
  const grid = state.covered ? coveredGrid() : gridOf(rowOf(answer, state.layer), bytes, method.name, band);
  return { answer, grid, method, band, sign: signNow(), top: topNow(), covered: state.covered };
}

/** The map in view, scaled up. @param {number} outside as of `project` */
export function heatNow(H, W, sign = signNow(), outside = NaN) {
  const { grid, top } = look();
  return project(toUnit(grid, sign, top), grid, H, W, outside);
}

/** The box that is shown; of both signs it goes round evidence for. */
export function boxNow() {
  if (!state.box) return null;
  const [H, W] = fitted(...state.answer.picture, SIDE), sign = signNow();
  return boxOf(heatNow(H, W, sign === 'both' ? 'for' : sign, 0), H, W, state.threshold / 100);
}

/** The map whose cells add up to the score: of the class in view, or of the contrast; null where they do not. */
export function sumNow() {
  const { answer, bytes, band } = state;
  if (answer.starts[band] === null) return null;
  if (state.covered && state.layer === answer.best) return coveredGrid();
  return gridOf(rowOf(answer, answer.best), bytes, props.methods[0].name, band);
}

/** Whether the cells in view are those of that sum. */
export function addsUp() {
  const sum = sumNow(), { grid } = look();
  return Boolean(sum) && grid.row === sum.row && grid.top === sum.top && alike(grid, sum);
}

// ---- colours on the picture --------------------------------------------------------------------

const kept = { url: '', sizes: new Map() };

/** The photograph's pixels at a size, red, green, blue, opaque. */
function photo(H, W) {
  const { image, url } = state.base;
  if (kept.url !== url) Object.assign(kept, { url, sizes: new Map() });
  const size = `${H} ${W}`;
  if (!kept.sizes.has(size)) {
    const pen = make('canvas', null, { width: W, height: H }).getContext('2d');
    pen.fillStyle = '#fff';
    pen.fillRect(0, 0, W, H);
    pen.drawImage(image, 0, 0, W, H);
    kept.sizes.set(size, pen.getImageData(0, 0, W, H).data);
  }
  return kept.sizes.get(size);
}

/** Muted and lit, on the whole of a canvas. */
export function light(canvas, heat, sign = signNow(), opacity = state.opacity / 100) {
  const { width: W, height: H } = canvas;
  const pixels = lit(photo(H, W), heat, palettes[coloursOf(sign)], opacity, sign === 'both');
  canvas.getContext('2d').putImageData(new ImageData(pixels, W, H), 0, 0);
}

/** The picture with a map over it, on the whole of a canvas. */
export function blend(canvas, heat, sign = signNow(), opacity = state.opacity / 100) {
  if (isLit()) return light(canvas, heat, sign, opacity);
  const { width: W, height: H } = canvas, pen = canvas.getContext('2d');
  pen.globalAlpha = 1;
  pen.fillStyle = '#fff';
  pen.fillRect(0, 0, W, H);
  pen.drawImage(state.base.image, 0, 0, W, H);
  pen.globalAlpha = opacity;
  pen.drawImage(painted(heat, palettes[coloursOf(sign)], H, W), 0, 0);
  pen.globalAlpha = 1;
}

/** The colours alone, from one end of the scale to the other, on the whole of a canvas. */
export function ramp(canvas, sign) {
  const { width: W, height: H } = canvas, pen = canvas.getContext('2d');
  const heat = Float32Array.from({ length: W * H }, (_, n) => (n % W) / (W - 1));
  if (!isLit()) return void pen.drawImage(painted(heat, palettes[coloursOf(sign)], H, W), 0, 0);
  const grey = new Uint8ClampedArray(4 * W * H).fill(128);
  pen.putImageData(new ImageData(lit(grey, heat, palettes[coloursOf(sign)], 1, sign === 'both'), W, H), 0, 0);
}
