// The address bar: what is in view stands in it as a link, and a link brings its view.

import { fetchLayer, goOn, say } from './acts.js';
import { ADDRESS, MINE, OWN, asksAnother, isElsewhere, linkText, readLink, valueIn } from './address.js';
import { openTab, tabNow } from './gradio.js';
import { bandsOf, rowOf } from './maps.js';
import { addView, ready, state } from './shown.js';
import { aboutCopied, aboutLink } from './words.js';

/** @import { Answer, View } from './wire.js' */
/** @import { Link } from './address.js' */

const TABS = ['look', 'lesson', 'trust'], SOON = 150; // milliseconds: browsers take about three addresses a second

/** What goes with the next question: `due`, a link; `own`, one that waits for a picture; `taken`, what went last. */
const handed = window.labLink ??= { due: location.hash ? [location.hash, history.state] : null };

let coming = Boolean(location.hash); // whether a link is on its way in
let written = null; // in the address bar: { link, about }
let held = null; // the view of a link that waits for a picture: it leaves the address as it is
let soon = 0;
const lesson = {}; // step, show and len, as in the address

// ---- out ---------------------------------------------------------------------------------------

/** What this tab alone knows: it never stands in the address. @param {Answer} answer */
const privateOf = ({ path, model }) => ({
  path: props.examples[path] ? '' : path, model: props.networks.includes(model.key) ? '' : model.key,
});

/** @returns {Link} */
function linkNow() {
  const { answer, band, colours, tool } = state, two = band === 'contrast', about = privateOf(answer);
  const unusual = (value, usual) => value === usual || value === null ? undefined : String(value);
  const open = TABS[tabNow()] ?? 'look';
  return {
    p: unusual(about.path ? OWN : props.examples[answer.path], Object.values(props.examples)[0]),
    m: unusual(about.model ? MINE : answer.model.key, props.networks[0]),
    c: answer.predicted ? undefined : String(answer.target),
    r: unusual(answer.rival, null),
    d: unusual(Number(answer.detail), 0),
    l: unusual(state.layer, answer.best),
    k: unusual(state.method, ''),
    b: unusual(band, bandsOf(answer).at(-1)),
    s: unusual(two ? state.sides : state.sign, two ? 'both' : 'for'),
    v: unusual(tool, 'look'),
    one: unusual(Number(state.one), 0),
    swipe: tool === 'compare' ? unusual(state.swipe, 50) : undefined,
    fill: tool === 'cover' ? unusual(state.fill, props.fills[0]) : undefined,
    colours: unusual(colours, props.colours[0]),
    opacity: unusual(Math.round(state.opacity), Math.round(100 * props.opacities[colours])),
    box: state.box ? String(state.threshold) : undefined,
    tab: unusual(open, 'look'),
    ...(open === 'lesson' ? lesson : {}),
  };
}

/** The address with a link behind it. A # alone would go by the page's base. */
const addressOf = (link) => location.pathname + location.search + (linkText(link) && `#${linkText(link)}`);

function writeAddress() {
  clearTimeout(soon);
  if (coming || !ready() || state.playing) return;
  const link = linkNow(), about = privateOf(state.answer), before = written, text = linkText(link);
  if (handed.own) held ??= text;
  if (held === text) return;
  held = null;
  written = { link, about };
  if (location.hash.slice(1) === text && isSame(about, history.state ?? {})) return;
  const anew = before && (isElsewhere(link, before.link) || !isSame(about, before.about));
  history[anew ? 'pushState' : 'replaceState'](about, '', addressOf(link));
  if (props.space) parent.postMessage({ hash: text && `#${text}` }, 'https://huggingface.co');
}

const isSame = (one, other) => ['path', 'model'].every((key) => (one[key] || '') === (other[key] || ''));

/** Soon: a slider that is drawn must not write a hundred addresses. */
function writeSoon() {
  clearTimeout(soon);
  if (!coming) soon = setTimeout(writeAddress, SOON);
}

/** The link to give away: on a Space that of the Space, in whose frame the page is. */
export function linkToGive() {
  const text = linkText(linkNow()), { origin, pathname } = location;
  const page = props.space ? `https://huggingface.co/spaces/${props.space}` : origin + pathname;
  return page + (text && `#${text}`);
}

