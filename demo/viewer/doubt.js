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

const OFTEN = 500; // milliseconds between questions how far it is

const tab = store({
  /** @type {InView | null} */ topic: null, // what is put to the test
  error: '',
  goal: null, // the part that another tab leads to: { at }, its selector
  share: 20,
  order: 'hottest',
  fill: 'blur',
  what: 'cells', // that are hidden: these, or what a visitor draws
  region: NOTHING_DRAWN, // that
  /** @type {HideAnswer | null} */ hidden: null,
  /** @type {VerdictAnswer | null} */ found: null,
  shown: 'blur', // whose curves
  token: '', // of a verdict on its way
  part: 0, // of it that is done
  pool: [], // pictures that may be in the mosaic: { path, src, title }
  tiles: [], // those that are, their paths, as one reads
  picked: null, // which of them is to be swapped
  /** @type {MosaicAnswer | null} */ mosaic: null,
  asking: false, // whether it is on its way
  /** @type {ForgetAnswer | 'running' | null} */ forgot: null,
  step: 0, // how far it has forgotten, in the picture that is large
  /** @type {HoldAnswer | 'running' | null} */ held: null,
  tool: 'box', // what one draws round the object with
  round: NOTHING_DRAWN, // the object
  /** @type {AimAnswer | null} */ aimed: null,
  thing: '', // that is drawn for the networks that may cheat
  number: 0, // which of them
  tag: null, // where
  /** @type {(CheatAnswer & { about: CheatRequest }) | null} */ answers: null,
  /** @type {Confession[] | null} */ truth: null,
  side: null, // the rows of the methods side by side
  sideAt: '', // the row that is large
  sideToken: '', // while they are compared
  sideDoing: '', // what is done then, in words
  sidePart: 0, // of it
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

/**
 * Tells how far something is that takes long, as long as that is wanted.
 * @param {() => string} wanted the word of what is
 * @param {(part: number) => void} hear
 */
export async function follow(token, wanted, hear) {
  while (wanted() === token) {
    try {
      const { part } = await server.far(token);
      if (wanted() === token && part) hear(part);
    } catch { /* the answer itself says what is wrong */ }
    await new Promise((go) => setTimeout(go, OFTEN));
  }
}

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
