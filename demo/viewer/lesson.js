// How it is made: one figure that grows step by step, for the picture, class and layer that the viewer shows. Each step
// asks before it shows.

import { $, $$, clear, make, tell, write } from './dom.js';
import { factsOf, patchAt } from './facts.js';
import { fly } from './flight.js';
import { isPending, openTab, watchBeside } from './gradio.js';
import { cellAt } from './maps.js';
import { answersOf } from './paper.js';
import { PLAYS, goLayer } from './play.js';
import { followNotes, openNotes, printHandout } from './printer.js';
import { sceneOf } from './scenes.js';
import { COURSES, STATIONS, answerOf, letterOf, revealsOf } from './script.js';
import {
  addView, ask, askContrast, askCover, askEarlier, askNudge, begin, isHidden, keyOf, put, state,
} from './taught.js';
import { averaged, grids } from './words.js';

/** @import { StepRow } from './wire.js' */
/** @import { Facts } from './facts.js' */

const LAST = STATIONS.length - 1, MADE = 9, USUAL = '45'; // MADE: with this step the map is made

/** A step that there is. */
const existing = (n) => Math.min(Math.max(n, 0), LAST);

// ---- what is in view, as facts -----------------------------------------------------------------

const madeOf = { of: [], facts: null };

/** Made anew only where something of it has changed. @returns {Facts} */
function factsNow(hidden = isHidden()) {
  const { lesson, topic, bytes, tile, cell, nudged, contrast, earlier, covers, patch } = state;
  const of = [lesson, topic, tile, cell, nudged, contrast, earlier, covers, patch, hidden];
  if (of.every((v, n) => v === madeOf.of[n])) return madeOf.facts;
  const facts = factsOf({ lesson, topic, bytes, tile, cell, nudged, contrast, earlier, covers, patch, hidden });
  Object.assign(madeOf, { of, facts });
  return facts;
}

const stationNow = () => STATIONS[state.step];
const course = () => COURSES[state.len || USUAL];

/** The step after this one; after all that is made comes doubt. */
const following = () => course().find((n) => n > (state.step === 0 && phaseNow() ? MADE : state.step));
const preceding = () => course().findLast((n) => n < state.step);

const EARLIER = 10, COVERED = 12; // steps that ask the server

/** How many of the step's reveals are shown. */
const phaseNow = () => Math.min(state.phase, state.step ? revealsOf(stationNow(), factsNow()) : 1);

// ---- what a visitor does -----------------------------------------------------------------------

function announceStep() {
  const { step, phase, len } = state;
  document.dispatchEvent(new CustomEvent('gradcam-stepped', { detail: { step, show: phase, len } }));
  document.dispatchEvent(new Event('gradcam-on'));
}

function turnTo(step, phase = 0) {
  const seen = phase && step && !state.seen.includes(step) ? [...state.seen, step] : state.seen;
  put({ step, phase, seen, fold: '', sum: null });
}

function go(step, phase = 0) {
  turnTo(existing(step), phase);
  announceStep();
}

function forward() {
  const { step } = state, phase = phaseNow();
  if (step && phase < revealsOf(stationNow(), factsNow())) go(step, phase + 1);
  else if (step === MADE) go(0, 1);
  else if (step < course().at(-1)) go(following());
}

function backward() {
  const { step } = state, phase = phaseNow();
  const shown = (n) => go(n, n ? revealsOf(STATIONS[n], factsNow()) : 0);
  if (step === 0 && phase) shown(MADE);
  else if (step && !phase && preceding() === MADE) go(0, 1);
  else if (phase) go(step, phase - 1);
  else if (step) shown(preceding());
}

const fold = (name) => put({ fold: state.fold === name ? '' : name });

/** The handout has the numbers of the what-if: they are asked for, if need be. */
async function handOut() {
  await askNudge();
  printHandout(factsNow(), state.topic.base);
}

/** The teacher's notes, with the answers; what is not known yet is asked for. */
function takeNotes() {
  openNotes(state.step, answersOf(factsNow(false)));
  put({ notes: true });
}

/** Hides the answers, those too that were shown; or no more. */
function hide() {
  const hides = !state.hides;
  put({ hides, fold: '', ...(hides ? { phase: 0, seen: [] } : {}) });
  announceStep();
}

function goFull() {
  if (document.fullscreenElement) document.exitFullscreen();
  else $('.gl').requestFullscreen?.();
}

const KEYS = {
  ArrowRight: forward, PageDown: forward, ' ': forward, Enter: forward, ArrowLeft: backward, PageUp: backward,
  Home: () => go(0), 0: () => go(0), End: () => go(LAST), Escape: () => put({ fold: '' }), f: goFull,
  h: hide, n: takeNotes, p: handOut,
  m: () => hasMath() && fold('math'), c: () => hasCode() && fold('code'), t: () => hasPlay() && fold('play'),
  ...Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => [n, () => go(n)])),
};

