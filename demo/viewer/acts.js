// What a visitor does: each sets the state, or asks the server.

import { $ } from './dom.js';
import { rowOf } from './maps.js';
import { SILENCE, put, state } from './shown.js';

/** Whoever goes on with an answer that stands has read what was said. */
export function goOn(patch = {}) {
  const asksAnew = ['layer', 'band', 'fill'].some((name) => name in patch); // of what is covered
  put({ ...patch, ...(asksAnew ? { covered: null, tried: null } : {}), said: state.said.stale ? state.said : SILENCE });
}

export function say(sentence, mild = false, stale = state.said.stale) {
  put({ said: { sentence, mild, stale } });
  if (sentence && !mild) $('.gv-error').scrollIntoView({ block: 'nearest' });
}

/** A layer; one that is still on its way is no longer wanted. */
export const goTo = (layer) => goOn({ layer, wanted: null });

/** A layer, which may have to be asked for. */
export function choose(name) {
  if (rowOf(state.answer, name)) goTo(name);
  else fetchLayer(name);
}

export function fetchLayer(layer) {
  put({ wanted: { layer, answer: state.answer } });
  trigger('layer', { name: layer });
}

/** What a class's button does: a question that was answered already is only shown. */
export function chooseClass(index) {
  const { target, rival } = state.answer;
  if (rival !== null && index === rival) goOn({ band: 'rival' });
  else if (index === target) goOn({ band: 'target' });
  else trigger('choose', { index, rival: false });
}

/** The contrast of two classes, and back. */
export function contrast(index) {
  const { answer, band } = state;
  if (band === 'contrast') goOn({ band: 'target' });
  else if (answer.rival !== null) goOn({ band: 'contrast', sides: 'both' });
  else trigger('choose', { index, rival: true });
}
