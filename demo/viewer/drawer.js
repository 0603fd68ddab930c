// "More": method, colours, numbers, what is known of every layer, and the files to take away.

import { $, $$, copied, make, tell } from './dom.js';
import { choose, goOn, say } from './acts.js';
import { aboutGiven, linkToGive } from './link.js';
import { bytesOf, inPixels, rowOf, sharesScale, shownClass } from './maps.js';
import { pythonOf } from './python.js';
import { blend, boxNow, heatNow, methodNow, ready, put, signNow, state, topNow, addView } from './shown.js';
import { UNREACHED, aboutMethod, verdictOf } from './words.js';

/** @import { CodeAnswer, FigureAnswer, FigureRequest, Refusal } from './wire.js' */

function showMore() {
  const { more } = state;
  $('.gv-drawer').hidden = !more;
  $('.gv-more').setAttribute('aria-expanded', String(more));
}

function showMethod() {
  if (!ready()) return;
  const method = methodNow(), link = make('a', 'The paper', { target: '_blank', rel: 'noopener noreferrer' });
  const wished = props.methods.find((m) => m.name === state.method) ?? method, told = wished.asks ? wished : method;
  const none = wished === told ? '' : `${wished.name} has no map at this layer. `;
  link.href = told.paper;
  $('.gv-method').replaceChildren(none + aboutMethod(told), ' ', link);
  $('[name=method]').value = state.method;
  $$('[name=gv-sign]').forEach((n) => {
    n.disabled = Boolean(method.against) && n.value !== 'for';
    n.checked = n.value === signNow();
  });
}

/** The method that makes the last grid finer, out of the same pass. */
const finer = () => props.methods.find((m) => m.fuses);

function showFiner() {
  if (!ready()) return;
  const { answer, band, method, layer } = state, box = $('[name=finer]'), { name } = finer();
  box.disabled = !rowOf(answer, answer.best).maps[`${band}/${name}`];
  box.checked = !box.disabled && method === name && layer === answer.best;
  box.closest('label').title = box.disabled ? 'No layer before the last grid has a larger one.' : '';
}

/** A method that asks many times makes its map when somebody wants it, and can be stopped. */
function showAsk() {
  if (!ready()) return;
  const { token, method, layer, answer, band } = state, chosen = props.methods.find((m) => m.name === method);
  const missing = chosen?.asks && !rowOf(answer, layer).maps[`${band}/${method}`];
  $('.gv-ask').hidden = !token && !missing;
  $('.gv-ask').textContent = token ? 'Stop' : `Make the map of ${method}`;
}

function askMap() {
  const { token, method, layer } = state;
  if (token) return void server.stop(token);
  put({ token: `${Date.now()} ${Math.random()}` });
  trigger('layer', { name: layer, method, token: state.token });
}

/** Every layer of the network, good or poor, in the order in which they run. */
function showDoctor() {
  const { answer, doctor } = state, panel = $('.gv-doctor');
  if (!doctor || !answer || panel.dataset.for === answer.model.key + answer.detail) return;
  panel.dataset.for = answer.model.key + answer.detail;
  $('.gv-found').textContent = answer.found;
  const lines = answer.doctor.map((layer) => {
    const [name, [h, w], kind, poor] = layer, line = make('tr', null), cell = make('td', null);
    const holder = h * w > 1 ? make('button', null, { type: 'button', 'data-go': name }) : null;
    if (holder) cell.append(holder);
    (holder ?? cell).append(breakable(name));
    line.append(cell, make('td', kind), make('td', verdictOf(layer, answer.best, goodAt(answer, name))));
    line.className = name === answer.best ? 'gv-best' : poor ? 'gv-poor' : '';
    return line;
  });
  $('.gv-doctor tbody').replaceChildren(...lines);
}

/** The methods that may be believed at a layer. */
function goodAt(answer, layer) {
  return Object.entries(rowOf(answer, layer)?.verdicts ?? {}).filter(([, known]) => props.good.includes(known))
    .map(([method]) => method);
}

/** A layer's name, which may go on in the next line after "_" and "/". */
function breakable(name) {
  const node = make('span', null, { class: 'gv-name' });
  for (const piece of name.split(/(?<=[_/])/)) node.append(piece, make('wbr', null));
  return node;
}

export function openMore(more) {
  put({ more });
  (more ? $('.gv-close') : $('.gv-more')).focus({ preventScroll: true });
}

// ---- files -------------------------------------------------------------------------------------

