// The viewer: shows the maps that one answer of the server brought. No request but for a new class, a layer that was
// not sent, or the figure.

import { $, $$, clear, frame, make, paint, painted, tell, write } from './dom.js';
import { easeLists, followLists, refuseHeavy } from './gradio.js';
import {
  bandsOf, boxOf, bytesOf, cellAt, classOf, fitted, frameOf, framesOf, gridOf, inPixels, inside, isEmpty, isUnsure,
  layerAfter, middleOf, reach, rivalOf, rowOf, sharesScale, sharing, shownClass, signedBytesOf, ticksOf, toUnit,
  twinsOf, upsample,
} from './maps.js';
import { store } from './store.js';
import {
  NO_MAP, UNREACHED, aboutCell, aboutMethod, caption, cautions, chance, comparison, grids, notes, number, numbersBehind,
  saying, verdictOf, warnings,
} from './words.js';

/** @import { Answer, ClassRow, FigureAnswer, FigureRequest } from './wire.js' */
/** @import { LessonRequest, MethodRow, Refusal, View } from './wire.js' */
/** @import { Sign } from './maps.js' */
/** @import { Look } from './words.js' */

const SILENCE = { sentence: '', mild: false, stale: false };
const SIDE = 720; // of the overlay's canvas at most
const palettes = Object.fromEntries(Object.entries(props.palettes).map(([name, text]) => [name, bytesOf(text)]));
const hint = $('.gv-pointer').textContent;

const { state, set, view } = store({
  /** @type {Answer | null} */ answer: null,
  bytes: null, // of its maps
  url: '', // of the picture that it is about
  base: null, // that picture once it is there: { image, url, ratio }
  layer: null,
  method: props.methods[0].name,
  band: 'target',
  sign: 'for', // that was chosen; a method may not know it
  colours: props.colours[0],
  opacity: 50,
  view: 'side',
  swipe: 50,
  box: false,
  threshold: 15,
  place: null, // of the cell that is read: [down, right] in 0..1
  said: SILENCE, // to the visitor; mild: it is no mistake; stale: the answer is not what the page asks for
  wanted: null, // a layer on its way, and the answer it was asked beside: { layer, answer }
  playing: null,
  doctor: false, // whether the layer doctor is open
});

// ---- what is in view ---------------------------------------------------------------------------

/** Whether the picture that the answer is about is there. */
const ready = () => Boolean(state.answer && state.base && state.base.url === state.url);

/** @returns {MethodRow} */
const methodNow = () => props.methods.find((m) => m.name === state.method);

/** @returns {Sign} */
const signNow = () => methodNow().against ? 'for' : state.sign;

const paletteNow = () => palettes[signNow() === 'both' ? props.diverging : state.colours];

/** The maps whose scale is that of the one in view. */
const sharingNow = () => sharing(state.answer, state.bytes, rowOf(state.answer, state.layer), methodNow(), state.band);

/** @returns {Look} */
function look() {
  const { answer, band } = state, method = methodNow(), sign = signNow();
  const grid = gridOf(rowOf(answer, state.layer), state.bytes, method.name, band);
  return { answer, grid, method, band, sign, top: reach(sharingNow(), sign) };
}

/** The map in view, scaled up. */
function heatNow(H, W, sign = signNow()) {
  const { grid } = look();
  return upsample(toUnit(grid, sign, reach(sharingNow(), sign)), grid.h, grid.w, H, W);
}

/** The box that is shown; of both signs it goes round evidence for. */
function boxNow() {
  if (!state.box) return null;
  const [H, W] = fitted(...state.answer.picture, SIDE), sign = signNow();
  return boxOf(heatNow(H, W, sign === 'both' ? 'for' : sign), H, W, state.threshold / 100);
}

// ---- the picture and its map -------------------------------------------------------------------

function showPicture() {
  const { base } = state;
  if (!base) return;
  $$('.gv-frame img').forEach((n) => { n.src = base.url; });
  $('.gv-stage').dataset.shape = base.ratio > 3.5 ? 'panorama' : base.ratio > 1.35 ? 'wide' : 'ordinary';
  $('.gv-stage').style.setProperty('--ratio', base.ratio);
}

function showMap() {
  if (!ready()) return;
  const canvas = $('.gv-heat'), [H, W] = fitted(...state.answer.picture, SIDE);
  [canvas.height, canvas.width] = [H, W];
  paint(canvas, heatNow(H, W), paletteNow());
  element.dataset.layer = state.layer;
  element.dataset.drawn = Number(element.dataset.drawn || 0) + 1;
}

