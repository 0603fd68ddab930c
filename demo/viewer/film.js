// The film: the picture goes through the network, layer by layer, to the sum of its last cells.

import { $, $$, make } from './dom.js';
import { choose, goTo } from './acts.js';
import { cellAt, endToEnd, filmOf, frameMap, project, rowOf, shownClass } from './maps.js';
import { addsUp, blend, look, methodOf, ready, put, signOf, state, sumNow, addView } from './shown.js';
import { aboutScore, chance, grids, notASum, plainStage, stageOf } from './words.js';

const THUMB = 168; // pixels of a frame's side, drawn

/** The layers of the film, from early to late. */
const rows = () => filmOf(state.answer.layers, state.answer.best);

function showFrames() {
  if (!ready()) return;
  const { answer } = state, label = (row) => `${row.name}, ${row.shape.join('×')}`, before = $$('.gv-strip button');
  if (String(before.map((b) => b.ariaLabel)) === String(rows().map(label))) return;
  const groups = [];
  for (const row of rows()) {
    const isBest = row.name === answer.best, stage = stageOf(answer.model.key, row.shape, isBest, answer.detail);
    if (!groups.length || stage !== groups.at(-1).stage) groups.push({ stage, frames: [] });
    const about = { 'aria-label': label(row), title: row.name, 'data-layer': row.name };
    const button = make('button', null, { type: 'button', role: 'radio', class: 'gv-thumb', ...about });
    const frame = make('div', null, { class: 'gv-shot' });
    button.append(make('canvas', null, { width: THUMB, height: THUMB }));
    const grid = stage === grids(row.shape) ? '' : grids(row.shape); // said once
    frame.append(button, make('span', grid + (isBest ? ' ★' : ''), { class: 'gv-grid' }));
    groups.at(-1).frames.push(frame);
  }
  $('.gv-strip').replaceChildren(...groups.map(({ stage, frames }) => {
    const group = make('div', null, { class: 'gv-group' }), row = make('div', null);
    row.append(...frames);
    group.append(make('span', stage, { class: 'gv-gl' }), row);
    return group;
  }));
  $('.gv-first .gv-grid').textContent = grids(answer.model.input);
}

function paintFrames() {
  if (!ready()) return;
  const { answer, bytes, base, band } = state, buttons = $$('.gv-strip button');
  const opacity = Math.max(props.opacities[state.colours], 0.6);
  rows().forEach((row, n) => {
    const method = methodOf(row), sign = signOf(method), map = frameMap(answer, bytes, row, method, band, sign);
    const heat = project(map.unit, map, THUMB, THUMB, NaN, row.name !== answer.best);
    blend(buttons[n].querySelector('canvas'), heat, sign, opacity);
  });
  const first = $('.gv-first canvas');
  [first.width, first.height] = [THUMB, THUMB];
  first.getContext('2d').drawImage(base.image, 0, 0, THUMB, THUMB);
}

function markFrame() {
  if (!ready()) return;
  const buttons = $$('.gv-strip button'), shown = buttons.findIndex((n) => n.dataset.layer === state.layer);
  buttons.forEach((n, k) => {
    n.setAttribute('aria-checked', String(k === shown));
    n.tabIndex = k === Math.max(shown, 0) ? 0 : -1;
  });
  centre();
}

/** The layer that is shown comes to the middle. */
function centre() {
  const film = $('.gv-film'), shown = film.querySelector('[aria-checked=true]');
  if (!shown) return;
  const [a, b] = [shown, film].map((n) => n.getBoundingClientRect());
  film.scrollLeft += a.left - b.left - (b.width - a.width) / 2;
}

function showPlay() {
  const on = Boolean(state.playing);
  $('.gv-film').classList.toggle('gv-playing', on);
  $('.gv-play').textContent = on ? '❚❚ Pause' : '▶ Play';
  $('.gv-play').setAttribute('aria-pressed', String(on));
}

function showLayers() {
  const { answer } = state;
  if (!answer) return;
  const option = (name, shape) => {
    const isBest = name === answer.best, { key } = answer.model;
    const plain = isBest ? 'last grid' : plainStage(key, shape, answer.detail);
    const lack = isBest && rowOf(answer, name).poor && 'for want of a better one';
    const words = [plain, name, shape.join('×'), lack].filter(Boolean).join(' · ');
    return make('option', (isBest ? '★ ' : '') + words, { value: name });
  };
  const sent = make('optgroup', null, { label: 'Suggested' });
  const rest = make('optgroup', null, { label: 'All other layers' });
  const others = answer.doctor.filter(([name, [h, w]]) => h * w > 1 && !rowOf(answer, name));
  sent.append(...answer.layers.map((row) => option(row.name, row.shape)));
  rest.append(...others.map(([name, shape]) => option(name, shape)));
  $('[name=layer]').replaceChildren(sent, ...(others.length ? [rest] : []));
  addView(() => { $('[name=layer]').value = state.layer; });
}