function save(what, blob) {
  const { answer, layer } = state, link = make('a', '');
  link.download = `gradcam-${answer.model.key}-${layer.replaceAll('/', '-')}-${answer.target}-${what}.png`;
  link.href = URL.createObjectURL(blob);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

export function saveOverlay() {
  const [H, W] = state.answer.picture, out = make('canvas', null, { width: W, height: H }), pen = out.getContext('2d');
  const box = boxNow();
  blend(out, heatNow(H, W));
  if (box) {
    const [l, t, r, b] = inPixels(box, H, W), line = Math.max(2, Math.max(H, W) / 200);
    for (const [colour, width] of [['#000', 2 * line], ['#fff', line]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.strokeRect(l, t, r - l, b - t);
    }
  }
  out.toBlob((blob) => save('overlay', blob));
}

/** @returns {FigureRequest} */
function figureNow() {
  const { answer, band, layer, colours, opacity } = state, method = methodNow();
  const map = rowOf(answer, layer).maps[`${band}/${method.name}`], top = topNow((one) => [one.max, -one.min]);
  const own = !sharesScale(answer, method) && signNow() === 'for' && top === map.max;
  return {
    path: answer.path, model: answer.model.key, target: shownClass(answer, band).index,
    rival: band === 'contrast' ? answer.rival : null, layer, method: method.name, sign: signNow(), colours,
    opacity: opacity / 100, detail: answer.detail, top: own ? 0 : top, box: boxNow(),
  };
}

export async function saveFigure(button) {
  const text = button.textContent;
  button.disabled = true;
  button.textContent = 'Drawing the figure …';
  try {
    /** @type {FigureAnswer | Refusal} */
    const made = await server.figure(figureNow());
    if (made.png) save('figure', new Blob([bytesOf(made.png)], { type: 'image/png' }));
    else say(made.error);
  } catch {
    say(UNREACHED);
  }
  button.disabled = false;
  button.textContent = text;
}

/** Puts a text on the clipboard, and shows it. @param {string} more what is to be said of it */
async function give(text, more) {
  const box = $('.gv-text');
  box.hidden = false;
  box.value = text;
  const done = await copied(box);
  tell($('.gv-copied'), [done ? 'Copied.' : 'Select it and copy it by hand.', more].filter(Boolean).join(' '));
  box.scrollIntoView({ block: 'nearest' });
}

export const copyLink = () => give(linkToGive(), aboutGiven(linkToGive()));

/** The link as others reach it, for a phone's camera. */
export async function showCode() {
  /** @type {CodeAnswer | Refusal} */
  const made = await server.code({ link: linkToGive() }).catch(() => ({ error: UNREACHED })), image = $('.gv-code');
  $('.gv-text').hidden = image.hidden = Boolean(made.error);
  tell($('.gv-copied'), made.error || aboutGiven(made.link));
  if (made.error) return;
  $('.gv-text').value = made.link;
  image.src = made.picture;
  image.scrollIntoView({ block: 'nearest' });
}

export function copyPython() {
  const { answer, layer, band } = state, file = props.examples[answer.path], name = answer.path.split('/').at(-1);
  const picture = file ? `demo/examples/${name}` : name;
  return give(pythonOf({ answer, layer, band, method: methodNow().name }, picture), '');
}

// ---- the start ---------------------------------------------------------------------------------

export function setDrawer() {
  $('[name=method]').append(make('option', 'What suits the layer', { value: '' }),
    ...props.methods.map((m) => make('option', m.name, { value: m.name })));
  $('[name=colours]').append(...props.colours.map((c) => make('option', c, { value: c })));
  element.addEventListener('change', ({ target: { name, value, checked } }) => {
    if (name === 'method') goOn({ method: value });
    else if (name === 'finer' && checked) goOn({ method: finer().name, layer: state.answer.best, wanted: null });
    else if (name === 'finer') goOn({ method: '' });
    else if (name === 'colours') goOn({ colours: value, opacity: 100 * props.opacities[value] });
    else if (name === 'box') goOn({ box: checked });
    else if (name === 'gv-sign') goOn(state.band === 'contrast' ? { sides: value } : { sign: value });
    else if (name === 'gv-band') goOn({ band: value });
  });
  element.addEventListener('input', ({ target: { name, value } }) => {
    if (name === 'opacity') put({ opacity: Number(value) });
    else if (name === 'threshold') put({ threshold: Number(value), box: true });
  });
  document.addEventListener('keydown', (e) => {
    const isMine = e.key === 'Escape' && state.more && !e.defaultPrevented && !e.target.closest('dialog');
    if (isMine && element.checkVisibility()) openMore(false);
  });
  document.addEventListener('gradcam', () => { $('.gv-code').hidden = true; }); // it is of the view before
  $('.gv-ask').addEventListener('click', askMap);
  $('.gv-doctor').addEventListener('toggle', () => put({ doctor: $('.gv-doctor').open }));
  $('.gv-doctor').addEventListener('click', (e) => {
    const go = e.target.closest('[data-go]');
    if (go) choose(go.dataset.go);
  });
  for (const show of [showMore, showMethod, showFiner, showAsk, showDoctor]) addView(show);
}