document.addEventListener('keydown', (e) => {
  if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || !state.lesson || !element.checkVisibility()) return;
  if (e.target.closest('input, select, textarea, dialog, [contenteditable]')) return;
  if ([' ', 'Enter'].includes(e.key) && e.target.closest('button, a, [role=tab], .gl-touch')) return;
  const act = KEYS[e.key.length === 1 ? e.key.toLowerCase() : e.key];
  if (!act) return;
  e.preventDefault();
  act();
});

// ---- the figure --------------------------------------------------------------------------------

/** Where in the tab "Can I trust it?" a step leads. */
const TESTS = { trust: '.gt-head', forget: '#gt-forget-it', cheat: '#gt-game' };

const vote = (answer) => put({ votes: { ...state.votes, [state.step]: answer } });

/** Where the photo was pointed at: the cell of the layer, or the place of the patch. */
function point(place) {
  if (state.step === COVERED) return put({ patch: patchAt(place), phase: 1 });
  const facts = factsNow(), cell = cellAt(place, facts);
  if (cell) vote(facts.at(cell));
}

function showFigure() {
  const { lesson, topic, step, seen, votes, space: [W, H], fold: open } = state;
  if (!lesson || !W || !H || open === 'play') return;
  const facts = factsNow(), parts = sceneOf(facts, step, { W, H, phase: phaseNow(), seen, vote: votes[step] });
  fly($('.gl-fig'), parts, {
    base: topic.base, placement: lesson.placement, point, go,
    pick: (part, cell) => { if (part.field.h === lesson.shape[0]) put({ cell, nudged: null, sum: null }); },
    open: (name) => {
      const test = TESTS[name];
      if (document.fullscreenElement) document.exitFullscreen(); // which would hide the other tab
      window.gradcamTest = test; // for a tab that is made only when it is opened
      openTab(test ? 2 : 0);
      document.dispatchEvent(new CustomEvent(test ? 'gradcam-test' : 'gradcam-tool', { detail: test ?? name }));
    },
    follow: (tile) => put({ tile, nudged: null, sum: null }),
  });
  const said = stationNow().said(facts);
  $('.gl-fig').setAttribute('aria-label', phaseNow() ? answerOf(said) : said.ask);
}

/** One patch after the other: the strongest place, or the visitor's, then the weakest. */
function coverNext() {
  const { patches, covered } = factsNow(), n = covered.indexOf(null);
  if (n >= 0) askCover(patches[n]);
}

/** Numbers that a step needs and that are not there yet. */
function fetchNumbers() {
  const { lesson, step, nudged, contrast, earlier, notes } = state, needs = (...steps) => notes || steps.includes(step);
  if (!lesson) return;
  if (needs(4) && !nudged) askNudge();
  if (needs(7, LAST) && !contrast) askContrast();
  if (needs(EARLIER) && !earlier) askEarlier();
  if (needs(COVERED)) coverNext();
}

// ---- what is asked and said --------------------------------------------------------------------

const rowsOf = () => state.rows.filter((row) => stationNow().keys.includes(row.key));
const hasMath = () => !isHidden() && (rowsOf().length > 0 || Boolean(stationNow().math));
const hasCode = () => rowsOf().length > 0;
const hasPlay = () => !isHidden() && Boolean(stationNow().play);

function showMath(band) {
  const holder = make('div', null, { class: 'gl-math' });
  for (const row of rowsOf()) {
    const formula = make('div', null, { class: 'gl-formula', role: 'img', 'aria-label': row.aloud });
    formula.innerHTML = row.formula; // made by the program itself, when the page is built
    holder.append(formula);
  }
  holder.append(make('p', stationNow().math?.(factsNow()) ?? '', { class: 'gl-put-in' }));
  band.append(holder);
}

function showCode(band) {
  const pre = make('pre', null, { class: 'gl-source', tabindex: '0' });
  pre.append(make('code', rowsOf().map((row) => row.code).join('\n\n')));
  band.append(pre);
}

function showOptions(band, { options }) {
  const holder = make('div', null, { class: 'gl-options', role: 'group', 'aria-label': 'Your guess' });
  options.forEach((text, n) => {
    const button = make('button', null, { type: 'button', 'aria-pressed': String(state.votes[state.step] === n) });
    button.append(make('b', letterOf(n)), text);
    button.onclick = () => vote(n);
    holder.append(button);
  });
  band.append(holder);
}

/** What was guessed, in words. */
function guessed({ options }) {
  const mine = state.votes[state.step];
  if (mine === undefined) return '';
  if (options) return ` Your guess: ${letterOf(mine)}.`;
  return ` You pointed at row ${Math.floor(mine / factsNow().w) + 1}, column ${mine % factsNow().w + 1}.`;
}

