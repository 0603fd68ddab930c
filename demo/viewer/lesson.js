// How it is made: one step at a time, for the picture, class and layer that the viewer shows.

import { readLink } from './address.js';
import { $, $$, clear, frame, make, tell, write } from './dom.js';
import { isPending, watchBeside } from './gradio.js';
import {
  bytesOf, cellAt, cellBeside, earlier, filmOf, frameOf, roundingOf, scaled, signedBytesOf, tellingNudge, valuesOf,
  without,
} from './maps.js';
import { plotCurves, plotStems } from './plot.js';
import { figure, image, over, photo, row, sheet, slider, table, tiles } from './sheets.js';
import { store } from './store.js';
import {
  ABOUT_FILM, UNREACHED, aboutLayerTile, aboutMaps, aboutNudge, aboutOverlay, aboutPooling, aboutQuestion, aboutRelu,
  aboutScaling, aboutSum,
  aboutSwitches, averaged, firstTerms, grids, number, scoreTable, signed,
} from './words.js';

/** @import { CellSum, Guided, Lesson, Nudge, StepMap, StepRow, Tile, Without } from './wire.js' */
/** @import { Drawn } from './sheets.js' */
/** @import { InView } from './viewer.js' */

/** @type {StepRow[]} */
const steps = props.steps;
const PLAIN = props.colours.find((name) => !props.lit.includes(name)); // a grid by itself has no picture to light
const palettes = Object.fromEntries(Object.entries(props.palettes).map(([name, text]) => [name, bytesOf(text)]));

/** What a visitor plays with, at the start of a lesson. */
const FRESH = {
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
};

/** A step that there is. */
const existing = (n) => Math.min(Math.max(n, 0), steps.length - 1);

const { state, set, view } = store({
  step: existing(Number(readLink(location.hash).link.step ?? 1) - 1),
  /** @type {Lesson | null} */ lesson: null,
  bytes: null, // of its maps
  /** @type {InView | null} */ topic: null, // what it is about
  /** @type {InView | null} */ wanted: null, // what the viewer shows, which may be ahead of it
  asked: null, // the key of what was asked for last
  error: '',
  pending: false, // whether an answer is on its way to the viewer
  stale: false, // whether what it shows is not what the page asks for
  said: '', // what it says to the visitor
  opacity: 50,
  ...FRESH,
});

/** @param {InView | null} about */
const keyOf = (about) => about && JSON.stringify(about.request);

/** @returns {Tile} */
const tile = () => state.lesson.tiles[state.tile];

const cellNow = () => state.cell ?? state.lesson.shape.slice(0, 2).map((n) => n >> 1);
const cellName = () => { const [i, j] = cellNow(); return `row ${i + 1}, column ${j + 1}`; };
const rounding = () => roundingOf(state.topic.classes);
const say = (text) => { $('.gl-numbers').textContent = text; };
const valuesIn = (map) => valuesOf(map, state.bytes);

/**
 * @param {StepMap} map
 * @param {boolean} round whether zero is in the middle of the colours
 * @param {number} top what their end stands for; 0: the largest of this map
 * @param {Float32Array} data instead of the map's own
 * @returns {Drawn}
 */
function drawn(map, round = false, top = 0, data = valuesIn(map)) {
  const [h, w] = map.sent, palette = palettes[round ? props.diverging[PLAIN] : PLAIN];
  return { h, w, placement: state.lesson.placement, data, round, palette, ...scaled(data, round, top) };
}

/** A grid with its scale. */
const sheetOf = (map, ...how) => sheet(drawn(map, ...how), Boolean(map.numbers));

const hasBothSigns = (map) => map.bottom > 0;

// ---- what can be moved -------------------------------------------------------------------------

const ARROWS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };

/**
 * A cell of the grid can be chosen in this area, by pointer or arrow keys; others mark it, too.
 * @param {number[] | null} placement of the cells in the area
 */
