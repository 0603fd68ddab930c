// Can I trust it? The map in view is put to the test: by hiding, by a verdict, by a mosaic.

import { $, $$, make, tell, write } from './dom.js';
import { bytesOf, lit, project, scaled, signedBytesOf, valuesOf } from './maps.js';
import { plotHiding } from './plot.js';
import { image } from './sheets.js';
import { ask, change, keyOf, request, runTest, showing, state, stopRun, target } from './doubt.js';
import { NOTHING_DRAWN, isDrawn, regionShown, watchDrawing } from './drawing.js';
import { compare, forgetShares, showSide } from './side.js';
import { beginGame, showSuspects, watchGame } from './suspects.js';
import { aim, forget, hold, showAim, showForget, showHold } from './trials.js';
import { aboutHiding, chance, few, filled, percent } from './words.js';

/** @import { GameRow, HideAnswer, HideRequest, Likely, MosaicAnswer, TrustRequest, VerdictAnswer } from './wire.js' */
/** @import { InView } from './viewer.js' */

const PALETTE = bytesOf(props.palettes[props.colours[0]]);
const HIGHEST = 420; // pixels of the picture, drawn
const GRID = 360; // pixels of a mosaic's side, drawn
const QUARTERS = ['top left', 'top right', 'bottom left', 'bottom right'];

// ---- hide and see ------------------------------------------------------------------------------

/** @returns {HideRequest} */
const hideRequest = () => ({
  ...request(), share: state.share / 100, order: state.order, fill: state.fill,
  region: state.what === 'cells' ? null : state.region,
});

let hiding = false; // one question at a time; what is asked next is what is chosen by then

async function hideNewest() {
  if (hiding || state.what !== 'cells' && !isDrawn(state.region)) return;
  hiding = true;
  try {
    for (let asked = ''; state.topic && asked !== JSON.stringify(hideRequest());) {
      const given = hideRequest(), { share: _share, order: _order, fill: _fill, region: _region, ...about } = given;
      asked = JSON.stringify(given);
      const made = await ask('hide', given);
      if (!state.topic || JSON.stringify(request()) !== JSON.stringify(about)) continue; // another map since then
      if (!made) break;
      change({ hidden: { ...made, ...given } });
    }
  } finally {
    hiding = false;
  }
}

/** The likeliest classes, each a bar; the one in question is marked. @param {Likely[]} classes */
function bars(classes) {
  const { percent: inPercent, target: index } = state.topic, most = Math.max(...classes.map((c) => c.p), 1e-9);
  return classes.map((c) => {
    const row = make('div', null, { class: `gt-bar${c.index === index ? ' gt-mine' : ''}` }), bar = make('i', null);
    bar.style.width = `${100 * Math.max(inPercent ? c.p : c.p / most, 0)}%`;
    row.append(make('span', c.label), make('b', chance(c, inPercent)), bar);
    return row;
  });
}

function showHidden() {
  const { topic, hidden, share, order, fill, what, region } = state;
  $$('[name=what]').forEach((n) => { n.checked = n.value === what; });
  $('.gt-cells').hidden = what !== 'cells';
  $('.gt-draw').hidden = what === 'cells';
  write($('.gt-draw p'), isDrawn(region) ? 'Draw again to hide something else.'
    : `Drag on the picture to ${what === 'box' ? 'draw a box' : 'brush over it'}.`);
  $('.gt-draw button').hidden = !isDrawn(region);
  $('[name=share]').value = share;
  $('.gt-range span').textContent = `Hide ${share} % of the cells`;
  $$('[name=order]').forEach((n) => { n.checked = n.value === order; });
  $('[name=hide-fill]').value = fill;
  if (!topic) return;
  const photo = $('.gt-see .gt-photo');
  photo.classList.toggle('gt-old', !hidden);
  if (!hidden) return;
  photo.style.aspectRatio = hidden.ratio;
  photo.style.maxWidth = `${HIGHEST * hidden.ratio}px`;
  const now = hidden.classes.find((c) => c.index === topic.target);
  $('.gt-see img').src = hidden.picture;
  $('.gt-see img').alt = `The picture with ${hidden.region ? 'what you drew'
    : `the ${hidden.order} ${Math.round(100 * hidden.share)} %`} hidden`;
  write($('.gt-says'), aboutHiding(hidden, topic, chance(target(), topic.percent), chance(now, topic.percent)));
  $('.gt-bars').replaceChildren(...bars(hidden.classes));
}