function showOpacity() {
  $('[name=opacity-out]').textContent = `${state.opacity} %`;
  $('.gv-heat').style.opacity = state.opacity / 100;
}

function showSides() {
  const swiped = state.view === 'swipe', edge = $('.gv-edge');
  $$('[name=gv-view]').forEach((n) => { n.checked = n.value === state.view; });
  $('.gv-stage').dataset.view = state.view;
  $('.gv-swipe').hidden = edge.hidden = !swiped;
  $('.gv-heat').style.clipPath = swiped ? `inset(0 0 0 ${state.swipe}%)` : '';
  edge.style.left = `${state.swipe}%`;
}

function showBox() {
  const paper = state.box && state.threshold === 15 ? ' (as in the paper)' : '';
  $('[name=box]').checked = state.box;
  $('[name=thr-out]').textContent = `${state.threshold} %${paper}`;
  if (!ready()) return;
  const box = boxNow(), list = clear($('.gv-numbers dl'));
  frame($('.gv-box'), box);
  for (const [name, text] of numbersBehind(look(), box && inPixels(box, ...state.answer.picture))) {
    list.append(make('dt', name), make('dd', text));
  }
}

function showCell() {
  if (!ready()) return;
  const now = look(), { h, w } = now.grid, cell = state.place && cellAt(state.place, h, w);
  frame($('.gv-cell'), cell && frameOf(cell, h, w));
  write($('.gv-pointer'), cell ? aboutCell(now, cell) : hint);
}

function showScale() {
  if (!ready()) return;
  const { sign, top } = look(), ticks = ticksOf(top, sign).map((v) => make('span', number(v)));
  const bar = $('.gv-scale canvas'), ramp = { length: bar.width * bar.height };
  $('.gv-scale').style.visibility = top > 0 ? '' : 'hidden';
  $('.gv-ticks').replaceChildren(...ticks);
  paint(bar, Float32Array.from(ramp, (_, n) => (n % bar.width) / (bar.width - 1)), paletteNow());
}

// ---- the filmstrip -----------------------------------------------------------------------------

function showFrames() {
  if (!ready()) return;
  const { answer } = state, label = (row) => `${row.name}, ${row.shape.join('×')}`, before = $$('.gv-strip button');
  if (String(before.map((b) => b.ariaLabel)) === String(answer.layers.map(label))) return;
  const frames = answer.layers.map((row) => {
    const about = { 'aria-label': label(row), title: row.name, 'data-layer': row.name };
    const button = make('button', null, { type: 'button', role: 'radio', ...about });
    const size = make('span', `${grids(row.shape)}${row.name === answer.best ? ' ★' : ''}`, { class: 'gv-grid' });
    button.append(make('canvas', null), breakable(row.name), size);
    return button;
  });
  $('.gv-strip').replaceChildren(...frames);
}

function paintFrames() {
  if (!ready()) return;
  const { answer, bytes, base, band } = state, [H, W] = answer.picture, palette = paletteNow();
  const h = 54, w = Math.round(Math.min(Math.max(h * W / H, 36), 96)), buttons = $$('.gv-strip button');
  framesOf(answer, bytes, methodNow(), band, signNow()).forEach((map, n) => {
    const canvas = buttons[n].querySelector('canvas'), pen = canvas.getContext('2d');
    [canvas.width, canvas.height] = [2 * w, 2 * h];
    canvas.style.width = `${w}px`;
    pen.drawImage(base.image, 0, 0, 2 * w, 2 * h);
    pen.globalAlpha = 0.6;
    pen.drawImage(painted(upsample(map.unit, map.h, map.w, 2 * h, 2 * w), palette, 2 * h, 2 * w), 0, 0);
  });
}

function markFrame() {
  if (!ready()) return;
  $$('.gv-strip button').forEach((n) => {
    const on = n.dataset.layer === state.layer;
    n.setAttribute('aria-checked', String(on));
    n.tabIndex = on ? 0 : -1;
  });
  centre();
}

/** The layer that is shown comes to the middle. */
function centre() {
  const strip = $('.gv-strip'), shown = strip.querySelector('[aria-checked=true]');
  if (!shown) return;
  strip.scrollLeft = shown.offsetLeft - strip.offsetLeft - strip.clientWidth / 2 + shown.clientWidth / 2;
}

function showPlay() {
  const on = Boolean(state.playing);
  $('.gv-play').textContent = on ? '❚❚ Pause' : '▶ Play';
  $('.gv-play').setAttribute('aria-pressed', String(on));
}