function choosable(placement, field, ...others) {
  const [h, w] = state.lesson.shape, lattice = { h, w, placement }, marks = [field, ...others].map((area) => {
    const mark = make('div', null, { class: 'gl-mark' });
    area.append(mark);
    return mark;
  });
  const go = (cell) => { if (cell) set({ cell, nudged: null }); };
  field.tabIndex = 0;
  field.setAttribute('role', 'application');
  field.onclick = (e) => {
    const r = field.getBoundingClientRect();
    go(cellAt([(e.clientY - r.top) / r.height, (e.clientX - r.left) / r.width], lattice));
  };
  field.onkeydown = (e) => {
    const by = ARROWS[e.key];
    if (by) { e.preventDefault(); go(cellBeside(cellNow(), by, lattice)); }
  };
  view(() => {
    const what = `Grid of ${h} rows and ${w} columns; arrow keys choose a cell. Chosen: ${cellName()}`;
    for (const mark of marks) frame(mark, frameOf(cellNow(), lattice));
    field.setAttribute('aria-label', what);
  });
}

const goLayer = (name) => document.dispatchEvent(new CustomEvent('gradcam-layer', { detail: name }));

/** Where the gradient is one number all over: a way to a layer where it is not. */
function tryEarlier() {
  const { lesson, topic } = state, layer = tile().even && earlier(topic.layers, lesson.layer, lesson.shape[0]);
  if (!layer) return '';
  const button = make('button', `Try ${layer.name}`, { type: 'button' });
  button.onclick = () => goLayer(layer.name);
  return row(make('p', 'Every cell has the same gradient here.'), button);
}

/** The layers of the film, each over the picture. */
function filmTiles() {
  const { lesson: { layers }, topic } = state, best = topic.layers.find((l) => l.best)?.name;
  const holder = row(...filmOf(layers.map((one) => ({ ...one, suggested: true })), best).map((one) => {
    const map = { ...drawn(one.map), placement: one.placement };
    return photo(over(map, topic, one.name !== best), aboutLayerTile(one), topic.picture, 130, 20);
  }));
  holder.style.flexWrap = 'wrap';
  return holder;
}

// ---- the steps: each fills the right half and says its numbers ---------------------------------

