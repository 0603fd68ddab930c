// Three more tests of a map: the network forgets, the picture changes, a visitor draws where the object is.

import { $, $$, make, write } from './dom.js';
import { ask, change, keyOf, request, runTest, state } from './doubt.js';
import { isDrawn } from './drawing.js';
import { plotForgetting } from './plot.js';
import { image } from './sheets.js';
import { chance, percent, twoDecimals } from './words.js';

/** Width by height of what the network sees, as it is for people. */
export const form = ({ crop, input: [h, w], picture: [H, W] }) => String(crop ? w / h : W / H);

export function asSeen(src, alt) {
  const node = image(src, alt);
  node.style.aspectRatio = form(state.topic);
  return node;
}

// ---- the network forgets -----------------------------------------------------------------------

/** How many of the layers have forgotten, in words. */
const forgotten = (n, shares) => n < 0 ? 'as it has learned' : n === 0 ? 'the last layer has forgotten'
  : n === shares.length - 1 ? 'all layers have forgotten'
    : `the last ${percent(shares[n])} of the layers have forgotten`;

export function showForget() {
  const { forgot: made, step } = state;
  $('[data-run=forget]').hidden = Boolean(made);
  $('.gt-forgot').hidden = !made;
  if (!made) return;
  write($('.gt-forgot .gt-sentence'), made.sentence);
  $('.gt-forgot .gt-sentence').dataset.ruling = made.alarm ? 'centre' : 'undecided';
  const all = [made.learned, ...made.overlays];
  $('.gt-strip').replaceChildren(...all.map((src, n) => {
    const button = make('button', null, { type: 'button', 'aria-pressed': String(n === step) });
    const alike = n ? `, ${twoDecimals(made.alike[n - 1])} like the first` : '';
    button.append(asSeen(src, `The map, ${forgotten(n - 1, made.shares)}${alike}`));
    button.append(make('span', n ? twoDecimals(made.alike[n - 1]) : 'learned'));
    button.onclick = () => change({ step: n });
    return button;
  }));
  const guided = made.guided && step ? ` Guided backpropagation: ${twoDecimals(made.guided[step - 1])}.` : '';
  write($('.gt-step'), step
    ? `Here ${forgotten(step - 1, made.shares)}. This map: ${twoDecimals(made.alike[step - 1])}.${guided}`
    : 'The numbers say how like the first map each one is: 1 is the same order, 0 is chance. Click a picture.');
  const wide = $('.gt-curve').clientWidth || 520;
  $('.gt-curve').replaceChildren(plotForgetting(made.shares, made.alike, made.guided, wide));
  $('.gt-forgot .gt-lines').hidden = !made.guided;
  write($('.gt-forgot .gt-cost'),
    `The network was asked ${made.passes} times. Only a copy of its weights was shuffled.`);
}

export async function forget() {
  const forgot = await runTest('forget', request());
  if (forgot) change({ forgot, step: 0 });
}

// ---- the picture changes -----------------------------------------------------------------------

export function showHold() {
  const { held: made, topic } = state;
  $('[data-run=hold]').hidden = Boolean(made);
  $('.gt-held').hidden = !made;
  if (!made || !topic) return;
  const said = (p) => chance({ p, y: p }, made.percent);
  const cell = (src, name, text, sentence) => {
    const figure = make('figure', null), words = make('figcaption', null);
    words.append(make('b', name), make('span', text));
    if (sentence) words.append(make('p', sentence));
    figure.append(asSeen(src, `The picture ${name}, under its map`), words);
    return figure;
  };
  $('.gt-held').replaceChildren(
    cell(made.overlay, 'as it is', `${topic.label} ${said(made.rows[0].before)}`),
    ...made.rows.map((row) => cell(row.overlay, row.change,
      `${topic.label} ${said(row.after)} · map ${twoDecimals(row.alike)} of 1 like the first`, row.sentence)),
  );
}

export async function hold() {
  const held = await runTest('hold', request());
  if (held) change({ held });
}

// ---- hit or miss -------------------------------------------------------------------------------

export function showAim() {
  const { aimed, round, tool, topic } = state;
  if (!topic) return;
  const photo = $('.gt-aim .gt-photo');
  $('.gt-aim img').src = topic.base;
  $('.gt-aim img').alt = 'The picture, to draw on';
  photo.style.aspectRatio = form(topic);
  $$('[name=tool]').forEach((n) => { n.checked = n.value === tool; });
  $('.gt-aim .gt-clear').hidden = !isDrawn(round);
  $('.gt-aimed').hidden = !aimed;
  write($('.gt-aim .gt-sentence'), aimed?.sentence ?? 'Draw round the object: drag on the picture.');
  if (!aimed) return;
  const head = ['', 'hottest place', 'heat inside', 'overlap of the boxes'];
  const table = make('table', null), tableRow = (cells, name) => {
    const line = make('tr', null);
    line.append(...cells.map((text, n) => make(name ?? (n ? 'td' : 'th'), text)));
    return line;
  };
  table.append(tableRow(head, 'th'), ...aimed.rows.map((one) => tableRow([
    one.of, one.hit ? 'inside' : 'outside', one.share === null ? 'no heat' : percent(one.share),
    one.overlap === null ? 'no box' : twoDecimals(one.overlap),
  ])));
  $('.gt-aimed').replaceChildren(table, make('p',
    `What you drew covers ${percent(aimed.area)} of the picture: so much heat would lie inside by chance. ` +
    'The boxes: one round the strong heat, one round what you drew; 1 is the same box, 0 is apart.'));
}

let aiming = false; // one question at a time; what is asked next is what is drawn by then

export async function aim() {
  if (aiming) return;
  aiming = true;
  try {
    for (let asked = null; state.round !== asked;) {
      const key = keyOf(state.topic);
      asked = state.round;
      if (!isDrawn(asked)) {
        change({ aimed: null });
        continue;
      }
      const made = await ask('aim', { ...request(), region: asked });
      if (keyOf(state.topic) === key) change({ aimed: made });
    }
  } finally {
    aiming = false;
  }
}
