// Three networks learned the same shapes. Some of them look at a tag: which?

import { $, make, write } from './dom.js';
import { ask, change, showing, state } from './doubt.js';
import { openTab } from './gradio.js';
import { image } from './sheets.js';
import { chance } from './words.js';

/** @import { CheatAnswer, Suspect } from './wire.js' */

const CORNER = props.corner; // where the tag was in training
const CLOSE = 0.07; // of the picture: the keys move the tag so far
const back = document.querySelector('#viewer .gv-back');

let asking = false; // one question at a time; what is asked next is what is chosen by then

/** The question of the moment. */
const question = () => ({ thing: state.thing, number: state.number, tag: state.tag });

async function askAll() {
  if (asking) return;
  asking = true;
  try {
    for (let asked = ''; asked !== JSON.stringify(question());) {
      const given = question();
      asked = JSON.stringify(given);
      const answers = await ask('suspects', given);
      if (!answers) break;
      change({ answers: { ...answers, about: given } });
    }
  } finally {
    asking = false;
  }
}

const choose = (patch) => { change(patch); askAll(); };

/** The first question comes when the game is in sight. */
export function beginGame() {
  if (state.thing) return;
  choose({ thing: props.things[0], tag: CORNER });
}

/** @param {Suspect | { title: string }} suspect who has answered, or not yet */
function column(suspect, truth) {
  const { model, title, classes: [first] = [], overlay } = suspect;
  const figure = make('figure', null), words = make('figcaption', null);
  const photo = make('div', null, { class: 'gt-shot' });
  if (first) photo.append(image(overlay, `The picture under the map of ${title} for ${first.label}`));
  words.append(make('b', title), make('span', first ? `says ${first.label}, ${chance(first, true)}` : 'is asked …'));
  const open = make('button', 'Look closer', { type: 'button' });
  open.setAttribute('aria-label', `Look closer at what ${title} sees`);
  open.disabled = !first;
  open.onclick = () => lookCloser(model);
  words.append(open);
  if (truth) {
    words.append(make('p', truth.sentence));
    figure.dataset.cheats = String(truth.cheats);
  }
  figure.append(photo, words);
  return figure;
}

// ---- a closer look, and the way back -----------------------------------------------------------

function lookCloser(model) {
  change({ closer: { model, arrived: false, address: location.href, about: history.state } });
  trigger('open', { ...state.answers.about, model });
  openTab(0);
}

/** What was in view before comes as the browser's Back would bring it. */
function comeBackToGame() {
  const { address, about } = state.closer;
  change({ closer: null, goal: '#gt-game' });
  history.pushState(about, '', address);
  window.dispatchEvent(new PopStateEvent('popstate', { state: about }));
}

/** The way back stays as long as that network is in view. */
function followCloser() {
  const { closer } = state, here = window.gradcam.request.model === closer?.model;
  if (closer && here !== closer.arrived) change({ closer: here ? { ...closer, arrived: true } : null });
}

// ---- how it looks ------------------------------------------------------------------------------

function moveTag(e, node) {
  const { left, top, width, height } = node.getBoundingClientRect();
  choose({ tag: [(e.clientY - top) / height, (e.clientX - left) / width].map((v) => Math.min(Math.max(v, 0), 1)) });
}

export function showSuspects() {
  const { answers, thing, tag, truth } = state;
  $('.gt-things').replaceChildren(...props.things.map((name) => {
    const button = make('button', name, { type: 'button', 'aria-pressed': String(name === thing) });
    button.onclick = () => choose({ thing: name });
    return button;
  }));
  write($('.gt-tagged'), tag ? 'Take the tag away' : 'Put the tag in');
  $('.gt-truth').hidden = Boolean(truth);
  const isLate = answers && JSON.stringify(answers.about) !== JSON.stringify(question());
  $('.gt-lab').classList.toggle('gt-late', Boolean(isLate));
  const suspects = answers?.suspects ?? props.suspects.map((title) => ({ title }));
  $('.gt-suspects').replaceChildren(...suspects.map((one) => column(one, truth?.find((t) => t.title === one.title))));
  if (!answers) return;
  const drawn = $('.gt-drawn img');
  drawn.src = answers.picture;
  drawn.alt = `${answers.about.thing}${answers.about.tag ? ', with the tag' : ''}`;
}

export function watchGame() {
  showing(() => { back.hidden = !state.closer?.arrived; });
  back.onclick = comeBackToGame;
  document.addEventListener('gradcam', followCloser);
  const drawn = $('.gt-drawn');
  drawn.addEventListener('click', (e) => moveTag(e, drawn));
  drawn.addEventListener('keydown', (e) => {
    const by = { ArrowLeft: [0, -CLOSE], ArrowRight: [0, CLOSE], ArrowUp: [-CLOSE, 0], ArrowDown: [CLOSE, 0] }[e.key];
    if (!by) return;
    e.preventDefault();
    choose({ tag: (state.tag ?? CORNER).map((v, n) => Math.min(Math.max(v + by[n], 0), 1)) });
  });
  $('.gt-tagged').onclick = () => choose({ tag: state.tag ? null : CORNER });
  $('.gt-another').onclick = () => choose({ number: state.number + 1 });
  $('.gt-truth').onclick = async () => {
    const truth = await ask('confess', {});
    if (truth) change({ truth });
  };
}