const show = {
  question(play) {
    const { lesson, topic } = state, [low, high] = lesson.range.map((v) => number(v));
    play.append(
      row(
        figure(image(lesson.input, 'Your picture as the network gets it'),
          `${topic.crop ? 'The middle of your picture, made' : 'Your picture, squashed to'} the network’s ` +
          `${grids(topic.input)} pixels.`, 200),
        figure(image(lesson.after, 'The same after preprocessing'),
          `What the network gets: the same numbers, moved to the range ${low} to ${high} (drawn from dark to ` +
          'bright, so it looks alike).', 200),
      ),
      table(scoreTable(topic), 1 + topic.classes.findIndex((c) => c.index === topic.target)),
    );
    say(aboutQuestion(lesson, topic));
  },

  maps(play) {
    const { lesson, topic } = state, stage = row();
    const all = tiles(lesson.tiles, (t) => drawn(t.a, hasBothSigns(t.a)),
      (t) => `Feature map ${t.k}, weight ${number(t.alpha)}`, (_, n) => set({ tile: n, nudged: null }));
    play.append(stage, all);
    view(() => {
      const t = tile(), both = hasBothSigns(t.a), where = over(drawn(t.a, both), topic, false, 0.55);
      const means = both ? 'Red: above zero, blue: below; this layer has both.'
        : 'Bright: the filter reacted strongly.';
      [...all.children].forEach((b, n) => b.setAttribute('aria-pressed', String(n === state.tile)));
      stage.replaceChildren(
        figure(sheetOf(t.a, both), `Feature map #${t.k}. ${means}`, 230),
        photo(where, 'The same, cell by cell over your picture.', topic.picture, 260, 32),
      );
      say(aboutMaps(lesson, t, topic.label));
    });
  },

  gradient(play) {
    const { topic } = state, t = tile(), lab = make('div', null), curves = make('div', null);
    const grid = sheetOf(t.g, true), itself = sheetOf(t.a, hasBothSigns(t.a));
    const [nudge, title, input] = slider('', { min: 0, max: 1 }, (size) => set({ size }));
    lab.hidden = true;
    lab.append(nudge, curves);
    choosable(null, grid.querySelector('.gl-area'), itself.querySelector('.gl-area'));
    play.append(
      row(
        figure(grid, `The gradient of #${t.k}: red raises the score, blue lowers it.`, 220, ' Click a cell.'),
        figure(itself, `The feature map #${t.k} itself.`, 220),
      ),
      tryEarlier(),
      lab,
    );
    view(() => {
      const { nudged, size } = state;
      if (!nudged) return;
      const change = number(nudged.steps[size]);
      lab.hidden = false;
      input.max = nudged.steps.length - 1;
      input.value = size;
      input.setAttribute('aria-valuetext', change);
      title.textContent = `Nudge this number by ${change} (it is ${number(nudged.a)} now)`;
      curves.replaceChildren(plotCurves(
        nudged.steps,
        [
          { y: nudged.predicted, colour: 'var(--gl-predicted)', name: 'predicted: gradient × nudge', dash: '6 5' },
          { y: nudged.true, colour: 'var(--gl-true)', name: 'true: the network, really run again' },
        ],
        size, room(), 'Predicted and true change of the score over the size of the nudge',
      ));
      say(aboutNudge(nudged, size, `#${t.k} at ${cellName()}`, t.even, rounding()));
    });
    view(async () => {
      const cell = cellNow();
      say('Running the network’s tail …');
      const nudged = await ask('nudge', topic, t.k, ...cell);
      if (nudged) set({ nudged, size: state.size ?? tellingNudge(nudged, rounding()) });
      else if (nudged === null && steps[state.step].key === 'gradient') say('');
    });
  },

  pooling(play) {
    const { lesson } = state, t = tile(), count = lesson.alphas.length;
    const sorted = lesson.alphas.map((alpha, k) => ({ alpha, k })).sort((a, b) => b.alpha - a.alpha);
    const stems = plotStems(sorted.map((s) => s.alpha), sorted.findIndex((s) => s.k === t.k), `#${t.k}`, room(),
      `All ${count} weights, sorted, largest first`);
    const text = `All K = ${count} weights, sorted: red raises the score, blue lowers it. The thick line is #${t.k}.`;
    play.append(
      row(figure(sheetOf(t.g, true), `All ${t.cells} gradients of #${t.k}.`, 230)),
      tryEarlier(),
      row(figure(stems, text, 560)),
    );
    say(aboutPooling(t, lesson.shape));
  },

  sum(play) {
    const { lesson, topic } = state, channels = lesson.shape[2], { map, build, switches } = lesson;
    const end = Math.max(map.top, map.bottom), most = Math.max(...switches.flatMap((t) => [t.map.top, t.map.bottom]));
    const whole = () => figure(sheetOf(map, true, end), 'All terms: the whole sum');
    const [adding, , input] = slider('Add up more and more terms, the heaviest first',
      { min: 0, max: build.length - 1 }, (count) => set({ count }));
    const board = tiles(switches, (t) => drawn(t.map, true, most),
      (t) => `Term of channel ${t.k}, sum ${number(t.total)}`, (t) => turn(t.k));
    const stage = row(), left = row(), report = make('p', '', { class: 'gl-score', role: 'status' });
    const parts = row(left, report);
    const turn = async (k) => {
      const off = state.off.includes(k) ? state.off.filter((other) => other !== k) : [...state.off, k];
      set({ off, score: 'running' });
      const score = await ask('without', topic, off);
      if (score !== undefined) set({ score: score ?? 'failed' });
    };
    board.classList.add('gl-board');
    parts.classList.add('gl-report');
    [...board.children].forEach((b, n) => b.append(make('span', signed(switches[n].total))));
    play.append(
      adding, stage,
      make('h3', 'Switchboard: strongest terms for and against'),
      make('p', 'Below each term: the sum of its cells, which is what it promises to add to the score.'),
      parts, board,
    );
    view(() => {
      const station = build[state.count], text = firstTerms(station.count, channels, lesson.tiles[0].k);
      input.value = state.count;
      input.setAttribute('aria-valuetext', text);
      stage.replaceChildren(
        figure(sheetOf(station.map, true, end), `${text[0].toUpperCase()}${text.slice(1)}`),
        whole(),
      );
      say(aboutSum(station, channels, tile(), state.tile + 1));
    });
    view(() => {
      const off = switches.filter((t) => state.off.includes(t.k)), names = off.map((t) => `#${t.k}`).join(', ');
      const rest = without(valuesIn(map), off.map((t) => valuesIn(t.map)));
      [...board.children].forEach((b, n) => {
        const gone = off.includes(switches[n]);
        b.setAttribute('aria-pressed', String(!gone));
        b.classList.toggle('off', gone);
      });
      left.replaceChildren(figure(sheetOf(map, true, end, rest),
        names ? `The sum without ${names}` : 'The sum with all terms on'));
    });
    view(() => {
      const off = state.off.map((k) => switches.find((t) => t.k === k));
      report.textContent = aboutSwitches(off, state.score, topic.label, rounding());
    });
  },

  relu(play) {
    const { map, whole } = state.lesson, end = Math.max(map.top, map.bottom), stage = row();
    const label = make('label', null, { class: 'gl-check' }), box = make('input', null, { type: 'checkbox' });
    box.onchange = () => set({ turned: box.checked });
    label.append(box, 'Evidence against the class instead (the gradients negated)');
    play.append(stage, label);
    view(() => {
      const { turned } = state, before = valuesIn(map).map((v) => turned ? -v : v);
      const after = before.map((v) => Math.max(v, 0));
      box.checked = turned;
      stage.replaceChildren(
        figure(sheetOf(map, true, end, before), 'Before: the signed sum', 260),
        figure(sheetOf(map, true, end, after), 'After: only what is above zero', 260),
      );
      say(aboutRelu(whole, turned));
    });
  },

  scaling(play) {
    const { lesson, topic } = state, map = drawn(lesson.map);
    const stepped = `Nearest: the ${grids(lesson.map.sent)} cells as they are, each over the part of the picture it ` +
      'stands for.';
    const smooth = 'Bilinear: the same numbers, smooth between the middles of the cells.';
    play.append(row(
      photo(over(map, topic, false), stepped, topic.picture),
      photo(over(map, topic, true), smooth, topic.picture),
    ));
    say(aboutScaling(lesson, topic.picture));
  },

  overlay(play) {
    const { lesson, topic } = state, field = over(drawn(lesson.map), topic, true), report = make('div', null);
    const [opacity, , input] = slider('Opacity', { min: 0, max: 100 }, (v) => set({ opacity: v }));
    choosable(lesson.placement, field);
    play.append(row(photo(field, 'Click any cell to see the sum that made it.', topic.picture, 420)), opacity, report,
      make('h3', 'The layers, each by the method that suits it'), make('p', ABOUT_FILM), filmTiles());
    say(aboutOverlay(lesson, topic.label));
    view(() => {
      input.value = state.opacity;
      field.querySelector('canvas').style.opacity = state.opacity / 100;
    });
    view(() => {
      const { sum } = state;
      if (!sum) return;
      const lines = sum.terms.map((t) => [`#${t.k}`, number(t.alpha), number(t.a), number(t.value)]);
      lines.push([`the other ${sum.others}`, '', '', number(sum.rest)], ['together', '', '', number(sum.total)]);
      report.replaceChildren(
        make('h3', `The sum that made the cell at ${sum.name}`),
        table([['Feature map', 'α', '× A', '= term'], ...lines], lines.length),
      );
    });
    view(async () => {
      const name = cellName(), sum = await ask('cell', topic, ...cellNow());
      if (sum) set({ sum: { ...sum, name } });
    });
  },

  guided(play) {
    const { lesson, topic } = state, pictures = make('div', null, { class: 'gl-row gl-lines' });
    const button = make('button', '', { type: 'button', class: 'gl-run' });
    button.onclick = async () => {
      if (state.running) return;
      set({ running: true });
      const lines = await ask('guided', topic);
      if (state.topic === topic) set({ lines: lines || state.lines, running: false });
    };
    play.append(button, pictures);
    say('');
    view(() => {
      const { lines, running } = state;
      const times = lesson.whole.max > 0 ? 'Times the Grad-CAM map: only where the map is bright.'
        : 'Times the Grad-CAM map, which is empty here: nothing is left.';
      button.hidden = Boolean(lines);
      button.textContent = running ? 'Running …' : 'Run guided backpropagation (one more pass)';
      button.setAttribute('aria-disabled', String(running));
      if (!lines) return;
      pictures.replaceChildren(
        figure(image(lines.guided, 'Guided backpropagation'),
          'Guided backpropagation, on what the network gets: fine lines, hardly different from class to class.', 280),
        figure(image(lines.both, 'Guided Grad-CAM'), times, 280),
      );
    });
  },
};