// ---- the verdict -------------------------------------------------------------------------------

async function test() {
  const found = await runTest('verdict', request());
  if (found) change({ found, shown: 'blur' });
}

function showVerdict() {
  const { found, shown } = state;
  $('[data-run=verdict]').hidden = Boolean(found);
  $('.gt-found').hidden = !found;
  if (!found) return;
  const row = found.fills.find((one) => one.fill === shown), x = [0, ...row.shares.map((s) => 100 * s)];
  const line = (y) => [found.whole, ...y];
  write($('.gt-sentence'), found.sentence);
  $('.gt-sentence').dataset.ruling = found.ruling;
  $('.gt-fills').replaceChildren(make('legend', 'Painted over with'), ...found.fills.map((one) => {
    const label = make('label', null), input = make('input', null, { type: 'radio', name: 'shown', value: one.fill });
    const words = make('span', null);
    input.checked = one.fill === shown;
    words.append(make('b', filled(one.fill)), `: ${one.words}`);
    label.append(input, words);
    return label;
  }));
  const curves = [
    { y: line(row.centre.hottest), kind: 'gt-hot gt-dash' }, { y: line(row.centre.coldest), kind: 'gt-cold gt-dash' },
    { y: line(row.map.hottest), kind: 'gt-hot' }, { y: line(row.map.coldest), kind: 'gt-cold' },
  ];
  const band = row.low && [line(row.low), line(row.high)];
  const wide = $('.gt-plot').clientWidth || 520;
  $('.gt-plot').replaceChildren(plotHiding(x, curves, band, wide,
    'The score as more and more cells are hidden, the hottest or the coldest first, for the map and for the centre'));
  $('.gt-banded').hidden = !band;
  $('.gt-p').hidden = found.fills.every((one) => !one.low);
  $('.gt-cost').textContent = `The network was asked ${found.passes} times, in ${few(found.seconds)} seconds.`;
}

// ---- the mosaic --------------------------------------------------------------------------------

const pictureOf = (path) => state.pool.find((one) => one.path === path);

/** The examples, and what has been in view: a visitor's own pictures too. */
function gather(topic) {
  const pool = [...state.pool];
  if (!pool.length) {
    for (const [file, path] of Object.entries(props.samples)) {
      const small = document.querySelector(`#examples [data-file="${file}"] img`);
      if (small) pool.push({ path, src: small.src, title: small.alt });
    }
  }
  const { path } = topic.request;
  if (!pool.some((one) => one.path === path)) pool.push({ path, src: topic.base, title: 'Your picture' });
  const tiles = state.tiles.length ? state.tiles : pool.slice(1, 5).map((one) => one.path);
  change({ pool, tiles });
}

/** One picture takes the place of another; where both are in the mosaic they swap. */
function swap(path, other) {
  const tiles = state.tiles.map((p) => p === path ? other : p === other ? path : p);
  stopRun('mosaic');
  change({ tiles, picked: null, mosaic: null });
  forgetShares();
}

function pick(path) {
  const { picked, tiles } = state;
  if (picked === null || picked === path) change({ picked: picked === path ? null : path });
  else if (tiles.includes(picked) || tiles.includes(path)) swap(picked, path);
  else change({ picked: path });
}

function tileOf(path, where) {
  const { src, title } = pictureOf(path), { picked } = state;
  const button = make('button', null, { type: 'button', title, draggable: 'true', 'data-path': path });
  button.setAttribute('aria-label', where ? `${title}, ${where}` : title);
  button.setAttribute('aria-pressed', String(picked === path));
  button.append(make('img', null, { src, alt: '', draggable: 'false' }));
  button.onclick = () => pick(path);
  button.ondragstart = (e) => { e.dataTransfer.setData('text/plain', path); };
  button.ondragover = (e) => e.preventDefault();
  button.ondrop = (e) => {
    e.preventDefault();
    e.stopPropagation();
    const from = e.dataTransfer.getData('text/plain');
    if (pictureOf(from) && from !== path) swap(from, path);
  };
  return button;
}