// ---- words and choices -------------------------------------------------------------------------

function showSaid() {
  const { sentence, mild, stale } = state.said;
  tell($('.gv-error'), mild ? '' : sentence);
  tell($('.gv-hint'), mild ? sentence : '');
  $('.gv').classList.toggle('gv-stale', stale);
  $('.gv-before').hidden = !stale || !state.answer;
}

function showSentence() {
  if (!ready()) return;
  const now = look(), seen = state.view === 'original' ? NO_MAP : saying(now, palettes[state.colours]);
  write($('.gv-say'), seen);
  $('.gv-over .gv-frame').setAttribute('aria-label', seen);
  $('.gv-caption').textContent = caption(now);
}

function showWarnings() {
  if (!ready()) return;
  const now = look(), { grid, method, band } = now, empty = isEmpty(grid, now.sign, now.top);
  const twins = empty ? [] : twinsOf(props.methods, grid.row, state.bytes, method, band);
  tell($('.gv-warn'), warnings(now).join(' '));
  tell($('.gv-note'), notes(grid, twins).join(' '));
  if (empty) $('.gv-warn').append(' ', wayOut(now));
}

/** From an empty map: a button to one that is not. @param {Look} now */
function wayOut({ answer, grid, method }) {
  const button = make('button', null, { type: 'button' }), knowing = props.methods.find((m) => !m.against).name;
  const [text, go] = grid.top === 0 && grid.bottom === 0 && grid.row.name !== answer.best
    ? [`Go to ${answer.best}`, () => choose(answer.best)]
    : method.against ? [`Show ${knowing}`, () => goOn({ method: knowing })]
      : ['Show both signs', () => goOn({ sign: 'both' })];
  button.textContent = text;
  button.onclick = go;
  return button;
}

function showMethod() {
  const method = methodNow(), link = make('a', 'The paper', { target: '_blank', rel: 'noopener noreferrer' });
  link.href = method.paper;
  $('.gv-method').replaceChildren(aboutMethod(method), ' ', link);
  $('[name=method]').value = state.method;
  $$('[name=gv-sign]').forEach((n) => {
    n.disabled = Boolean(method.against) && n.value !== 'for';
    n.checked = n.value === signNow();
  });
}

function showRival() {
  if (!ready()) return;
  const why = $('.gv-why'), { answer } = state, rival = rivalOf(answer);
  why.hidden = !rival || methodNow().class_agnostic;
  if (!rival) return;
  why.textContent = `Why ${classOf(answer, answer.target).label} rather than ${rival.label}?`;
  why.dataset.rival = rival.index;
}

function showLayers() {
  const { answer } = state;
  if (!answer) return;
  const option = (name, shape) => {
    return make('option', `${name} · ${shape.join('×')}${name === answer.best ? ' ★ best' : ''}`, { value: name });
  };
  const sent = make('optgroup', null, { label: 'Suggested' });
  const rest = make('optgroup', null, { label: 'All other layers' });
  const others = answer.doctor.filter(([name, [h, w]]) => h * w > 1 && !rowOf(answer, name));
  sent.append(...answer.layers.map((row) => option(row.name, row.shape)));
  rest.append(...others.map(([name, shape]) => option(name, shape)));
  $('[name=layer]').replaceChildren(sent, ...(others.length ? [rest] : []));
  view(() => { $('[name=layer]').value = state.layer; });
}

function showClasses() {
  const { answer } = state;
  if (!answer) return;
  const { head } = answer.model;
  const buttons = answer.classes.map((c) => {
    const button = make('button', null, { type: 'button', 'data-index': c.index, title: `Explain ${c.label}` });
    button.append(make('span', c.label, { class: 'gv-label' }), make('span', chance(c, head), { class: 'gv-p' }));
    button.style.setProperty('--p', head === 'linear' ? '0%' : `${100 * c.p}%`);
    return button;
  });
  $('.gv-classes').replaceChildren(...buttons);
  $('.gv-unsure').hidden = !isUnsure(answer);
  view(() => {
    const { index } = shownClass(answer, state.band);
    buttons.forEach((n) => n.setAttribute('aria-pressed', String(Number(n.dataset.index) === index)));
  });
}

