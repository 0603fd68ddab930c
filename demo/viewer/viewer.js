// The tab "Look": what the server sends, and the start. One state (shown.js), a room for each part of the page. No
// request but for a new class, a layer that was not sent, the names of the classes, or the figure.

import { $ } from './dom.js';
import { choose, contrast, chooseClass, fetchLayer, goOn, goTo, say } from './acts.js';
import { closeCamera, openCamera, pastePhoto, setCamera, takePhoto } from './camera.js';
import { setCover } from './cover.js';
import { copyLink, copyPython, openMore, saveFigure, saveOverlay, setDrawer, showCode } from './drawer.js';
import { play, setFilm, step } from './film.js';
import {
  adopt, catchModels, choosePhoto, easeLists, easeTabs, followLists, followUpload, markExample, openNetworks,
  refuseHeavy, takeFiles,
} from './gradio.js';
import { bandsOf, classOf, isUnsure, layerAfter, rivalOf, shownClass, signedBytesOf } from './maps.js';
import { madeReady } from './given.js';
import { follow, setLink } from './link.js';
import { openOnce } from './opening.js';
import { setAnswer } from './says.js';
import { look, ready, put, state, addView } from './shown.js';
import { moveCell, setStage } from './stage.js';
import { setWays } from './ways.js';
import { cautions, chance } from './words.js';

/** @import { Look } from './words.js' */
/** @import { Answer, ClassRow, LessonRequest, View } from './wire.js' */
/** @import { Sign } from './maps.js' */

/**
 * Tells the rest of the page what is in view.
 * @typedef {object} InView
 * @property {LessonRequest} request to take it apart
 * @property {{ name: string, shape: number[], best: boolean }[]} layers that are suggested
 * @property {string} method
 * @property {Sign} sign
 * @property {string} rival the class it is held against, or empty
 * @property {string[]} cautions
 * @property {string} known of Grad-CAM at this layer, a key of the verdicts; or "tokens"
 * @property {boolean} unsure
 * @property {string} chance of the class
 * @property {string} base address of the picture
 * @property {number[]} picture H, W
 * @property {ClassRow[]} classes
 * @property {number} target
 * @property {string} label
 * @property {string} model
 * @property {number[]} input
 * @property {boolean} crop
 * @property {string} head
 * @property {boolean} percent
 * @property {number} count
 */
function announce() {
  if (!ready()) return;
  const now = look(), { answer, band } = now, c = shownClass(answer, band);
  const { key, title, head, percent, input, crop } = answer.model;
  const layers = answer.layers.filter((row) => row.suggested);
  window.gradcam = {
    request: { path: answer.path, model: key, target: c.index, detail: answer.detail, layer: state.layer },
    layers: layers.map(({ name, shape }) => ({ name, shape, best: name === answer.best })),
    method: now.method.name, sign: now.sign, rival: band === 'contrast' ? classOf(answer, answer.rival).label : '',
    cautions: cautions(now), unsure: isUnsure(answer),
    known: now.grid.row.tokens ? 'tokens' : now.grid.row.verdicts['Grad-CAM'],
    chance: chance(c, percent),
    base: state.base.image.src, picture: answer.picture, classes: answer.classes, target: c.index, label: c.label,
    model: title, input, crop, head, percent, count: answer.count,
  };
  document.dispatchEvent(new Event('gradcam'));
}

// ---- what a visitor does -----------------------------------------------------------------------

const STEPS = {
  ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0],
  Home: [0, -Infinity], End: [0, Infinity],
};

/** Back to looking, with no cell; whoever held the patch or the divider holds the tools. */
function leaveTool() {
  if (state.tool !== 'look') $('[name=gv-tool]').focus();
  goOn({ tool: 'look', place: null });
}

element.addEventListener('keydown', (e) => {
  if (e.key === 'Escape' && e.target.closest('.gv-over')) leaveTool();
  const by = STEPS[e.key];
  if (!by || !state.answer) return;
  if (e.target.closest('.gv-strip')) {
    e.preventDefault();
    play(false);
    step(by[0] + by[1]);
    $('.gv-strip [aria-checked=true]').focus();
  } else if (e.target.closest('.gv-over .gv-frame')) {
    e.preventDefault();
    moveCell(by);
  }
});
element.addEventListener('change', ({ target: { name, value } }) => {
  if (name === 'gv-tool') goOn({ tool: value });
});
element.addEventListener('input', ({ target: { name, value } }) => {
  if (name === 'swipe') put({ swipe: Number(value) });
});

/** What a button does, by what it is. */
const BUTTONS = {
  'gv-choose': choosePhoto,
  'gv-paste': pastePhoto,
  'gv-camera': openCamera,
  'gv-take': takePhoto,
  'gv-close-camera': closeCamera,
  'gv-show-examples': (button) => {
    const open = $('.gv-source').classList.toggle('gv-open');
    button.setAttribute('aria-expanded', String(open));
  },
  'gv-more': () => openMore(!state.more),
  'gv-close': () => openMore(false),
};
const OF_AN_ANSWER = {
  'gv-one': () => goOn({ one: !state.one }),
  'gv-play': () => play(!state.playing),
  'gv-save-overlay': saveOverlay,
  'gv-save-figure': saveFigure,
  'gv-copy-link': copyLink,
  'gv-show-code': showCode,
  'gv-copy-python': copyPython,
};

