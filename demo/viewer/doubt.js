// What is put to the test, and how far the tests are: the one state of the tab, and how it asks.

import { NOTHING_DRAWN } from './drawing.js';
import { store } from './store.js';
import { UNREACHED } from './words.js';

/**
 * @import {
 *   AimAnswer, CheatAnswer, CheatRequest, Confession, ForgetAnswer, HideAnswer, HoldAnswer, MosaicAnswer, TrustRequest,
 *   VerdictAnswer
 * } from './wire.js'
 */
/** @import { InView } from './viewer.js' */

/**
 * token: the word by which it is followed and stopped. words: what is done, where that is more than one thing.
 * @typedef {{ token: string, part: number, words: string }} Run
 */

const OFTEN = 500; // milliseconds between questions how far it is

const tab = store({
  /** @type {InView | null} */ topic: null, // what is put to the test
  error: '',
  goal: '', // the part that another tab leads to, its selector
  share: 20,
  order: 'hottest',
  fill: 'blur',
  what: 'cells', // that are hidden: these, or what a visitor draws
  region: NOTHING_DRAWN, // that
  /** @type {HideAnswer | null} */ hidden: null,
  /** @type {VerdictAnswer | null} */ found: null,
  shown: 'blur', // whose curves
  /** @type {Record<string, Run>} */ runs: {}, // what takes a while and is on its way, by its name
  pool: [], // pictures that may be in the mosaic: { path, src, title }
  tiles: [], // those that are, their paths, as one reads
  picked: null, // which of them is to be swapped
  /** @type {MosaicAnswer | null} */ mosaic: null,
  /** @type {ForgetAnswer | null} */ forgot: null,
  step: 0, // how far it has forgotten, in the picture that is large
  /** @type {HoldAnswer | null} */ held: null,
  tool: 'box', // what one draws round the object with
  round: NOTHING_DRAWN, // the object
  /** @type {AimAnswer | null} */ aimed: null,
  thing: '', // that is drawn for the networks that may cheat
  number: 0, // which of them
  tag: null, // where
  /** @type {(CheatAnswer & { about: CheatRequest }) | null} */ answers: null,
  /** @type {Confession[] | null} */ truth: null,
  closer: null, // the network that is looked at closer, and the view before: { model, arrived, address, about }
  side: null, // the rows of the methods side by side
  sideAt: '', // the row that is large
  method: 0, // whose map is drawn over the mosaic
  quarter: 0, // and of which class
});
export const state = tab.state;
export const change = tab.set;
export const showing = tab.view;

/** @returns {TrustRequest} */
export const request = () => ({ ...state.topic.request, method: state.topic.method });
export const keyOf = (topic) => topic && JSON.stringify([topic.request, topic.method]);
export const target = () => state.topic.classes.find((c) => c.index === state.topic.target);

/** null where there is no answer; a sentence then says why. */
export async function ask(name, given) {
  try {
    const made = await server[name](given);
    change({ error: made.error ?? '' });
    return made.error ? null : made;
  } catch {
    change({ error: UNREACHED });
    return null;
  }
}

// ---- what takes a while ------------------------------------------------------------------------

export const amendRun = (name, more) => change({ runs: { ...state.runs, [name]: { ...state.runs[name], ...more } } });

export function endRun(name) {
  const { [name]: _ended, ...runs } = state.runs;
  change({ runs });
}

/** @returns {{ token: string, isWanted: () => boolean }} isWanted: neither ended nor stopped */
export function beginRun(name) {
  const token = crypto.randomUUID?.() ?? String(Math.random()), isWanted = () => state.runs[name]?.token === token;
  amendRun(name, { token, part: 0, words: '' });
  follow(token, isWanted, (part) => amendRun(name, { part }));
  return { token, isWanted };
}

/** Tells how far it is, as long as that is wanted. */
async function follow(token, isWanted, hear) {
  while (isWanted()) {
    try {
      const { part } = await server.far(token);
      if (isWanted() && part) hear(part);
    } catch { /* the answer itself says what is wrong */ }
    await new Promise((go) => setTimeout(go, OFTEN));
  }
}

export function stopRun(name) {
  const { token } = state.runs[name] ?? {};
  if (!token) return;
  endRun(name);
  server.cancel(token).catch(() => {}); // it ends by itself where nobody follows it
}

/** A test of the server's; null where it is stopped, or has no answer. */
export async function runTest(name, given) {
  const { token, isWanted } = beginRun(name);
  const made = await server[name]({ ...given, token }).catch(() => ({ error: UNREACHED }));
  if (!isWanted()) return null;
  endRun(name);
  change({ error: made.error ?? '' });
  return made.error ? null : made;
}
