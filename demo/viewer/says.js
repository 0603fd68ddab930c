// The answer: the sentence, the classes, the contrast of two, the scale, the search.

import { $, $$, make, tell, write } from './dom.js';
import { choose, chooseClass, goOn } from './acts.js';
import {
  bandsOf, classOf, findClasses, isEmpty, rivalOf, rowsIn, rowsShown, shownClass, ticksOf, twinsOf,
} from './maps.js';
import {
  addView, arranged, isLit, look, methodNow, plainPalette, put, ramp, ready, signNow, state, topNow,
} from './shown.js';
import {
  SENDING, SENDING_AS_IT_IS, SHRINKING,
  better, chance, comparison, greatest, isDoubtful, notes, number, percent, saying, sayingCovered, sayingTried,
  second, secondCovered, secondTried, unfound, warnings,
} from './words.js';

/** @import { Look } from './words.js' */

const MOST = 8; // classes that a search shows
const LONG = 24; // letters of a class, or of two in a question, that are written small and on more lines
const WHOLE = 48; // letters of a sentence beside which a link has room; without it the same stands in a button
const LOW = 34; // pixels of a class where it is lowest

function showSaid() {
  const { said: { sentence, mild, stale }, shrinking, sending, asItIs } = state;
  const going = shrinking ? SHRINKING : sending && (asItIs ? SENDING_AS_IT_IS : SENDING);
  tell($('.gv-error'), mild || going ? '' : sentence);
  tell($('.gv-hint'), going || (mild ? sentence : ''));
  $('.gv').classList.toggle('gv-stale', stale);
  $('.gv').classList.toggle('gv-sending', sending);
  $('.gv-before').hidden = !stale || !state.answer;
}

/** Pieces of a sentence, [text, what it is], on a node; once more the same, and it would be read aloud once more. */
function spell(node, pieces) {
  const text = pieces.map(([piece]) => piece).join('');
  const key = text + pieces.map(([, kind]) => kind).join();
  if (node.dataset.said === key) return;
  node.dataset.said = key;
  node.dataset.long = text.length > 60 ? 'very' : text.length > 44;
  node.replaceChildren(...pieces.map(([piece, kind]) => {
    return kind ? make(kind === 'name' ? 'b' : 'i', piece, { class: `gv-${kind}` }) : piece;
  }));
}

function showSentence() {
  if (!ready()) return;
  const now = look(), rival = rivalOf(now.answer), sub = $('.gv-sub');
  if (state.tried) {
    spell($('.gv-say'), sayingTried(now, state.tried, isLit()));
    write(sub, secondTried(state.tried, state.fill));
    return;
  }
  if (now.covered) {
    spell($('.gv-say'), sayingCovered(now, state.fill));
    write(sub, secondCovered(now));
    return;
  }
  spell($('.gv-say'), saying(now, plainPalette(), isLit()));
  const { text, asks } = second(now, rival);
  write(sub, text);
  if (asks && text.length < WHOLE) {
    const about = { type: 'button', class: 'gv-link', 'data-why': rival.index };
    sub.append(' ', make('button', 'What tells them apart?', about));
  }
}

function showWarnings() {
  if (!ready()) return;
  const now = look(), { grid, method, band } = now, empty = isEmpty(grid, now.sign, now.top);
  const twins = empty ? [] : twinsOf(props.methods, grid.row, state.bytes, method, band);
  const known = grid.row.verdicts[method.name], said = props.verdicts[known], suits = better(now, known);
  const doubt = !empty && isDoubtful(now, known) ? [said.replaceAll('{method}', method.name)] : [];
  tell($('.gv-warn'), [...warnings(now), ...doubt].join(' '));
  tell($('.gv-note'), notes(now, twins, doubt.length ? '' : said).join(' '));
  if (empty) $('.gv-warn').append(' ', wayOut(now));
  if (doubt.length && (suits || grid.row.name !== now.answer.best)) {
    const words = suits ? `Show ${suits}` : 'Go to the last grid';
    const button = make('button', words, { type: 'button', class: 'gv-link' });
    button.onclick = () => suits ? goOn({ method: '' }) : choose(now.answer.best);
    $('.gv-warn').append(' ', button);
  }
}