function showTiles() {
  const { pool, tiles, mosaic, method, quarter, picked } = state, focused = document.activeElement?.dataset?.path;
  $('.gt-pool').replaceChildren(...pool.filter((one) => !tiles.includes(one.path)).map((one) => tileOf(one.path)));
  const grid = $('.gt-grid');
  if (!mosaic) grid.replaceChildren(...tiles.map((path, n) => tileOf(path, QUARTERS[n])));
  else {
    const row = mosaic.rows[method], map = row.maps[quarter];
    const values = valuesOf(map, signedBytesOf(mosaic.bytes)), [h, w] = map.sent;
    const lattice = { h, w, placement: mosaic.placement };
    const heat = project(scaled(values, false).unit, lattice, GRID, GRID);
    const canvas = make('canvas', null, { width: GRID, height: GRID, role: 'img' }), pen = canvas.getContext('2d');
    canvas.setAttribute('aria-label', `${row.method} for ${mosaic.quarters[quarter].label}`);
    const picture = image(mosaic.picture, '');
    picture.onload = () => {
      pen.drawImage(picture, 0, 0, GRID, GRID);
      const { data } = pen.getImageData(0, 0, GRID, GRID);
      pen.putImageData(new ImageData(lit(data, heat, PALETTE, 0.95, false), GRID, GRID), 0, 0);
    };
    const choices = mosaic.quarters.map((q, n) => {
      const text = `${q.label} ${mosaic.percent ? percent(q.p) : ''}`;
      const button = make('button', null, { type: 'button', class: 'gt-quarter' });
      button.setAttribute('aria-pressed', String(n === quarter));
      button.append(make('span', text));
      button.onclick = () => change({ quarter: n });
      return button;
    });
    grid.replaceChildren(canvas, ...choices);
  }
  grid.classList.toggle('gt-played', Boolean(mosaic));
  $('[data-run=mosaic]').hidden = $('.gt-pool').hidden = Boolean(mosaic);
  $('.gt-again').hidden = !mosaic;
  $('.gt-hint').textContent = mosaic
    ? 'The heat is for the framed class; click another. The numbers: how likely each is in the mosaic.'
    : picked ? 'Now click the picture to swap it with.'
      : 'Drag a picture onto another to swap them. Or click one, then the other.';
  if (focused) $$('[data-path]').find((n) => n.dataset.path === focused)?.focus();
}

/** @param {GameRow} row */
function bar(row, n) {
  const button = make('button', null, { type: 'button', class: 'gt-row', 'aria-pressed': String(n === state.method) });
  const track = make('span', null, { class: 'gt-track' }), fill = make('i', null);
  fill.style.width = `${100 * (row.share ?? 0)}%`;
  track.append(fill, make('u', null));
  button.append(make('span', row.method), track, make('b', row.share === null ? 'no heat' : percent(row.share)));
  button.onclick = () => change({ method: n });
  return button;
}

function showRows() {
  const { mosaic, method } = state;
  $('.gt-rows').replaceChildren(...(mosaic?.rows ?? []).map((row, n) => bar(row, n)));
  $('.gt-warnings').replaceChildren(...(mosaic?.warnings ?? []).map((text) => make('li', text)));
  $('.gt-chance').hidden = !mosaic;
  if (!mosaic) return;
  const each = mosaic.rows[method].shares.map((share, n) => {
    return `${mosaic.quarters[n].label} ${share === null ? 'no heat' : percent(share)}`;
  });
  $('.gt-chance').textContent = `Each bar: how much of the heat lies in the right quarter, the mean of four classes. ` +
    `The line at 25 % is chance. ${mosaic.rows[method].method}: ${each.join(', ')}.`;
}

async function play() {
  const { tiles, topic } = state, { model, layer } = topic.request;
  change({ picked: null });
  const mosaic = await runTest('mosaic', { model, layer, paths: tiles });
  if (!mosaic) return;
  const method = mosaic.rows.findIndex((row) => row.method === state.topic.method);
  change({ mosaic, method: Math.max(method, 0), quarter: 0 });
}

// ---- what takes a while ------------------------------------------------------------------------

/** By the name of each: what its button does, and what stands beside that. */
const RUNS = {
  verdict: { go: test, before: `The network is asked up to ${props.most_passes} times.` },
  mosaic: { go: play },
  forget: { go: forget },
  hold: { go: hold },
  sides: { go: compare, before: 'This takes minutes. It fills in as it goes, and can be stopped.' },
};