const room = () => Math.min(560, $('.gl-play').clientWidth || 560);

// ---- the page of a step ------------------------------------------------------------------------

const UNDRAWN = ['question', 'guided']; // steps that draw no grid of the layer

function showStep() {
  const { lesson, topic } = state, { key, title, formula, aloud, words, code } = steps[state.step];
  if (!lesson) return;
  const play = $('.gl-play'), hadFocus = play.contains(document.activeElement);
  $('.gl-title').textContent = title;
  $('.gl-formula').innerHTML = formula; // made by the program itself, when the page is built
  $('.gl-formula').setAttribute('aria-label', aloud);
  $('.gl-text').textContent = words;
  $('.gl-source code').textContent = code;
  $('.gl-note').textContent = averaged(lesson.map.sent, lesson.shape);
  $('.gl-note').hidden = lesson.map.sent[0] === lesson.shape[0] || UNDRAWN.includes(key);
  show[key](clear(play));
  if (hadFocus) $('.gl-title').focus({ preventScroll: true });
  element.dataset.step = key;
  element.dataset.lesson = keyOf(topic);
}

function showMoves() {
  const { step } = state;
  $$('.gl-nav button').forEach((b, n) => {
    if (n === step) b.setAttribute('aria-current', 'step');
    else b.removeAttribute('aria-current');
  });
  $$('.gl-back').forEach((b) => { b.disabled = step === 0; });
  $$('.gl-next').forEach((b) => { b.disabled = step === steps.length - 1; });
}

