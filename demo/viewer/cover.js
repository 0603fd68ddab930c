// "Cover": a patch on the picture, and what the network says of it then. It is really run, for the newest place only.

import { $, $$, frame, make } from './dom.js';
import { goOn, say } from './acts.js';
import { boxRound, hasCard, middleOf, middleOfBox, shownClass, sizeOfBox, strongest } from './maps.js';
import { addView, arranged, look, put, ready, state } from './shown.js';
import { UNREACHED } from './words.js';

/** @import { CoverAnswer, CoverRequest, Refusal } from './wire.js' */

const SIZE = [0.3, 0.3], STEP = 1 / 28, PLACES = 7, AT_ONCE = 8;

/** @returns {CoverRequest} */
function requestOf(boxes) {
  const { answer, band, layer, fill } = state;
  return {
    path: answer.path, model: answer.model.key, target: shownClass(answer, band).index,
    rival: band === 'contrast' ? answer.rival : null, detail: answer.detail, layer, boxes, fill,
  };
}

/** @returns {Promise<CoverAnswer | null>} */
async function ask(boxes) {
  try {
    /** @type {CoverAnswer | Refusal} */
    const made = await server.cover(requestOf(boxes));
    if (!made.error) return made;
    say(made.error);
  } catch {
    say(UNREACHED);
  }
  return null;
}

// ---- one patch ---------------------------------------------------------------------------------

let asking = false; // one question at a time; what is asked next is what is covered by then

/** What the answer about a patch hangs on, but for its place. */
const about = () => JSON.stringify(requestOf([]));

async function askNewest() {
  if (asking || !state.patch) return;
  asking = true;
  let patch = null, question = null;
  while (state.patch && !state.tried && (state.patch !== patch || about() !== question)) {
    [patch, question] = [state.patch, about()];
    const made = await ask([patch]);
    if (!made) break;
    if (state.patch && !state.tried && about() === question) put({ covered: made });
  }
  asking = false;
}

/** A patch there, or none. */
function lay(patch) {
  put({ patch, tried: null, ...(patch ? {} : { covered: null }) });
  askNewest();
}

function showPatch() {
  if (!ready()) return;
  const { patch, tool, fill, tried, answer } = state, on = tool === 'cover';
  $$('.gv-patch').forEach((n) => {
    frame(n, on && !tried ? patch : null);
    n.dataset.fill = fill;
  });
  $('[name=fill]').value = fill;
  $('.gv-cover').hidden = !on;
  $('.gv-search').hidden = on || answer.count === 1;
  $('.gv-all').textContent = !tried ? 'Try all places' : tried.done < tried.fall.length ? 'Stop' : 'One patch';
  $('.gv-all').setAttribute('aria-pressed', String(Boolean(tried)));
}

/** A first thing to do, where there is room for it. */
function showTry() {
  if (!ready()) return;
  const now = look(), { model } = now.answer, c = shownClass(now.answer, now.band), card = $('.gv-try');
  const what = c.label.length > 16 ? 'the same' : c.label;
  const asks = state.tool !== 'cover' && c.rank === 1 && !now.method.class_agnostic;
  card.hidden = model.head !== 'softmax' || model.guesses.length > 0 || !hasCard(arranged(), ...state.size);
  card.style.visibility = asks ? '' : 'hidden'; // what stands below it stays where it is
  card.replaceChildren('Try it: cover the brightest cells. ', make('b', `Does it still say ${what}?`));
}

let before = []; // what the patch was last settled for

/**
 * Where the tool is taken up, a patch lies on the strongest cell; where it is put down, none is left; where the
 * question changes, it is asked about anew. That comes after the view: a view sets nothing.
 */
function settlePatch() {
  const { tool, answer, url, layer, band, fill } = state, now = [tool, url, answer, layer, band, fill];
  if (!ready() || now.every((v, n) => v === before[n])) return;
  const fresh = tool !== before[0] || url !== before[1];
  before = now;
  queueMicrotask(() => {
    if (tool !== 'cover') {
      if (state.patch || state.tried) lay(null);
      return;
    }
    if (!fresh && state.patch) return void askNewest();
    const { grid } = look();
    lay(boxRound(middleOf(strongest(grid), grid), SIZE));
  });
}

// ---- all places --------------------------------------------------------------------------------

async function tryAll() {
  if (state.tried) return lay(state.patch);
  const { answer, band, url } = state, c = shownClass(answer, band), size = [1 / PLACES, 1 / PLACES];
  const boxes = Array.from({ length: PLACES * PLACES }, (_, n) => {
    return boxRound(middleOf([Math.floor(n / PLACES), n % PLACES], { h: PLACES, w: PLACES }), size);
  });
  let tried = { h: PLACES, w: PLACES, fall: new Float32Array(boxes.length), done: 0 };
  put({ tried, covered: null });
  while (tried.done < boxes.length) {
    const made = await ask(boxes.slice(tried.done, tried.done + AT_ONCE));
    if (!made || state.tried !== tried || state.url !== url) return;
    const fall = Float32Array.from(tried.fall);
    made.classes.forEach((list, n) => {
      fall[tried.done + n] = Math.max(c.p - list.find((one) => one.index === c.index).p, 0);
    });
    tried = { ...tried, fall, done: tried.done + made.classes.length };
    put({ tried });
  }
}

// ---- hands on it -------------------------------------------------------------------------------

const KEYS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };

function drag(e) {
  const r = $('.gv-over').getBoundingClientRect();
  const place = [(e.clientY - r.top) / r.height, (e.clientX - r.left) / r.width];
  lay(boxRound(place, state.patch ? sizeOfBox(state.patch) : SIZE));
}

export function setCover() {
  $('[name=fill]').append(...props.fills.map((name) => make('option', name)));
  $('[name=fill]').addEventListener('change', (e) => goOn({ fill: e.target.value }));
  $('.gv-all').addEventListener('click', tryAll);
  $('.gv-over').addEventListener('pointerdown', (e) => {
    if (state.tool !== 'cover' || !e.target.closest('.gv-frame, .gv-hand')) return;
    $('.gv-over').setPointerCapture(e.pointerId);
    drag(e);
  });
  $('.gv-over').addEventListener('pointermove', (e) => {
    if ($('.gv-over').hasPointerCapture(e.pointerId)) drag(e);
  });
  $('.gv-hand').addEventListener('keydown', (e) => {
    const by = KEYS[e.key], grow = { '+': 1.15, '-': 1 / 1.15 }[e.key], { patch } = state;
    if (!patch || !(by || grow)) return;
    e.preventDefault();
    const size = sizeOfBox(patch).map((side) => Math.min(Math.max(side * (grow ?? 1), 0.08), 0.8));
    lay(boxRound(middleOfBox(patch).map((x, n) => x + STEP * (by ?? [0, 0])[n]), size));
  });
  $('.gv-try').addEventListener('click', () => goOn({ tool: 'cover' }));
  addView(showPatch);
  addView(showTry);
  addView(settlePatch);
}