function showRuns() {
  const { runs } = state;
  for (const row of $$('[data-run]')) {
    const now = runs[row.dataset.run], [go, end] = row.querySelectorAll('button'), bar = row.querySelector('progress');
    const held = [go, end].includes(document.activeElement);
    go.hidden = Boolean(now);
    end.hidden = bar.hidden = !now;
    bar.value = now?.part ?? 0;
    write(row.querySelector('span'), !now ? RUNS[row.dataset.run].before ?? ''
      : now.words || (now.part ? 'The network is asked again and again …' : 'Waiting for its turn …'));
    if (held) (now ? end : go).focus();
  }
}

for (const row of $$('[data-run]')) {
  const { run } = row.dataset, [go, end] = row.querySelectorAll('button');
  go.onclick = RUNS[run].go;
  end.onclick = () => stopRun(run);
}

// ---- what is in view ---------------------------------------------------------------------------

function showTopic() {
  const { topic, error } = state;
  $('.gt-all').hidden = !topic;
  $('.gt-wait').hidden = Boolean(topic || error);
  tell($('.gt-error'), error);
  if (!topic) return;
  $('.gt-about').textContent = `${topic.method} for ${topic.label} (${topic.chance}) · ${topic.request.layer} · ` +
    `${topic.model}${topic.rival ? `. What speaks for it rather than for ${topic.rival} is not tested here.` : ''}`;
}

function renew() {
  if (!window.gradcam || !element.offsetParent) return;
  const topic = { ...window.gradcam };
  if (keyOf(topic) !== keyOf(state.topic)) {
    const same = state.topic && ['model', 'layer'].every((k) => state.topic.request[k] === topic.request[k]);
    for (const name of Object.keys(RUNS)) if (name !== 'mosaic' || !same) stopRun(name);
    const nothing = { region: NOTHING_DRAWN, round: NOTHING_DRAWN };
    const drawn = state.topic?.request.path === topic.request.path ? {} : nothing;
    change({ topic, hidden: null, found: null, forgot: null, held: null, aimed: null, side: null, step: 0, ...drawn,
      ...(same ? {} : { mosaic: null }) });
    if (isDrawn(state.round)) aim();
    gather(topic);
  }
  hideNewest();
  goToGoal();
}

/** Here the lesson leads to one of the tests. */
function lead() {
  change({ goal: window.gradcamTest ?? '' });
  goToGoal();
}

function goToGoal() {
  const { topic, goal } = state;
  if (!topic || !goal || !element.offsetParent) return;
  change({ goal: '' });
  requestAnimationFrame(() => $(goal).scrollIntoView());
}

$('[name=hide-fill]').append(...props.fills.map((name) => make('option', filled(name), { value: name })));
element.addEventListener('input', ({ target: { name, value } }) => {
  if (name === 'share') change({ share: Number(value) });
  else if (name === 'order') change({ order: value });
  else if (name === 'hide-fill') change({ fill: value });
  else if (name === 'shown') change({ shown: value });
  else if (name === 'what') change({ what: value, region: NOTHING_DRAWN });
  else if (name === 'tool') change({ tool: value, round: NOTHING_DRAWN, aimed: null });
  if (['share', 'order', 'hide-fill', 'what'].includes(name)) hideNewest();
});
$('.gt-again').onclick = () => change({ mosaic: null });
const hiddenPart = watchDrawing($('.gt-see .gt-photo'), {
  tool: () => state.what === 'cells' ? null : state.what,
  region: () => state.region,
  give: (region, done) => { change({ region }); if (done) hideNewest(); },
});
const object = watchDrawing($('.gt-aim .gt-photo'), {
  tool: () => state.tool,
  region: () => state.round,
  give: (round, done) => { change({ round }); if (done) aim(); },
});
$('.gt-draw button').onclick = () => { change({ region: NOTHING_DRAWN, what: 'cells' }); hideNewest(); };
$('.gt-aim .gt-clear').onclick = () => change({ round: NOTHING_DRAWN, aimed: null });
showing(() => regionShown(hiddenPart, state.region));
showing(() => regionShown(object, state.round));
watchGame();
for (const show of [showTopic, showHidden, showRuns, showVerdict, showTiles, showRows, showForget, showHold, showAim,
  showSide, showSuspects]) showing(show);
document.addEventListener('gradcam', renew);
document.addEventListener('gradcam-test', lead);
lead();
new IntersectionObserver(renew).observe(element);
new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) beginGame(); })
  .observe($('.gt-game'));