// ---- above the steps: what they take apart, and what is still on its way -----------------------

const isBehind = () => Boolean(state.lesson) && keyOf(state.wanted) !== keyOf(state.topic);

const PARTS = { path: 'picture', model: 'network', detail: 'grid', target: 'class', layer: 'layer' };

function showWait() {
  const { lesson, topic, wanted, asked, error, pending, stale, said } = state;
  const behind = isBehind(), wait = $('.gl-wait');
  const part = behind && Object.keys(PARTS).find((k) => wanted.request[k] !== topic.request[k]);
  $('.gl-all').hidden = !lesson;
  $('.gl-all').classList.toggle('gl-stale', Boolean(lesson) && (pending || behind || stale));
  wait.hidden = lesson ? !pending && !(behind && asked) && !said : Boolean(error);
  if (!lesson) write(wait, said || 'The network is loading …');
  else if (said && !pending) write(wait, `${said}${stale ? ' Below: the steps of the answer before.' : ''}`);
  else write(wait, `Working on the new ${PARTS[part] ?? 'choice'} …`);
}

const showError = () => tell($('.gl-error'), state.error);

function showAbout() {
  const { lesson, topic, wanted, step } = state;
  if (!lesson) return;
  const where = `Step ${step + 1} of ${steps.length} · Grad-CAM for ${topic.label} (${topic.chance})`;
  const turned = steps.findIndex((s) => s.key === 'relu'), others = [...wanted.cautions];
  if (wanted.unsure) others.push('The network is not sure.');
  if (wanted.method !== 'Grad-CAM') others.push(`The method ${wanted.method} is not taken apart here, only Grad-CAM.`);
  if (wanted.rival) others.push(`What speaks for it rather than for ${wanted.rival} is not taken apart here.`);
  if (wanted.sign !== 'for' && step !== turned) others.push(`Evidence against the class comes in step ${turned + 1}.`);
  $('.gl-about').textContent = `${where} · ${lesson.layer} · ${topic.model}`;
  tell($('.gl-other'), others.join(' '));
}