/** From an empty map: a button to one that is not. @param {Look} now */
function wayOut({ answer, grid, method }) {
  const button = make('button', null, { type: 'button', class: 'gv-link' });
  const knowing = props.methods.find((m) => !m.against).name;
  const [text, go] = grid.top === 0 && grid.bottom === 0 && grid.row.name !== answer.best
    ? ['Go to the last grid', () => choose(answer.best)]
    : method.against ? [`Show ${knowing}`, () => goOn({ method: knowing })]
      : ['Show both signs', () => goOn({ sign: 'both' })];
  button.textContent = text;
  button.onclick = go;
  return button;
}

function showClasses() {
  const { answer } = state;
  if (!answer) return;
  const { percent } = answer.model;
  const buttons = answer.classes.map((c) => {
    const button = make('button', null, { type: 'button', 'data-index': c.index, title: `Explain ${c.label}` });
    const p = make('span', null, { class: 'gv-p' }), bar = make('span', null, { class: 'gv-bar' });
    bar.style.setProperty('--p', '0%');
    p.append(make('small', ''), make('small', '', { class: 'gv-was' }), make('span', '', { class: 'gv-now' }));
    const { length } = c.label, label = make('span', c.label, { class: 'gv-label', 'data-long': length > LONG });
    label.style.setProperty('--letters', length);
    button.append(label, p, bar);
    return button;
  });
  const held = $('.gv-classes :focus')?.dataset.index;
  $('.gv-classes').replaceChildren(...buttons);
  addView(() => {
    const { band } = state, { index } = shownClass(answer, band), two = band === 'contrast';
    const { base, covered, size, one } = state, fine = matchMedia('(pointer: fine)').matches;
    const room = rowsIn(arranged(), ...size, base?.ratio ?? 2, fine, !one, answer.model.guesses.length > 0);
    const shown = rowsShown(answer.classes, room, [answer.target, answer.rival]);
    $('.gv-guess').style.setProperty('--spare', `${LOW * Math.max(room - shown.length, 0)}px`);
    buttons.forEach((n, k) => {
      const c = answer.classes[k], place = shown.indexOf(c) + 1;
      n.hidden = !place;
      write(n.querySelector('small'), c.rank > place ? `place ${c.rank} · ` : '');
      const now = covered?.classes[0].find((one) => one.index === c.index);
      const bar = n.querySelector('.gv-bar'), was = n.querySelector('.gv-was'), p = n.querySelector('.gv-now');
      if (percent) bar.style.setProperty('--p', `${100 * (now ?? c).p}%`);
      bar.style.setProperty('--was', now && percent ? `${100 * c.p}%` : '0%');
      write(was, now ? `${chance(c, percent)} → ` : '');
      write(p, chance(now ?? c, percent));
      const mine = c.index;
      n.setAttribute('aria-pressed', String(mine === index));
      n.dataset.side = !two ? '' : mine === answer.target ? 'red' : mine === answer.rival ? 'blue' : '';
    });
  });
  buttons.find((n) => n.dataset.index === held)?.focus(); // whoever chose it by a key is still there
}

function showRival() {
  if (!ready()) return;
  const why = $('.gv-why'), { answer, band } = state, rival = rivalOf(answer), on = band === 'contrast';
  why.hidden = !rival || methodNow().class_agnostic;
  if (!rival) return;
  const mine = classOf(answer, answer.target).label;
  why.dataset.why = rival.index;
  why.dataset.long = mine.length + (on ? 8 : rival.label.length) > LONG;
  why.setAttribute('aria-pressed', String(on));
  const words = make('span', null);
  if (on) {
    words.append('Back to ', make('b', mine));
    why.replaceChildren(
      make('i', null, { class: 'gv-dot gv-red' }), make('i', null, { class: 'gv-dot gv-blue' }), words,
      make('span', '✕', { class: 'gv-out', 'aria-hidden': 'true' }),
    );
  } else {
    words.append('What tells ', make('b', mine), ' from ', make('b', rival.label), '?');
    why.replaceChildren(words, make('span', '⇄', { class: 'gv-turn', 'aria-hidden': 'true' }));
  }
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
  addView(() => $$('[name=gv-band]').forEach((n) => { n.checked = n.value === state.band; }));
}

