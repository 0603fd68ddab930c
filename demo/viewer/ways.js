// How the network wants its pixels, and what its numbers mean: what is a guess stands beside the answer, until somebody
// says how it is.

import { $, make, tell } from './dom.js';
import { say } from './acts.js';
import { openMore } from './drawer.js';
import { put, state, addView } from './shown.js';
import { UNREACHED, aboutWay } from './words.js';

/** @import { DoctorAnswer, Refusal } from './wire.js' */

/** Whether it is a guess how the network wants its pixels. */
const isOfPixels = ({ guesses, meanings }) => guesses.length > Math.min(meanings.length, 1);

function showGuess() {
  const { answer } = state, part = $('.gv-guess');
  tell(part, answer?.model.guesses.join(' ') ?? '');
  $('.gv').dataset.own = Boolean(answer?.model.own);
  if (part.hidden) return;
  const { guesses, meanings } = answer.model;
  const button = (text, more) => make('button', text, { type: 'button', ...more });
  if (isOfPixels(answer.model)) {
    part.replaceChildren(`${guesses[0]} `, button('Compare the ways', { class: 'gv-link gv-compare-ways' }), '. ');
  }
  if (!meanings.length) return;
  if (isOfPixels(answer.model)) part.append(guesses[1]);
  part.append(' They are: ');
  meanings.forEach(({ head, words }, n) => {
    part.append(n ? ' · ' : '', button(words, { class: 'gv-link', 'data-head': head }));
  });
}

async function showWays() {
  const { answer, ways } = state, panel = $('.gv-ways');
  if (!ways || !answer) return;
  const about = `${answer.model.key} ${answer.path}`;
  if (panel.dataset.for === about) return;
  panel.dataset.for = about;
  panel.querySelector('ul').replaceChildren();
  $('.gv-ways-why').textContent = 'Asking the network in every way …';
  /** @type {DoctorAnswer | Refusal} */
  const found = await server.doctor({ path: answer.path, model: answer.model.key }).catch(() => ({ error: UNREACHED }));
  if (panel.dataset.for !== about) return; // another picture or network since then
  if (found.error) {
    panel.dataset.for = '';
    say(found.error);
    $('.gv-ways-why').textContent = found.error;
    return;
  }
  $('.gv-ways-why').textContent = found.why.join(' ');
  panel.querySelector('ul').replaceChildren(...found.ways.map((way) => {
    const line = make('li', null, { class: way.used ? 'gv-best' : '' });
    line.append(make('span', aboutWay(way, answer.model.percent)));
    if (answer.model.own && !(way.used && !isOfPixels(answer.model))) {
      const take = { type: 'button', class: 'gv-btn', 'data-way': JSON.stringify([way.preprocess, way.crop]) };
      line.append(make('button', way.used ? 'It is so' : 'Take this', take));
    }
    return line;
  }));
  panel.scrollIntoView({ block: 'start' });
}

export function setWays() {
  $('.gv-ways').addEventListener('toggle', () => put({ ways: $('.gv-ways').open }));
  element.addEventListener('click', (e) => {
    if (e.target.closest('.gv-compare-ways')) {
      openMore(true);
      $('.gv-ways').open = true;
    }
    const take = e.target.closest('[data-way]'), meant = e.target.closest('.gv-guess [data-head]');
    if (meant) trigger('way', { model: state.answer.model.key, head: meant.dataset.head });
    if (!take) return;
    const [preprocess, crop] = JSON.parse(take.dataset.way);
    trigger('way', { model: state.answer.model.key, preprocess, crop });
  });
  for (const show of [showGuess, showWays]) addView(show);
}