// ---- the sum -----------------------------------------------------------------------------------

function showSum() {
  if (!ready()) return;
  const { answer, band, layer, covered } = state, shown = layer === answer.best;
  const grid = sumNow(), bar = $('.gv-sum'), c = shownClass(answer, band);
  const { head, percent } = answer.model, two = band === 'contrast';
  const now = (row) => chance(covered?.classes[0].find((one) => one.index === row.index) ?? row, percent);
  $('.gv-percent').textContent = now(c);
  $('.gv-percent').dataset.long = now(c).length > 6;
  $('.gv-others').textContent = head === 'softmax' ? `of ${answer.count} classes` : 'its answer';
  $('.gv-named').textContent = c.label;
  if (two) {
    const other = shownClass(answer, 'rival');
    $('.gv-percent').append(make('small', ` : ${now(other)}`));
    $('.gv-named').textContent = `${c.label} : ${other.label}`;
  }
  bar.hidden = !grid;
  if (!grid) {
    $('.gv-total').textContent = '';
    $('.gv-sumline').textContent = notASum();
    return;
  }
  const laid = endToEnd(grid);
  const words = aboutScore({ answer, band, covered: shown ? covered : null }, grid, laid, shown);
  $('.gv-total').replaceChildren(`${words.before} `, make('b', words.sum));
  $('.gv-sumline').textContent = words.line;
  bar.setAttribute('aria-label', words.aloud);
  bar.classList.toggle('gv-two', two);
  bar.replaceChildren(...two ? sides(laid, words) : pieces(laid, answer));
}

const PIECES = 100; // cells that are drawn one by one

/** The cells laid end to end, as long as their share of the largest sum of the picture; what is below zero, hatched. */
function pieces({ plus, minus, more, less }, answer) {
  const whole = Math.max(more, ...answer.classes.map((c) => c.y)), [strongest] = plus;
  const long = (v) => `${(Math.abs(v) * Math.max(1, 1 / whole)).toPrecision(6)} 0 0`; // less than 1 would not fill it
  const piece = ({ at, v }, kind) => {
    const node = make('i', null, { 'data-cell': at, class: kind });
    node.style.flex = long(v);
    if (at !== '') node.style.setProperty('--h', `${Math.round(12 + 88 * v / strongest.v)}%`);
    return node;
  };
  const rest = make('i', null, { class: 'gv-rest' });
  rest.style.flex = long(Math.max(whole - more, 0));
  const taken = make('span', null, { class: 'gv-taken' });
  taken.style.width = `${100 * Math.min(-less / whole, 1)}%`;
  taken.style.left = `${100 * Math.max(more + less, 0) / whole}%`;
  const drawn = plus.slice(0, PIECES), others = plus.slice(PIECES).reduce((all, c) => all + c.v, 0);
  const many = piece({ at: '', v: others }, 'gv-many');
  return [...drawn.map((c) => piece(c, 'gv-piece')), ...(others ? [many] : []),
    ...(whole - more > whole / 100 ? [rest] : []), ...(minus.length && -less > whole / 200 ? [taken] : [])];
}

function sides({ more, less }, { texts }) {
  return [['blue', -less, texts[1]], ['red', more, texts[0]]].map(([side, v, text]) => {
    const [much, whom] = v > 0.2 * (more - less) ? text.split(/ (.*)/) : [''];
    const node = make('span', `${much} `, { class: `gv-seg gv-${side}` });
    if (whom) node.append(make('span', whom));
    node.style.flex = `${(v / (more - less)).toFixed(7)} 1 0`;
    return node;
  });
}

/** The cell that is read is marked in the sum, too. */
function markPiece() {
  if (!ready()) return;
  const { grid } = look(), cell = state.place && addsUp() && cellAt(state.place, grid);
  const mine = cell ? cell[0] * grid.w + cell[1] : -1;
  $$('.gv-piece').forEach((n) => n.classList.toggle('gv-hot', Number(n.dataset.cell) === mine));
}

// ---- what a visitor does -----------------------------------------------------------------------

/** So many frames on; after the last comes the first, or none. */
export function step(by, round = false) {
  const names = rows().map((row) => row.name), count = names.length, at = names.indexOf(state.layer);
  const n = (at < 0 ? (by > 0 ? -1 : count) : at) + by;
  goTo(names[round ? (n + count) % count : Math.min(Math.max(n, 0), count - 1)]);
}

export function play(on) {
  clearInterval(state.playing);
  const next = () => element.checkVisibility() ? step(1, true) : play(false);
  put({ playing: on ? setInterval(next, 700) : null });
}

export function setFilm() {
  element.addEventListener('change', (e) => {
    if (e.target.name !== 'layer') return;
    play(false);
    choose(e.target.value);
  });
  new ResizeObserver(centre).observe($('.gv-film'));
  for (const show of [showLayers, showFrames, paintFrames, markFrame, showPlay, showSum, markPiece]) addView(show);
}