function showLayers() {
  const { lesson, wanted } = state, select = $('.gl-layer select');
  if (!lesson) return;
  const name = wanted.request.layer, layers = wanted.layers.some((l) => l.name === name) ? wanted.layers
    : [...wanted.layers, { name, shape: lesson.layer === name ? lesson.shape : null }];
  const key = JSON.stringify(layers);
  if (select.dataset.offered !== key) {
    const text = (l) => `${l.name}${l.shape ? ` · ${grids(l.shape)}` : ''}${l.best ? ' ★ best' : ''}`;
    select.replaceChildren(...layers.map((l) => make('option', text(l), { value: l.name })));
    select.dataset.offered = key;
  }
  select.value = name;
}

// ---- what the server answers, and what is in view ----------------------------------------------

const latest = {}; // the last question of each kind

/** null where the server could not; undefined where a newer question has overtaken this. */
async function ask(name, topic, ...more) {
  const mine = latest[name] = {};
  const current = () => mine === latest[name] && (name === 'lesson' || topic === state.topic);
  try {
    const made = await server[name](more.length ? [topic.request, ...more] : topic.request);
    if (!current()) return undefined;
    set({ error: made.error ?? '' });
    return made.error ? null : made;
  } catch {
    if (!current()) return undefined;
    set({ error: UNREACHED });
    return null;
  }
}

/** How it is with the viewer. */
function lookBeside() {
  const viewer = document.querySelector('#viewer');
  const said = viewer?.querySelector(':is(.gv-error, .gv-hint):not([hidden])')?.textContent ?? '';
  set({ pending: isPending(), stale: Boolean(viewer?.querySelector('.gv-stale')), said });
}

async function renew() {
  const wanted = window.gradcam ? { ...window.gradcam } : null, key = keyOf(wanted);
  set({ wanted });
  lookBeside();
  if (!wanted || !element.offsetParent || state.asked === key) return;
  set({ asked: key });
  const lesson = await ask('lesson', wanted);
  if (lesson) set({ ...FRESH, lesson, bytes: signedBytesOf(lesson.bytes), topic: wanted });
  else if (state.asked === key) set({ asked: null });
}

// ---- what a visitor does -----------------------------------------------------------------------

function turnTo(step) {
  if (step !== state.step) set({ step, nudged: null, sum: null });
}

function go(to) {
  turnTo(existing(to));
  document.dispatchEvent(new CustomEvent('gradcam-stepped', { detail: state.step + 1 }));
  document.dispatchEvent(new Event('gradcam-on'));
  $('.gl-title').focus();
}

steps.forEach((s, n) => {
  const b = make('button', `${n + 1}`, { type: 'button', title: s.title });
  b.append(make('span', ` ${s.title}`));
  b.onclick = () => go(n);
  $('.gl-nav').append(b);
});
$$('.gl-back').forEach((b) => { b.onclick = () => go(state.step - 1); });
$$('.gl-next').forEach((b) => { b.onclick = () => go(state.step + 1); });
$('.gl-large').onclick = (e) => { if (!e.target.closest('.gl-sheet')) e.currentTarget.close(); };
$('.gl-layer select').onchange = (e) => goLayer(e.target.value);

for (const part of [showError, showWait, showAbout, showLayers, showMoves, showStep]) view(part);
document.addEventListener('gradcam', renew);
document.addEventListener('gradcam-step', (e) => turnTo(existing(e.detail - 1)));
new IntersectionObserver(renew).observe(element);
watchBeside(element, lookBeside);
