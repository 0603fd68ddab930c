// The pictures: the photograph, the map over it, the cell that is read, the divider; and how large they are.

import { $, $$, clear, frame, make, paint, write } from './dom.js';
import { arrangeAround } from './gradio.js';
import {
  cellAt, cellBeside, fitted, frameOf, inPixels, linesOf, middleOf, scaled, upsample,
} from './maps.js';
import {
  SIDE, addView, addsUp, arranged, boxNow, heatNow, isLit, light, look, paletteNow, plainPalette, put, ready, state,
  sumNow,
} from './shown.js';
import { NO_CELL, aboutCell, caption, numbersBehind, saying, sumOf, tip } from './words.js';

const hint = $('.gv-pointer').textContent;
const HOLD = 300; // milliseconds until a press shows the photograph

function showPicture() {
  const { base } = state;
  if (!base) return;
  $$('.gv-frame img').forEach((n) => { n.src = base.url; });
  const pen = make('canvas', null, { width: 1, height: 1 }).getContext('2d');
  pen.imageSmoothingQuality = 'high';
  pen.drawImage(base.image, 0, 0, 1, 1);
  $('.gv').style.setProperty('--mean', `rgb(${[...pen.getImageData(0, 0, 1, 1).data].slice(0, 3)})`);
}

function showSize() {
  const ratio = state.base?.ratio ?? 2, { arr, high } = arranged();
  const wide = Math.round(high * ratio), part = $('.gv');
  part.dataset.arr = arr;
  for (const [name, value] of [
    ['--ratio', ratio], ['--pw', `${wide}px`], ['--ph', `${high}px`],
    ['--stagew', `${state.one ? wide : 2 * wide + 10}px`],
  ]) part.style.setProperty(name, value);
  arrangeAround(arr);
}

function showMap() {
  if (!ready()) return;
  const { tried } = state, canvas = $('.gv-heat'), [H, W] = fitted(...state.answer.picture, SIDE);
  const heat = tried ? upsample(scaled(tried.fall, false).unit, tried.h, tried.w, H, W) : heatNow(H, W);
  const sign = tried ? 'for' : undefined;
  if (canvas.height !== H || canvas.width !== W) [canvas.height, canvas.width] = [H, W];
  if (isLit()) light(canvas, heat, sign);
  else paint(canvas, heat, tried ? plainPalette() : paletteNow());
  element.dataset.layer = state.layer;
  element.dataset.drawn = Number(element.dataset.drawn || 0) + 1;
}

function showOpacity() {
  $('[name=colours]').value = state.colours;
  $('[name=opacity]').value = state.opacity;
  $('[name=opacity-out]').textContent = `${Math.round(state.opacity)} %`;
  $('.gv-heat').style.opacity = isLit() ? 1 : state.opacity / 100;
}

function showTools() {
  const { tool, one, swipe, held } = state, compares = tool === 'compare', edge = $('.gv-edge');
  $$('[name=gv-tool]').forEach((n) => { n.checked = n.value === tool; });
  Object.assign($('.gv-stage').dataset, { tool, one });
  $('.gv-one').setAttribute('aria-pressed', String(one));
  $('.gv-one span').textContent = one ? 'Side by side' : 'One picture';
  $('.gv-swipe').hidden = edge.hidden = !compares;
  $('.gv-heat').style.clipPath = held ? 'inset(0 0 0 100%)' : compares ? `inset(0 0 0 ${swipe}%)` : '';
  edge.style.left = `${swipe}%`;
  $('.gv-swipe').value = swipe;
}

function showBox() {
  const paper = state.box && state.threshold === 15 ? ' (as in the paper)' : '';
  $('[name=box]').checked = state.box;
  $('[name=threshold]').value = state.threshold;
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
  const now = look(), { grid } = now, cell = state.place && cellAt(state.place, grid), bubble = $('.gv-tip');
  const box = cell && frameOf(cell, grid), lines = linesOf(grid);
  $$('.gv-cell').forEach((n) => frame(n, box));
  frame($('.gv-lattice'), cell && lines.rows <= 28 ? lines.box : null);
  $('.gv-lattice').style.setProperty('--cells', `${100 / lines.columns}% ${100 / lines.rows}%`);
  write($('.gv-pointer'), cell ? aboutCell(now, cell) : state.place ? NO_CELL : hint);
  bubble.hidden = !cell;
  if (!cell) return;
  const [value, more] = tip(now, cell, addsUp() ? sumOf(now, sumNow()) : null);
  const [l, t, r, b] = box.map((v) => 100 * v), isAbove = t > 60;
  bubble.replaceChildren(make('b', value), ` ${more}`);
  bubble.classList.toggle('gv-above', isAbove);
  bubble.style.left = `${Math.min(Math.max((l + r) / 2, 16), 84)}%`;
  bubble.style.top = `${isAbove ? t : b}%`;
}

function showCaption() {
  if (!ready()) return;
  const now = look();
  $('.gv-caption').textContent = state.tool === 'compare' ? 'left: the picture · right: the map'
    : state.held ? 'the picture' : caption(now, state.tried);
  const seen = saying(now, plainPalette(), isLit()).map(([text]) => text).join('');
  $('.gv-over .gv-frame').setAttribute('aria-label', `${seen} Arrow keys read the cells.`);
}

// ---- hands on it -------------------------------------------------------------------------------

function pointAt(e) {
  if (!state.answer || state.tool !== 'look') return;
  const r = e.currentTarget.getBoundingClientRect();
  const place = [(e.clientY - r.top) / r.height, (e.clientX - r.left) / r.width];
  if (place.every((x) => x >= 0)) put({ place });
}

/** By rows and columns, from the cell that is read or from the middle. */
export function moveCell(steps) {
  const { grid } = look(), from = cellAt(state.place ?? [0.5, 0.5], grid) ?? [grid.h >> 1, grid.w >> 1];
  put({ place: middleOf(cellBeside(from, steps, grid), grid) });
}

function hold() {
  let waiting = null;
  const end = () => {
    clearTimeout(waiting);
    if (state.held) put({ held: false });
  };
  $('.gv-over .gv-frame').addEventListener('pointerdown', () => {
    end();
    if (state.tool !== 'look') return;
    waiting = setTimeout(() => put({ held: true, place: null }), HOLD);
  });
  for (const name of ['pointerup', 'pointercancel', 'pointerleave']) {
    $('.gv-over .gv-frame').addEventListener(name, end);
  }
}

export function setStage() {
  for (const part of $$('.gv-frame')) {
    for (const name of ['pointermove', 'pointerdown']) part.addEventListener(name, pointAt);
    part.addEventListener('pointerleave', (e) => {
      if (e.pointerType !== 'touch') put({ place: null }); // a finger that is lifted leaves what it chose
    });
  }
  hold();
  window.addEventListener('resize', () => put({ size: [innerWidth, innerHeight] }));
  for (const show of [
    showPicture, showSize, showTools, showMap, showOpacity, showBox, showCell, showCaption,
  ]) addView(show);
}
