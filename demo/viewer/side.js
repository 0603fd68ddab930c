// All methods side by side: what is there already at once, the rest one after another, until somebody stops it.

import { $, make, write } from './dom.js';
import { amendRun, beginRun, change, endRun, request, state, stopRun } from './doubt.js';
import { asSeen, form } from './trials.js';
import { UNREACHED, percent, twoDecimals } from './words.js';

/** @import { SideRow } from './wire.js' */

/**
 * A row, and what has become of it. refused: why there is no more of it.
 * @typedef {SideRow & { share?: number | null, refused?: string }} Compared
 */

const RULINGS = { better: 'better than chance', centre: 'no better than the centre', undecided: 'undecided' };

/** @returns {Compared} */
const rowOfName = (name) => state.side.find((row) => row.of === name);
const amend = (name, more) => change({ side: state.side.map((row) => row.of === name ? { ...row, ...more } : row) });

// ---- one question after another ----------------------------------------------------------------

/**
 * What may still be asked of a row: whether it is, about how many passes that takes, what to say of it, whom to ask,
 * what comes of it. What takes least comes first.
 */
const TO_ASK = [
  {
    due: (row) => !row.map,
    cost: ({ passes }) => passes,
    words: (name) => `Making the map of ${name} …`,
    door: 'side',
    take: (name, map) => amend(name, { map }),
  },
  {
    due: (row) => row.share === undefined,
    cost: ({ passes }) => 4 * passes,
    words: (name) => `${name} in the mosaic …`,
    door: 'shares',
    take: (_name, { shares }) => Object.entries(shares).forEach(([of, share]) => amend(of, { share })),
  },
  {
    due: (row) => !row.ruling && row.map,
    cost: ({ passes }) => Math.max(props.most_passes, passes),
    words: (name) => `Testing the map of ${name} …`,
    door: 'verdict',
    take: (name, { ruling }) => amend(name, { ruling }),
  },
];

export async function compare() {
  const { token, isWanted } = beginRun('sides'), about = { ...request(), paths: state.tiles, token };
  /** What the server says, a refusal too; nothing where nobody waits for it any more. */
  const asked = async (door, words, method) => {
    amendRun('sides', { words, part: 0 });
    const made = await server[door]({ ...about, method }).catch(() => ({ error: UNREACHED }));
    return isWanted() ? made : null;
  };
  const first = await asked('sides', '', about.method);
  if (!first) return;
  if (first.error) {
    endRun('sides');
    return void change({ error: first.error });
  }
  change({ side: first.rows.map((row) => ({ ...row, share: first.shares[row.of] })) });
  const todo = TO_ASK.flatMap((kind) => state.side.filter((row) => !row.chance).map((row) => ({ kind, row })));
  let mosaic = true; // whether there can be one of these four pictures
  for (const { kind, row: { of: name } } of todo.sort((a, b) => a.kind.cost(a.row) - b.kind.cost(b.row))) {
    const { due, words, door, take } = kind, row = rowOfName(name);
    if (!due(row) || row.refused || door === 'shares' && !mosaic) continue;
    const made = await asked(door, words(name), name);
    if (!made) return;
    if (!made.error) take(name, made);
    else if (door !== 'shares') amend(name, { refused: made.error });
    else {
      mosaic = false;
      change({ error: made.error });
    }
  }
  endRun('sides');
}

/** Other pictures are in the mosaic. */
export function forgetShares() {
  stopRun('sides');
  if (state.side) change({ side: state.side.map((row) => ({ ...row, share: undefined })) });
}

// ---- how it looks ------------------------------------------------------------------------------

/** @param {Compared} row */
function costOf({ refused, chance, passes, tail }) {
  const many = `${passes} ${tail ? 'short ' : ''}pass${passes > 1 ? 'es' : ''}`;
  return refused ?? (chance ? 'knows nothing' : passes ? many : 'the one pass');
}

/** Rank correlation of two maps; null where there is none, or they are one. */
const likeness = (one, other) => one.map?.like[other.of] ?? other.map?.like[one.of] ?? null;

function shareBar(share) {
  const track = make('span', null, { class: 'gt-track' }), fill = make('i', null);
  fill.style.width = `${100 * (share ?? 0)}%`;
  track.append(fill, make('u', null));
  return [track, make('b', share === null ? 'no heat' : percent(share))];
}

/**
 * @param {Compared} row
 * @param {Compared} shown the row that is in view
 */
function lineOf(row, shown) {
  const line = make('tr', null), name = make('th', null, { scope: 'row' }), share = make('td', null);
  const words = make('span', row.of);
  const button = make('button', null, { type: 'button', 'data-of': row.of, 'aria-pressed': String(row === shown) });
  words.append(make('small', costOf(row)));
  button.append(row.map ? asSeen(row.map.overlay, '') : make('i', null), words);
  button.disabled = !row.map;
  button.onclick = () => change({ sideAt: row.of });
  name.append(button);
  if (row.share !== undefined) share.append(...shareBar(row.share));
  const like = likeness(row, shown);
  line.append(name, share, make('td', like === null ? '' : twoDecimals(like)),
    make('td', RULINGS[row.ruling] ?? '', { 'data-ruling': row.ruling ?? '' }));
  return line;
}

export function showSide() {
  const { side, sideAt } = state;
  $('[data-run=sides]').hidden = Boolean(side?.every((row) => {
    return row.chance || row.refused || row.ruling && row.share !== undefined;
  }));
  write($('[data-run=sides] .gt-pri'), side ? 'Go on' : 'Compare all methods');
  $('.gt-sides').hidden = !side;
  if (!side) return;
  const shown = rowOfName(sideAt) ?? side[0], focused = document.activeElement?.dataset?.of;
  $('.gt-sides tbody').replaceChildren(...side.map((row) => lineOf(row, shown)));
  if (focused) $(`.gt-sides [data-of="${focused}"]`)?.focus();
  write($('.gt-like'), `like ${shown.of}`);
  write($('.gt-large b'), shown.of);
  const cost = shown.chance ? [] : [`Cost: ${shown.cost}.`];
  write($('.gt-large p'), [shown.line, ...cost, ...shown.map.notes].join(' '));
  const large = $('.gt-large img');
  large.src = shown.map.overlay;
  large.alt = `The picture under the map of ${shown.of}`;
  large.style.aspectRatio = form(state.topic);
}