function showQuestions() {
  const { answer } = state, bands = $('.gv-bands');
  if (!answer) return;
  const labels = bandsOf(answer).map((band) => {
    const label = make('label', null), input = make('input', null, { type: 'radio', name: 'gv-band', value: band });
    label.append(input, band === 'contrast' ? comparison(answer) : shownClass(answer, band).label);
    return label;
  });
  bands.hidden = answer.rival === null;
  bands.replaceChildren(bands.querySelector('legend'), ...labels);
  view(() => $$('[name=gv-band]').forEach((n) => { n.checked = n.value === state.band; }));
}

/** Every layer of the network, good or poor, in the order in which they run. */
function showDoctor() {
  const { answer, doctor } = state, panel = $('.gv-doctor');
  if (!doctor || !answer || panel.dataset.for === answer.model.key + answer.detail) return;
  panel.dataset.for = answer.model.key + answer.detail;
  $('.gv-found').textContent = answer.found;
  const rows = answer.doctor.map((layer) => {
    const [name, [h, w], kind, poor] = layer, row = make('tr', null), cell = make('td', null);
    const holder = h * w > 1 ? make('button', null, { type: 'button', 'data-go': name }) : null;
    if (holder) cell.append(holder);
    (holder ?? cell).append(breakable(name));
    row.append(cell, make('td', kind), make('td', verdictOf(layer, answer.best)));
    row.className = name === answer.best ? 'gv-best' : poor ? 'gv-poor' : '';
    return row;
  });
  $('.gv-doctor tbody').replaceChildren(...rows);
}

/** A layer's name, which may go on in the next line after "_" and "/". */
function breakable(name) {
  const node = make('span', null, { class: 'gv-name' });
  for (const piece of name.split(/(?<=[_/])/)) node.append(piece, make('wbr', null));
  return node;
}

/**
 * Tells the rest of the page what is in view.
 * @typedef {object} InView
 * @property {LessonRequest} request to take it apart
 * @property {{ name: string, shape: number[], best: boolean }[]} layers that are suggested
 * @property {string} method
 * @property {Sign} sign
 * @property {string} rival the class it is held against, or empty
 * @property {string[]} cautions
 * @property {boolean} unsure
 * @property {string} chance of the class
 * @property {string} base address of the picture
 * @property {number[]} picture H, W
 * @property {ClassRow[]} classes
 * @property {number} target
 * @property {string} label
 * @property {string} model
 * @property {number[]} input
 * @property {string} head
 * @property {number} count
 */
function announce() {
  if (!ready()) return;
  const now = look(), { answer, band } = now, { key, title, head, input } = answer.model, c = shownClass(answer, band);
  const layers = answer.layers.filter((row) => row.suggested);
  window.gradcam = {
    request: { path: answer.path, model: key, target: c.index, detail: answer.detail, layer: state.layer },
    layers: layers.map(({ name, shape }) => ({ name, shape, best: name === answer.best })),
    method: state.method, sign: now.sign, rival: band === 'contrast' ? classOf(answer, answer.rival).label : '',
    cautions: cautions(now), unsure: isUnsure(answer), chance: chance(c, head),
    base: state.base.image.src, picture: answer.picture, classes: answer.classes, target: c.index, label: c.label,
    model: title, input, head, count: answer.count,
  };
  document.dispatchEvent(new Event('gradcam'));
}

// ---- what a visitor does -----------------------------------------------------------------------

/** Whoever goes on with an answer that stands has read what was said. */
function goOn(patch = {}) {
  set({ ...patch, said: state.said.stale ? state.said : SILENCE });
}

function say(sentence, mild = false, stale = state.said.stale) {
  set({ said: { sentence, mild, stale } });
  if (sentence && !mild) $('.gv-error').scrollIntoView({ block: 'nearest' });
}

/** One that is still on its way is no longer wanted. */
const goTo = (layer) => goOn({ layer, wanted: null });

/** A layer, which may have to be asked for. */
function choose(name) {
  if (rowOf(state.answer, name)) goTo(name);
  else fetchLayer(name);
}

function fetchLayer(layer) {
  set({ wanted: { layer, answer: state.answer } });
  trigger('layer', { name: layer });
}

/** So many layers on; after the last comes the first, or none. */
function step(by, round = false) {
  const names = state.answer.layers.map((row) => row.name), n = names.indexOf(state.layer) + by, count = names.length;
  goTo(names[round ? (n + count) % count : Math.min(Math.max(n, 0), count - 1)]);
}

function play(on) {
  clearInterval(state.playing);
  set({ playing: on ? setInterval(() => element.checkVisibility() ? step(1, true) : play(false), 700) : null });
}