element.addEventListener('click', (e) => {
  const button = e.target.closest('button');
  if (!button) return;
  const { index, why, layer } = button.dataset, all = { ...BUTTONS, ...(state.answer ? OF_AN_ANSWER : {}) };
  const name = [...button.classList].find((c) => all[c]);
  if (name) all[name](button);
  else if (index) chooseClass(Number(index));
  else if (why) contrast(Number(why));
  else if (layer) { play(false); goTo(layer); }
});
document.addEventListener('gradcam-on', () => goOn());
document.addEventListener('gradcam-tool', (e) => {
  if (!state.answer) return;
  if (e.detail === 'cover') return goOn({ tool: 'cover' });
  const other = rivalOf(state.answer);
  if (other && state.band !== 'contrast') contrast(other.index);
});
document.addEventListener('gradcam-layer', (e) => { if (state.answer) choose(e.detail); });

// ---- what the server sends ---------------------------------------------------------------------

/**
 * One more layer is asked for beside the other questions: when it comes, another may be in view.
 * @param {View} value
 */
function overtaken({ base, answer }) {
  const about = (a, url) => JSON.stringify([url, a.model.key, a.target, a.rival, a.detail]);
  if (!answer?.extra || !state.answer || about(answer, base.url) === about(state.answer, state.url)) return false;
  const { wanted } = state;
  if (wanted && state.answer !== wanted.answer) fetchLayer(wanted.layer);
  return true;
}

function receive() {
  /** @type {View} */
  const value = props.value;
  if (!value || overtaken(value)) return;
  put({ token: '' });
  const mild = !value.error || value.error === props.no_picture;
  const linked = follow(value), said = [value.error || value.note, linked?.said].filter(Boolean).join(' ');
  say(said, mild, Boolean(value.error) && (!value.stands || state.said.stale));
  if (value.note === props.unfolded) openNetworks();
  if (value.answer) take(value.answer, value.base.url, linked);
}

/**
 * @param {Answer} answer
 * @param {string} url of its picture
 * @param {{ view: object, missing: string | null } | null} linked how a link wants it to be seen
 */
function take(answer, url, linked) {
  const before = state.answer;
  const { layer, missing } = linked ?? layerAfter(before, answer, state.layer, state.wanted?.layer);
  const asksAnew = !before || before.target !== answer.target || before.rival !== answer.rival;
  put({
    answer, url, layer, bytes: signedBytesOf(answer.bytes), wanted: null, covered: null, tried: null,
    band: asksAnew ? bandsOf(answer).at(-1) : state.band, sides: asksAnew ? 'both' : state.sides,
    place: state.base?.url === url ? state.place : null, ...linked?.view,
  });
  if (before && (asksAnew || before.model.key !== answer.model.key)) comeBack();
  element.dataset.answer = `${answer.model.key}/${answer.target}/${answer.rival ?? ''}`;
  if (state.base?.url !== url) load(answer, url, !before && !linked);
  if (missing) fetchLayer(missing);
}

/** The picture is shown together with the answer about it, or not at all. opens: as a page begins. */
function load(answer, url, opens) {
  const image = new Image(), [H, W] = answer.picture;
  const mine = () => state.answer === answer;
  image.onload = () => {
    if (!mine()) return;
    put({ base: { image, url, ratio: W / H } });
    if (opens) openOnce();
  };
  image.onerror = () => {
    if (mine()) say('The picture could not be shown by this browser; save it as JPEG or PNG and try again.');
  };
  image.src = url;
  markExample(url);
}

/** Whoever chose in the lists sees what that did. */
function comeBack() {
  const shown = element.checkVisibility() ? $('.gv-words') : document.querySelector('#lesson .gl-about');
  const top = shown?.getBoundingClientRect().top;
  if (choseInLists() && (top < 0 || top > innerHeight)) shown.scrollIntoView();
}

// ---- the start ---------------------------------------------------------------------------------

const choseInLists = followLists();
catchModels(() => openMore(true), () => say(props.no_models));
takeFiles(madeReady, () => say(props.unknown));
refuseHeavy(props.heaviest, () => say(props.heavy)); // what is ready
followUpload((sending) => {
  put({ sending });
  if (sending) closeCamera();
});
easeLists();
easeTabs();
const narrow = matchMedia('(max-width: 639px)');
adopt('#examples', () => $('.gv-examples'));
adopt('#asks', () => $('.gv-lists'));
adopt('footer', () => $('.gv-links'));
adopt('.lab-network', () => document.querySelector('#tabs > .tab-wrapper')); // by Tab, too, one goes as one reads
adopt('#model', () => narrow.matches ? $('.gv-network') : document.querySelector('.lab-network'));
for (const start of [setStage, setAnswer, setFilm, setCover, setDrawer, setWays, setCamera, setLink]) start();
addView(announce);
watch('value', receive);
receive();
