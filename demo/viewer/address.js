// A view's address: what stands behind the #, as in `#p=lion&c=293&k=HiResCAM`. What is as usual is left out. No page
// and no state.

/**
 * What a link says: key -> value, only what is not as usual.
 * @typedef {Record<string, string>} Link
 */

const VERSION = 1; // of the table; an address of a later one will name it, by `ver`

export const OWN = 'own'; // a picture that stays with whoever brought it
export const MINE = 'mine'; // a network that does

/**
 * Every key: what it is called, what its values look like; whether it is a part of the question, which the server
 * answers; whether Back leads to where it was another.
 */
export const ADDRESS = {
  p: { word: 'picture', form: /^[\w-]{1,80}$/, asked: true, back: true },
  m: { word: 'network', form: /^[\w.-]{1,80}$/, asked: true, back: true },
  c: { word: 'class', form: /^\d{1,6}$/, asked: true, back: true },
  r: { word: 'other class', form: /^\d{1,6}$/, asked: true, back: true },
  d: { word: 'detail', form: /^1$/, asked: true, back: true },
  l: { word: 'layer', form: /^.{1,200}$/ },
  k: { word: 'method', form: /^.{1,40}$/ },
  b: { word: 'one of two classes', form: /^(target|rival|contrast)$/ },
  s: { word: 'sign', form: /^(for|against|both)$/ },
  v: { word: 'tool', form: /^(look|cover|compare)$/ },
  one: { word: 'single picture', form: /^1$/ },
  swipe: { word: 'divider', form: /^(\d|[1-9]\d|100)$/ },
  fill: { word: 'filling', form: /^\w{1,20}$/ },
  colours: { word: 'colours', form: /^\w{1,20}$/ },
  opacity: { word: 'strength', form: /^(\d|[1-9]\d|100)$/ },
  box: { word: 'box', form: /^[1-9]\d?$/ },
  tab: { word: 'tab', form: /^(lesson|trust)$/, back: true },
  step: { word: 'step', form: /^([1-9]|1[0-5])$/, back: true },
  show: { word: 'answer', form: /^[0-2]$/ },
  len: { word: 'length', form: /^(15|45|90)$/ }, // of the lesson, in minutes
};

/**
 * @param {string} hash with or without the #
 * @returns {{ link: Link, dropped: string[], foreign: boolean }} dropped: what is no part of an address, in words;
 *   foreign: it was made by another version of the page
 */
export function readLink(hash) {
  const link = {}, dropped = [], parts = new URLSearchParams(hash.replace(/^#/, ''));
  if (parts.has('ver') && parts.get('ver') !== String(VERSION)) return { link, dropped, foreign: true };
  for (const [key, value] of parts) {
    if (key === 'ver') continue;
    if (Object.hasOwn(ADDRESS, key) && ADDRESS[key].form.test(value)) link[key] = value;
    else dropped.push(Object.hasOwn(ADDRESS, key) ? ADDRESS[key].word : `“${key.slice(0, 20)}”`);
  }
  return { link, dropped, foreign: false };
}

/** What stands behind the #, the keys in the order of the table. @param {Link} link */
export function linkText(link) {
  const there = Object.keys(ADDRESS).filter((key) => link[key] !== undefined);
  return new URLSearchParams(there.map((key) => [key, link[key]])).toString();
}

const differ = (one, other, what) => Object.keys(ADDRESS).some((key) => ADDRESS[key][what] && one[key] !== other[key]);

/** Whether the server has to answer. @param {Link} one @param {Link} other */
export const asksAnother = (one, other) => differ(one, other, 'asked');

/** Whether Back leads from the one to the other. @param {Link} one @param {Link} other */
export const isElsewhere = (one, other) => differ(one, other, 'back');

/**
 * A value of the link, if it is one of those that there are; else the usual one, and its word is kept.
 * @param {Link} link
 * @param {string} key
 * @param {string} usual
 * @param {string[]} known
 * @param {string[]} dropped gets the word
 */
export function valueIn(link, key, usual, known, dropped) {
  if (link[key] === undefined || known.includes(link[key])) return link[key] ?? usual;
  dropped.push(ADDRESS[key].word);
  return usual;
}