function showBand() {
  if (!state.lesson) return;
  const band = clear($('.gl-band')), { fold: open } = state, station = stationNow(), facts = factsNow();
  band.dataset.fold = open;
  if (open === 'math') return showMath(band);
  if (open === 'code') return showCode(band);
  const said = station.said(facts), phase = phaseNow(), title = (text) => make('h2', text, { class: 'gl-title' });
  if (!phase) {
    band.append(title(said.ask));
    if (said.options) showOptions(band, said);
    else band.append(make('p', said.hint ?? '', { class: 'gl-hint' }));
    return;
  }
  const shown = phase === 2 ? station.more(facts) : said;
  band.append(
    make('p', shown.ask + (phase === 1 ? guessed(said) : ''), { class: 'gl-asked' }),
    title(phase === 2 ? shown.answer : answerOf(said)),
    make('p', shown.say, { class: 'gl-say' }),
  );
}

function showPlay() {
  const { lesson, topic, step, fold: open } = state, play = open === 'play';
  $('.gl-fig').hidden = play;
  $('.gl-band').hidden = play;
  $('.gl-desk').hidden = !play;
  if (!lesson || !play) return;
  const key = STATIONS[step].play, few = lesson.map.sent[0] === lesson.shape[0] || UNDRAWN.includes(key);
  $('.gl-note').textContent = averaged(lesson.map.sent, lesson.shape);
  $('.gl-note').hidden = few;
  PLAYS[key](clear($('.gl-play')));
  element.dataset.lesson = keyOf(topic);
}

const UNDRAWN = ['question', 'guided']; // they draw no grid of the layer

/** What the large button does next. */
function nextName() {
  const { step } = state, phase = phaseNow();
  if (step && !phase) return stationNow().said(factsNow()).button ?? 'Show the answer';
  if (step && phase < revealsOf(stationNow(), factsNow())) return stationNow().more(factsNow()).button;
  if (step === MADE) return 'Back to all';
  return step === course().at(-1) ? 'The end' : `Next: ${STATIONS[following()].name}`;
}

function showMoves() {
  const { lesson, step, phase, fold: open, topic } = state;
  if (!lesson) return;
  $$('.gl-nav button').forEach((b, n) => {
    if (n === step) b.setAttribute('aria-current', 'step');
    else b.removeAttribute('aria-current');
    b.classList.toggle('gl-done', state.seen.includes(n));
    b.classList.toggle('gl-out', !course().includes(n));
    b.hidden = Boolean(STATIONS[n].long) && n !== step && !course().includes(n);
  });
  $('.gl-nav [aria-current]').scrollIntoView({ block: 'nearest', inline: 'center' });
  $('.gl-back').disabled = step === 0 && !phase;
  $('.gl-next').disabled = step === course().at(-1) && phaseNow() === revealsOf(stationNow(), factsNow());
  write($('.gl-next span'), nextName());
  for (const [name, has] of [['math', hasMath()], ['code', hasCode()], ['play', hasPlay()]]) {
    const button = $(`.gl-foot [data-fold=${name}]`);
    button.hidden = !has;
    button.setAttribute('aria-pressed', String(open === name));
  }
  $('.gl-courses').hidden = step > 0;
  $$('.gl-courses button').forEach((b) => b.setAttribute('aria-pressed', String(b.value === (state.len || USUAL))));
  element.dataset.step = String(step);
  element.dataset.show = String(phaseNow());
  element.dataset.lesson = keyOf(topic);
}

function showNotes() {
  const { lesson, step, notes } = state;
  if (lesson && notes) followNotes(step, answersOf(factsNow(false)));
}

// ---- above the steps: what they take apart, and what is still on its way -----------------------

const isBehind = () => Boolean(state.lesson) && keyOf(state.wanted) !== keyOf(state.topic);

const PARTS = { path: 'picture', model: 'network', detail: 'grid', target: 'class', layer: 'layer' };

function showWait() {
  const { lesson, topic, wanted, asked, error, pending, stale, said } = state;
  const behind = isBehind(), wait = $('.gl-wait');
  const changed = behind && Object.keys(PARTS).find((k) => wanted.request[k] !== topic.request[k]);
  $('.gl-all').hidden = !lesson;
  $('.gl-all').classList.toggle('gl-stale', Boolean(lesson) && (pending || behind || stale));
  wait.hidden = lesson ? !pending && !(behind && asked) && !said : Boolean(error);
  if (!lesson) write(wait, said || 'The network is loading …');
  else if (said && !pending) write(wait, `${said}${stale ? ' Below: the steps of the answer before.' : ''}`);
  else write(wait, `Working on the new ${PARTS[changed] ?? 'choice'} …`);
}