/** What a class's button does: a question that was answered already is only shown. */
function chooseClass(index) {
  const { target, rival } = state.answer;
  if (rival !== null && index === rival) goOn({ band: 'rival' });
  else if (rival !== null && index === target) goOn({ band: 'target' });
  else trigger('choose', { index, rival: false });
}

function pointAt(e) {
  if (!state.answer) return;
  const r = e.currentTarget.getBoundingClientRect();
  const place = [(e.clientY - r.top) / r.height, (e.clientX - r.left) / r.width];
  if (place.every((x) => x >= 0)) set({ place });
}

const STEPS = {
  ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0],
  Home: [0, -Infinity], End: [0, Infinity],
};

element.addEventListener('keydown', (e) => {
  const by = STEPS[e.key];
  if (!by || !state.answer) return;
  if (e.target.closest('.gv-strip')) {
    e.preventDefault();
    play(false);
    step(by[0] + by[1]);
    $('.gv-strip [aria-checked=true]').focus();
  } else if (e.target.closest('.gv-over .gv-frame')) {
    e.preventDefault();
    const { h, w } = look().grid, [i, j] = state.place ? cellAt(state.place, h, w) : [h >> 1, w >> 1];
    set({ place: middleOf(inside([i + by[0], j + by[1]], h, w), h, w) });
  }
});
element.addEventListener('change', (e) => {
  const { name, value, checked } = e.target;
  if (name === 'layer') { play(false); choose(value); }
  else if (name === 'method' || name === 'colours') goOn({ [name]: value });
  else if (name === 'box') goOn({ box: checked });
  else if (name.startsWith('gv-')) goOn({ [name.slice(3)]: value });
});
element.addEventListener('input', (e) => {
  const { name, value } = e.target;
  if (name === 'opacity' || name === 'swipe') set({ [name]: Number(value) });
  else if (name === 'threshold') set({ threshold: Number(value), box: true });
});
element.addEventListener('click', (e) => {
  const button = e.target.closest('button');
  if (!button || !state.answer) return;
  const { index, rival, layer, go } = button.dataset;
  if (index) chooseClass(Number(index));
  else if (button.matches('.gv-why')) trigger('choose', { index: Number(rival), rival: true });
  else if (layer) { play(false); goTo(layer); }
  else if (go) { play(false); choose(go); }
  else if (button.matches('.gv-play')) play(!state.playing);
  else if (button.matches('.gv-save-overlay')) saveOverlay();
  else if (button.matches('.gv-save-figure')) saveFigure(button);
});
for (const name of ['pointermove', 'pointerdown']) $('.gv-over .gv-frame').addEventListener(name, pointAt);
$('.gv-over .gv-frame').addEventListener('pointerleave', (e) => {
  if (e.pointerType !== 'touch') set({ place: null }); // a finger that is lifted leaves what it chose
});
$('.gv-doctor').addEventListener('toggle', () => set({ doctor: $('.gv-doctor').open }));
new ResizeObserver(centre).observe($('.gv-strip'));
document.addEventListener('gradcam-on', () => goOn());
document.addEventListener('gradcam-layer', (e) => { if (state.answer) choose(e.detail); });

// ---- files -------------------------------------------------------------------------------------