/** What is to be said with such a link. */
export function aboutGiven(link) {
  const { path, model } = privateOf(state.answer), isHome = /^(localhost|0\.0\.0\.0|127\.[\d.]+|\[::1\])$/;
  return aboutCopied(Boolean(path), Boolean(model), isHome.test(new URL(link).hostname));
}

// ---- in ----------------------------------------------------------------------------------------

/** What is the browser's own of a link, where there is this answer. @param {Link} link @param {Answer} answer */
function viewOf(link, answer, dropped) {
  const one = (key, usual, known) => valueIn(link, key, usual, known, dropped);
  const bands = bandsOf(answer), band = one('b', bands.at(-1), bands);
  const colours = one('colours', props.colours[0], props.colours);
  const layers = answer.doctor.filter(([, [h, w]]) => h * w > 1).map(([name]) => name);
  const { s, v = 'look', opacity = 100 * props.opacities[colours], swipe = 50, box } = link;
  return {
    band, colours, layer: one('l', answer.best, layers), method: one('k', '', props.methods.map((m) => m.name)),
    sign: band === 'contrast' ? 'for' : s ?? 'for', sides: band === 'contrast' ? s ?? 'both' : 'both',
    tool: v, one: Boolean(link.one), swipe: Number(swipe), fill: one('fill', props.fills[0], props.fills),
    opacity: Number(opacity), box: box !== undefined, threshold: Number(box ?? 15),
  };
}

/** The tab and the step of a link. @param {Link} link */
function goToPlace({ tab, step, show, len }) {
  Object.assign(lesson, { step, show, len });
  openTab(TABS.indexOf(tab ?? 'look'));
  if (tab !== 'lesson') return;
  const detail = { step: Number(step ?? 0), show: Number(show ?? 0), len: len ?? '' };
  document.dispatchEvent(new CustomEvent('gradcam-step', { detail }));
}

/**
 * With the answer to a link: the view that goes with it, and what is to be said of what is left out.
 * @param {View} value
 * @returns {{ view: object, layer: string, missing: string | null, said: string } | null} missing: a layer to be asked
 *   for
 */
export function follow({ link: lacking, answer }) {
  if (answer?.extra && !lacking) return null;
  coming = false;
  handed.own = null;
  if (!lacking) return null;
  const { foreign, dropped, link } = readLink(handed.taken), own = lacking.includes(OWN);
  dropped.push(...lacking.filter((key) => ADDRESS[key]).map((key) => ADDRESS[key].word));
  if (own) {
    handed.own = { hash: handed.taken, examples: Object.keys(props.examples) };
    delete link.b;
  }
  goToPlace(link);
  const said = (view) => ({ ...view, said: aboutLink([...new Set(dropped)], own, lacking.includes(MINE), foreign) });
  return said(answer ? seen(link, answer, dropped) : {});
}

/** @param {Link} link @param {Answer} answer */
function seen(link, answer, dropped) {
  const view = viewOf(link, answer, dropped), { layer } = view;
  if (rowOf(answer, layer)) return { view, layer, missing: null };
  return { view: { ...view, layer: answer.best }, layer: answer.best, missing: layer };
}

/** Back, Forward, and an address that was typed. */
function restore() {
  clearTimeout(soon);
  const { link } = readLink(location.hash), about = history.state ?? {}, { answer } = state;
  const known = answer && !asksAnother(link, linkNow()) && (link.p !== OWN || about.path === answer.path)
    && (link.m !== MINE || about.model === answer.model.key);
  if (!known) {
    coming = true;
    handed.due = [location.hash, history.state];
    trigger('restore', {});
    return;
  }
  handed.taken = location.hash;
  const { view, missing, said } = follow({ link: [], answer });
  goOn({ ...view, wanted: null });
  say(said, true);
  if (missing) fetchLayer(missing);
  written = { link: linkNow(), about: privateOf(answer) };
  writeSoon();
}

export function setLink() {
  window.addEventListener('popstate', restore);
  document.addEventListener('gradcam-stepped', (e) => {
    const { step, show, len } = e.detail, said = (value) => value ? String(value) : undefined;
    Object.assign(lesson, { step: said(step), show: said(show), len: said(len) });
    writeSoon();
  });
  for (const name of ['click', 'keyup']) document.addEventListener(name, writeSoon); // Gradio's panel drops the address
  addView(() => {
    if (ready() && !state.playing) linkNow();
    writeSoon();
  });
  if (coming) goToPlace(readLink(location.hash).link);
}