const showError = () => tell($('.gl-error'), state.error);

function showAbout() {
  const { lesson, topic, wanted } = state;
  if (!lesson) return;
  const others = [...wanted.cautions];
  if (wanted.unsure) others.push('The network is not sure.');
  if (wanted.method !== 'Grad-CAM') others.push(`The method ${wanted.method} is not taken apart here, only Grad-CAM.`);
  if (wanted.rival) others.push(`What speaks for it rather than for ${wanted.rival} comes in step 7.`);
  if (wanted.sign !== 'for') others.push('Evidence against the class comes in step 7.');
  const told = state.step > 1 || state.seen.includes(1); // step 1 asks for it
  const about = told && !isHidden() ? `${topic.label} (${topic.chance})` : 'the answer';
  clear($('.gl-about')).append(make('span', 'Grad-CAM for '), about, make('span', ` · ${topic.model}`));
  const other = isHidden() ? '' : others.join(' ');
  tell($('.gl-other'), other);
}

/** Hidden is hidden on all of the page. */
function showHidden() {
  document.body.dataset.answers = isHidden() ? 'hidden' : 'shown';
  $('.gl-hide').setAttribute('aria-pressed', String(state.hides));
}

function showLayers() {
  const { lesson, wanted } = state, select = $('.gl-layer select');
  if (!lesson) return;
  const name = wanted.request.layer, layers = wanted.layers.some((l) => l.name === name) ? wanted.layers
    : [...wanted.layers, { name, shape: lesson.layer === name ? lesson.shape : null }];
  const key = JSON.stringify(layers);
  if (select.dataset.offered !== key) {
    const text = (l) => `${l.name}${l.shape ? ` · ${grids(l.shape)}` : ''}${l.best ? ' ★' : ''}`;
    select.replaceChildren(...layers.map((l) => make('option', text(l), { value: l.name })));
    select.dataset.offered = key;
  }
  select.value = name;
}

// ---- what the server answers, and what is in view ----------------------------------------------

/** How it is with the viewer. */
function lookBeside() {
  const viewer = document.querySelector('#viewer');
  const said = viewer?.querySelector(':is(.gv-error, .gv-hint):not([hidden])')?.textContent ?? '';
  put({ pending: isPending(), stale: Boolean(viewer?.querySelector('.gv-stale')), said });
}

async function renew() {
  const wanted = window.gradcam ? { ...window.gradcam } : null, key = keyOf(wanted);
  put({ wanted });
  lookBeside();
  if (!wanted || !element.offsetParent || state.asked === key) return;
  put({ asked: key });
  if (!state.rows.length) ask('formulas', {}).then((rows) => put({ rows: rows ?? [] }));
  const lesson = await ask('lesson', wanted.request);
  if (lesson) begin(lesson, wanted);
  else if (state.asked === key) put({ asked: null });
}

// ---- the start ---------------------------------------------------------------------------------

STATIONS.forEach(({ name, act }, n) => {
  const button = make('button', null, { type: 'button', 'data-act': act });
  const sign = { 0: '⌂', [LAST]: '⚑' }[n];
  button.append(make('b', sign ?? `${n}`, sign ? { 'aria-hidden': 'true' } : {}), make('span', name));
  button.onclick = () => go(n);
  $('.gl-nav').append(button);
});
$('.gl-back').onclick = backward;
$('.gl-next').onclick = forward;
$('.gl-full').onclick = goFull;
$('.gl-hide').onclick = hide;
$('.gl-notes').onclick = takeNotes;
$('.gl-print').onclick = handOut;
$$('.gl-courses button').forEach((b) => {
  b.onclick = () => {
    put({ len: b.value });
    announceStep();
  };
});
$$('.gl-foot [data-fold]').forEach((b) => { b.onclick = () => fold(b.dataset.fold); });
$('.gl-large').onclick = (e) => { if (!e.target.closest('.gl-sheet')) e.currentTarget.close(); };
$('.gl-layer select').onchange = (e) => goLayer(e.target.value);

for (const show of [
  showError, showWait, showAbout, showLayers, showMoves, showBand, showPlay, showFigure, showHidden,
  fetchNumbers, showNotes,
]) addView(show);
document.addEventListener('gradcam', renew);
document.addEventListener('gradcam-step', ({ detail: { step, show, len } }) => {
  put({ len });
  turnTo(existing(step), show);
});
new IntersectionObserver(renew).observe(element);
new ResizeObserver(([{ contentRect: { width, height } }]) => {
  if (width) put({ space: [Math.floor(width), Math.floor(height)] });
}).observe($('.gl-fig'));
watchBeside(element, lookBeside);