function save(what, blob) {
  const { answer, layer } = state, link = make('a', '');
  link.download = `gradcam-${answer.model.key}-${layer.replaceAll('/', '-')}-${answer.target}-${what}.png`;
  link.href = URL.createObjectURL(blob);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function saveOverlay() {
  const [H, W] = state.answer.picture, out = make('canvas', null, { width: W, height: H }), pen = out.getContext('2d');
  const box = boxNow();
  pen.fillStyle = '#fff';
  pen.fillRect(0, 0, W, H);
  pen.drawImage(state.base.image, 0, 0, W, H);
  pen.globalAlpha = state.opacity / 100;
  pen.drawImage(painted(heatNow(H, W), paletteNow(), H, W), 0, 0);
  if (box) {
    const [l, t, r, b] = inPixels(box, H, W), line = Math.max(2, Math.max(H, W) / 200);
    pen.globalAlpha = 1;
    for (const [colour, width] of [['#000', 2 * line], ['#fff', line]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.strokeRect(l, t, r - l, b - t);
    }
  }
  out.toBlob((blob) => save('overlay', blob));
}

/** @returns {FigureRequest} */
function figureNow() {
  const { answer, band, layer, method, colours, opacity } = state, shared = sharesScale(answer, methodNow());
  return {
    path: answer.path, model: answer.model.key, target: shownClass(answer, band).index,
    rival: band === 'contrast' ? answer.rival : null, layer, method, sign: signNow(), colours, opacity: opacity / 100,
    detail: answer.detail, top: shared ? reach(sharingNow(), signNow(), (map) => [map.max, -map.min]) : 0,
    box: boxNow(),
  };
}

async function saveFigure(button) {
  const text = button.textContent;
  button.disabled = true;
  button.textContent = 'Drawing the figure …';
  try {
    /** @type {FigureAnswer | Refusal} */
    const made = await server.figure(figureNow());
    if (made.png) save('figure', new Blob([bytesOf(made.png)], { type: 'image/png' }));
    else say(made.error);
  } catch {
    say(UNREACHED);
  }
  button.disabled = false;
  button.textContent = text;
}

// ---- what the server sends ---------------------------------------------------------------------

/**
 * One more layer is asked for beside the other questions: when it comes, another may be in view.
 * @param {View} value
 */
function overtaken({ base, answer }) {
  const about = (a, url) => JSON.stringify([url, a.model.key, a.target, a.rival, a.detail]);
  if (!answer?.extra || !state.answer || about(answer, base.url) === about(state.answer, state.url)) return false;
  const { wanted } = state;
  if (wanted && state.answer !== wanted.answer) fetchLayer(wanted.layer);
  return true;
}

function receive() {
  /** @type {View} */
  const value = props.value;
  if (!value || overtaken(value)) return;
  const mild = !value.error || value.error === props.no_picture;
  say(value.error || value.note, mild, Boolean(value.error) && (!value.stands || state.said.stale));
  if (value.answer) take(value.answer, value.base.url);
}

/**
 * @param {Answer} answer
 * @param {string} url of its picture
 */
function take(answer, url) {
  const before = state.answer, askedWhy = document.activeElement === $('.gv-why');
  const { layer, missing } = layerAfter(before, answer, state.layer, state.wanted?.layer);
  const asksAnew = !before || before.target !== answer.target || before.rival !== answer.rival;
  set({
    answer, url, layer, bytes: signedBytesOf(answer.bytes), wanted: null,
    band: asksAnew ? bandsOf(answer).at(-1) : state.band,
    place: state.base?.url === url ? state.place : null,
  });
  if (askedWhy && answer.rival !== null) $('[name=gv-band]:checked').focus({ preventScroll: true }); // the link goes
  if (before && (asksAnew || before.model.key !== answer.model.key)) comeBack();
  element.dataset.answer = `${answer.model.key}/${answer.target}/${answer.rival ?? ''}`;
  if (state.base?.url !== url) load(answer, url);
  if (missing) fetchLayer(missing);
}

/** The picture is shown together with the answer about it, or not at all. */
function load(answer, url) {
  const image = new Image(), [H, W] = answer.picture;
  const mine = () => state.answer === answer;
  image.onload = () => { if (mine()) set({ base: { image, url, ratio: W / H } }); };
  image.onerror = () => {
    if (mine()) say('The picture could not be shown by this browser; save it as JPEG or PNG and try again.');
  };
  image.src = url;
}

/** Whoever chose in the lists, which are below where all is in one column, sees what that did. */
function comeBack() {
  const shown = element.checkVisibility() ? $('.gv-words') : document.querySelector('#lesson .gl-about');
  const top = shown?.getBoundingClientRect().top, oneColumn = matchMedia('(max-width: 900px)').matches;
  if (choseInLists() && oneColumn && (top < 0 || top > innerHeight)) shown.scrollIntoView();
}

// ---- the start ---------------------------------------------------------------------------------

const choseInLists = followLists();
refuseHeavy(props.heaviest, () => say(props.heavy));
easeLists();

// On a phone what a cell says stands below the overlay, which stays in sight.
const phone = matchMedia('(max-width: 600px)');
phone.onchange = () => (phone.matches ? $('.gv-over') : $('.gv-side')).append($('.gv-pointer'));
phone.onchange();

$('[name=method]').append(...props.methods.map((m) => make('option', m.name, { value: m.name })));
$('[name=colours]').append(...props.colours.map((c) => make('option', c, { value: c })));

for (const show of [
  showSaid, showLayers, showClasses, showQuestions, showDoctor, showPicture, showMap, showOpacity, showSides, showBox,
  showFrames, paintFrames, markFrame, showSentence, showWarnings, showMethod, showRival, showScale, showCell, showPlay,
  announce,
]) view(show);
watch('value', receive);
receive();