function showScale() {
  if (!ready()) return;
  const { answer, band, tried } = state, sign = tried ? 'for' : signNow(), top = topNow();
  const two = band === 'contrast' && sign === 'both';
  const ends = tried ? ticksOf(greatest(tried.fall), sign).map(percent) : ticksOf(top, sign).map((v) => number(v));
  const ticks = ends.map((text) => make('span', text));
  ticks[2].dataset.of = tried ? ' less' : ' a cell';
  if (two) [0, 2].forEach((n) => { ticks[n].title = classOf(answer, n ? answer.target : answer.rival).label; });
  $('.gv-scale').style.visibility = top > 0 ? '' : 'hidden';
  $('.gv-ticks').replaceChildren(...ticks);
  ramp($('.gv-scale canvas'), sign);
}

// ---- the search --------------------------------------------------------------------------------

let marked = -1; // which of the classes found the arrow keys have marked

async function search() {
  const box = $('[name=find]'), { model } = state.answer ?? {};
  if (!model) return;
  if (state.labels.key !== model.key) {
    /** @type {{ labels: string[] }} */
    const known = await server.labels(model.key);
    if (known.labels) put({ labels: Object.assign(known.labels, { key: model.key }) });
  }
  marked = -1;
  const hits = findClasses(state.labels, box.value), shown = hits.slice(0, MOST);
  const items = shown.map(({ index }, n) => {
    return make('li', state.labels[index], { role: 'option', id: `gv-hit-${n}`, 'data-hit': index });
  });
  const none = unfound(box.value, hits, shown.length);
  if (none) items.push(make('li', none, { class: 'gv-none' }));
  $('.gv-pop').replaceChildren(...items);
  markHit();
}

function markHit() {
  const hits = $$('[data-hit]'), box = $('[name=find]'), open = $('.gv-pop').childElementCount > 0;
  hits.forEach((n, k) => n.setAttribute('aria-selected', String(k === marked)));
  $('.gv-pop').hidden = !open;
  box.setAttribute('aria-expanded', String(open));
  if (hits[marked]) box.setAttribute('aria-activedescendant', hits[marked].id);
  else box.removeAttribute('aria-activedescendant');
}

function closeHits() {
  $('.gv-pop').replaceChildren();
  markHit();
}

function pick(hit) {
  $('[name=find]').value = '';
  closeHits();
  chooseClass(Number(hit.dataset.hit));
}

/** The class that is marked, or the best of what was typed, which may still be looked up. */
async function enter() {
  if (!$$('[data-hit]').length) await search();
  const hits = $$('[data-hit]');
  if (hits.length) pick(hits[Math.max(marked, 0)]);
}

const MOVES = { ArrowDown: 1, ArrowUp: -1 };

/** The second sentence is shown where it has room below the first: the pictures stand still. */
function fitSecond() {
  const [say, sub] = ['.gv-say', '.gv-sub'].map((part) => $(part).offsetHeight);
  $('.gv-words').dataset.fits = say + sub <= parseFloat(getComputedStyle($('.gv-head')).minHeight);
}

export function setAnswer() {
  const watcher = new ResizeObserver(fitSecond);
  for (const part of ['.gv-head', '.gv-say', '.gv-sub']) watcher.observe($(part));
  const box = $('[name=find]');
  box.addEventListener('input', search);
  box.addEventListener('blur', closeHits);
  box.addEventListener('keydown', (e) => {
    const hits = $$('[data-hit]');
    if (e.key === 'Enter') enter();
    else if (e.key === 'Escape' && hits.length) {
      e.preventDefault();
      closeHits();
    } else if (MOVES[e.key] && hits.length) {
      e.preventDefault();
      marked = (Math.max(marked, e.key === 'ArrowUp' ? 0 : -1) + MOVES[e.key] + hits.length) % hits.length;
      markHit();
    }
  });
  $('.gv-pop').addEventListener('pointerdown', (e) => {
    e.preventDefault(); // the box keeps the keyboard
    const hit = e.target.closest('[data-hit]');
    if (hit) pick(hit);
  });
  for (const show of [
    showSaid, showSentence, showWarnings, showClasses, showRival, showQuestions, showScale,
  ]) addView(show);
}
