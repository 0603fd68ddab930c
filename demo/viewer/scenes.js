// The lesson's figure: for every step, before and after its answer, the parts that it is made of, each with a key by
// which it is found again in the next scene, so that it can move there. No page and no state.

import { agreeing, change, decimals, enough, unitOf } from './facts.js';
import { frameOf, linesOf } from './maps.js';
import { addedOf, nudgeOf, totalOf } from './script.js';
import { digits, grids, number, percent } from './words.js';

/** @import { Facts, Field } from './facts.js' */

/**
 * A part of the figure: where it is, in pixels, and what it shows.
 * @typedef {object} Part
 * @property {string} key
 * @property {number} x
 * @property {number} y
 * @property {number} w
 * @property {number} h
 * @property {string} kind of DRAW in flight.js
 * @property {number} [go] the step that a click leads to
 * @property {boolean} [pick] whether a click chooses one of its cells
 */

/**
 * Where a scene is drawn, and how far the lesson is.
 * @typedef {object} Stand
 * @property {number} W
 * @property {number} H
 * @property {boolean} narrow whether parts stand one above the other
 * @property {boolean} wide
 * @property {number} phase how many answers are shown
 * @property {number[]} seen the steps that were answered
 * @property {number} [vote] the cell that the visitor pointed at
 */

const NARROW = 600, WIDE = 1100; // pixels
const LEAST = { narrow: 13, usual: 16 }, MOST = 22; // of a digit, in pixels
const MANY = 24; // cells; of more the frames would hide the photo
const LINE = 28, PAIR = 54; // the height of a line of text, and of two

/** @returns {Part} */
const part = (key, x, y, w, h, shown) => ({ key, x, y, w, h, ...shown });

const UNKNOWN = { kind: 'ask' };
const text = (...pieces) => ({ kind: 'text', pieces });
const centred = (...pieces) => ({ kind: 'text', side: 'middle', pieces });

/** About how wide a number is, in sizes of its digits. */
const ems = (said) => [...said].reduce((sum, c) => sum + (c === '.' ? 0.3 : c === '−' ? 0.95 : 0.6), 0);

/** How large the digits of a grid can be; 0: too small to be read. @param {Field} field */
export function digitSize({ h, w, values, exact }, width, height, print, narrow) {
  if (!exact) return 0;
  const longest = Math.max(...Array.from(values, (v) => ems(digits(v, print))));
  const size = Math.floor(Math.min(MOST, 0.72 * height / h, (width / w - 2) / longest));
  return size < LEAST[narrow ? 'narrow' : 'usual'] ? 0 : size;
}

/**
 * A grid by its colours. tone: what they mean; `reaction`: how strong a filter is, `evidence`: for and against.
 * @param {Field} field
 * @param {'reaction' | 'evidence'} tone
 */
function grid(field, tone, more = {}) {
  const low = tone === 'reaction' ? Math.min(...field.values, 0) : 0;
  return { kind: 'grid', field, tone, low, top: field.top, ...more };
}

/** The same with its numbers, where there is room for them, and cells to choose. */
function sheetPart(key, x, y, w, h, field, tone, print, { narrow }, more = {}) {
  const size = digitSize(field, w, h, print, narrow);
  return part(key, x, y, w, h, grid(field, tone, { print, size, pick: true, ...more }));
}

/** As large as it can be inside a box, of these sides. */
function fit(W, H, ratio) {
  const w = Math.min(W, H * ratio);
  return [w, w / ratio];
}

const relu = (field) => ({ ...field, values: field.values.map((v) => Math.max(v, 0)) });

const times = (field, factor) => ({
  ...field, values: field.values.map((v) => v * factor), top: field.top * Math.abs(factor),
});

/** Where the layer's grid lies, if the photo lies there. @param {Facts} f */
function onPhoto(f, x, y, w, h) {
  const [l, t, r, b] = linesOf(f).box;
  return [x + l * w, y + t * h, (r - l) * w, (b - t) * h];
}

/** The cells of the layer as boxes in the photo. @param {Facts} f */
const boxesOf = (f, cells) => cells.map((n) => frameOf([Math.floor(n / f.w), n % f.w], f));

/** @param {Field} field */
export const rowSums = ({ h, w, values }) =>
  Array.from({ length: h }, (_, i) => values.subarray(i * w, (i + 1) * w).reduce((a, b) => a + b, 0));

const sideWay = (v) => v < 0 ? 'against' : 'for';
const inUnits = (units, before = ', ') => units && before + units;

// ---- 0: everything, forward above and back below; a box fills when it is answered ----------------

/** @param {Facts} f @param {Stand} s */
function all(f, s) {
  const { W, H, wide, phase, seen } = s, narrow = W < 760, parts = [];
  const open = (n) => n === 1 || phase > 0 || seen.includes(n);
  const put = (n, key, x, y, w, h, name, shown) => parts.push(
    part(`${key} name`, x, y - 31, narrow ? (W - 14) / 2 : Math.min(Math.max(w, 226), W - x), LINE, {
      ...text([`${n}`, 'badge'], name), go: n,
    }),
    part(key, x, y, w, h, { ...(open(n) ? shown : UNKNOWN), go: n }),
  );
  const photo = { kind: 'picture' }, map = grid(f.map, 'evidence'), stems = { kind: 'stems', values: f.weights };
  const laid = f.placed ? { kind: 'heat', field: relu(f.map), smooth: true } : grid(relu(f.map), 'evidence');
  if (narrow) {
    const w = (W - 14) / 2, third = H / 3, x = w + 14, [top, mid, low] = [34, third + 34, 2 * third + 34];
    const h = third - 40;
    const [pw, ph] = fit(w, h, f.ratio);
    put(1, 'photo', 0, top, pw, ph, 'photo', photo);
    put(3, 'A', x, top, w, h, 'maps', grid(f.a, 'reaction'));
    put(4, 'G', 0, mid, w, h, 'what if?', grid(f.g, 'evidence'));
    put(5, 'weights', x, mid, w, h, 'weights', stems);
    put(6, 'map', 0, low, w, h, 'add up', map);
    put(8, 'over', x, low, pw, ph, 'laid over', laid);
    return parts;
  }
  const k = W / 1240, high = Math.min(0.31 * H, 130 * k), top = 36, low = H - high - 4, n = f.stages.length;
  const [pw, ph] = fit(232 * k, high, f.ratio), mid = top + high / 2, down = low + high / 2, from = pw + 46 * k;
  put(1, 'photo', 0, top + (high - ph) / 2, pw, ph, 'photo', photo);

  const ax = 792 * k, aw = 178 * k, ah = Math.min(aw / 2, high - 10), scoreX = W - 176 * k;
  const side = Math.min((ax - from - 34 * k) / n - 6, high - 8, 96);
  const sides = f.stages.map((_, i) => open(2) ? side * (1 - 0.3 * i / n) : side * 0.85);
  const named = text(['2', 'badge'], 'network: stage after stage');
  parts.push(part('stage name', from, top - 31, ax - from - 20, LINE, { ...named, go: 2 }));
  let x = from;
  f.stages.forEach((stage, i) => {
    const shown = open(2) ? grid(stage.field, 'reaction') : UNKNOWN;
    parts.push(part(`stage ${i}`, x, mid - sides[i] / 2, sides[i], sides[i], { ...shown, go: 2 }));
    x += sides[i] + 6;
  });
  put(3, 'A', ax, mid - ah / 2, aw, ah, open(3) ? `${f.K} maps` : 'maps', grid(f.a, 'reaction'));
  const said = phase > 0 || seen.includes(1);
  parts.push(part('score', scoreX, top - 31, W - scoreX, high + 31, {
    kind: 'text', side: 'right', go: 9,
    pieces: [
      ['9', 'badge'], 'score\n', [said ? f.brief(f.score) : '?', 'big'], '\n',
      [said ? f.label : 'the answer', 'strong'],
    ],
  }));

  const w = 196 * k, step = w + 54 * k, at = (i) => W - w - i * step;
  put(4, 'G', at(0), low, w, high, 'what if?', grid(f.g, 'evidence'));
  put(5, 'weights', at(1), low, w, high, open(5) ? `${f.K} weights` : 'weights', stems);
  put(6, 'map', at(2), low, w, high, wide ? '× map, add up' : 'add up', map);
  put(7, 'relu', at(3), low, w, high, wide ? 'ReLU: no minus' : 'ReLU', grid(relu(f.map), 'evidence'));
  put(8, 'over', 0, low + (high - ph) / 2, pw, ph, wide ? 'laid over the photo' : 'laid over', laid);
  const turn = (mid + ah / 2 + low - 31) / 2, sumX = at(2) + 0.8 * w, backX = W - 40 * k;
  parts.push(part('wires', 0, 0, W, H, {
    kind: 'wires', lines: [
      { points: [[pw + 8, mid], [from - 8, mid]] },
      { points: [[x + 2, mid], [ax - 8, mid]] },
      { points: [[ax + aw + 8, mid], [scoreX - 4, mid]] },
      { points: [[backX, top + high], [backX, low - 36]] },
      ...[0, 1, 2].map((i) => ({ points: [[at(i) - 8, down], [at(i + 1) + w + 8, down]] })),
      { points: [[at(3) - 8, down], [pw + 10, down]] },
      { points: [[ax + aw / 2, mid + ah / 2 + 6], [ax + aw / 2, turn], [sumX, turn], [sumX, low - 36]], dotted: true },
    ],
  }));
  return parts;
}

// ---- 1 to 3: look ------------------------------------------------------------------------------

/** @param {Facts} f @param {Stand} s */
function answer(f, { W, H, narrow, phase }) {
  const [w, h] = narrow ? fit(W, 0.5 * H, f.ratio) : fit(0.58 * W, H - 8, f.ratio);
  const x = narrow ? 0 : w + 36, most = Math.max(...f.classes.map((c) => Math.abs(c.p)));
  const rows = f.classes.slice(0, narrow ? 4 : 6).map((c) => ({
    name: c.label, share: c.p / most, said: c.chance, strong: c.index === f.first.index,
  }));
  if (f.head === 'softmax' && f.others > 0 && !narrow) {
    const rest = Math.max(1 - f.classes.reduce((sum, c) => sum + c.p, 0), 0);
    rows.push({ name: `other ${f.others}`, share: rest / most, said: percent(rest) });
  }
  const head = !narrow && phase ? 70 : 0, high = narrow ? H - h - 14 : Math.min(46 * rows.length, H - head);
  const y = narrow ? h + 14 : (H - high - head) / 2;
  return [
    part('photo', narrow ? (W - w) / 2 : 0, narrow ? 0 : (H - h) / 2, w, h, { kind: 'picture' }),
    ...(head ? [part('score', x, y, W - x, head - 8, text(`score of ${f.label}\n`, [f.brief(f.score), 'large']))] : []),
    part('bars', x, y + head, W - x, high, phase ? { kind: 'bars', rows } : UNKNOWN),
  ];
}

/** @param {Facts} f @param {Stand} s */
function stages(f, { W, H, narrow, wide, phase }) {
  const n = f.stages.length, columns = Math.min(narrow ? 2 : 4, n), lines = Math.ceil(n / columns);
  const gap = narrow ? 12 : 22;
  const name = narrow ? 24 : 30, h = (H - lines * name - (lines - 1) * 8) / lines;
  const w = (W - (columns - 1) * gap) / columns;
  const [tw, th] = fit(w, h, f.crop ? 1 : f.ratio);
  return f.stages.flatMap((stage, i) => {
    const x = i % columns * (w + gap), y = Math.floor(i / columns) * (h + name + 8);
    const shown = phase || i === 0 || i === n >> 1, ours = phase && stage.name === f.layer;
    const sizes = [[grids(stage.shape), 'strong'], `${narrow ? ',' : ' cells,'} ${stage.shape[2]} maps`];
    return [
      part(`stage ${i}`, x + (w - tw) / 2, y, tw, th, shown ? grid(stage.field, 'reaction', { ring: ours }) : UNKNOWN),
      part(`stage ${i} name`, x, y + th + 2, w, name - 2, centred(
        ...(shown ? sizes : [`stage ${i + 1}`]), ours && wide ? [' · ours', 'strong'] : '',
      )),
    ];
  });
}

/** @param {Facts} f @param {Stand} s */
function maps(f, s) {
  const { W, H, narrow, phase, vote } = s, head = narrow ? 0 : 32, note = narrow ? 0 : 36;
  const half = narrow ? W : (W - 40) / 2, framed = f.inMap && f.placed && f.peaks.length <= MANY;
  const room = narrow ? (H - 10) / 2 : H - head - note, [w, h] = fit(half, room, f.ratio), x = narrow ? (W - w) / 2 : 0;
  const right = W - half, y = narrow ? h + 10 : head, high = narrow ? H - y : Math.max(h, Math.min(room, half / 1.6));
  const frames = (cells, more) => part('frames', x, head, w, h, { kind: 'frames', cells: boxesOf(f, cells), ...more });
  const names = (left, other, below) => narrow ? [] : [
    part('photo name', 0, 0, half, LINE, text(left)),
    part('A name', right, 0, half, LINE, text(other)),
    part('note', 0, H - note + 6, W, LINE, text(below)),
  ];
  if (!phase) {
    return [
      part('photo', x, head, w, h, { kind: 'picture', pick: true }),
      sheetPart('A', right, y, half, high, f.a, 'reaction', f.print.a, s, { pick: false }),
      ...(vote === undefined ? [] : [frames([vote], { voted: true })]),
      ...names('the photo', `feature map of filter ${f.k}${inUnits(unitOf(f.print.a))}`,
        '0: no reaction. The larger the number, the stronger.'),
    ];
  }
  const columns = narrow ? 4 : 6, lines = narrow ? 3 : 4, gap = 10, tw = (half - (columns - 1) * gap) / columns;
  const th = Math.min((high - (lines - 1) * gap) / lines, tw), roomy = w / f.w >= 40 && h / f.h >= 22;
  const most = roomy && f.peaks.length ? digits(f.a.values[f.peaks[0]], f.print.a) : '';
  return [
    part('photo', x, head, w, h, { kind: 'picture' }), // what the grid flies onto
    ...(f.placed ? [
      part('over', x, head, w, h, { kind: 'heat', field: f.a, tone: 'reaction' }),
      part('A', ...onPhoto(f, x, head, w, h), grid(f.a, 'reaction', { gone: true })),
    ] : []),
    ...(framed ? [frames(f.peaks, { said: most })] : []),
    ...f.tiles.slice(0, columns * lines).map((t, n) => part(
      `A ${t.k}`, right + n % columns * (tw + gap), y + Math.floor(n / columns) * (high - th) / (lines - 1), tw, th,
      grid(t.field, 'reaction', { tile: n, ring: t.k === f.k }),
    )),
    ...names(f.placed ? 'its numbers, over the photo' : 'the photo', `${f.K} filters, ${f.K} maps`,
      `${framed ? 'Framed: the largest numbers. ' : ''}Click another map to follow that filter.`),
  ];
}

// ---- 4 and 5: ask ------------------------------------------------------------------------------

/** @param {Facts} f @param {Stand} s */
function whatIf(f, s) {
  const { W, H, narrow, wide, phase } = s, told = nudgeOf(f), { nudged } = f, at = f.at(f.nudgedCell);
  const marks = f.inMap ? [at] : [];
  const [was, becomes] = nudged ? [f.brief(nudged.a), f.brief(nudged.a + nudged.by)] : ['…', '…'];
  const moved = nudged && f.inMap ? { ...f.a, values: f.a.values.map((v, n) => n === at ? v + nudged.by : v) } : f.a;
  const scores = `${told?.before ?? '…'} → ${told && phase ? told.after : '?'}`;
  const step = (how) => told && phase ? [told.moved, `${how} ${sideWay(nudged.up)}`] : '';
  const A = (...box) => sheetPart('A', ...box, moved, 'reaction', f.print.a, s, { marks, top: f.a.top });
  const G = (...box) => phase ? sheetPart('G', ...box, f.g, 'evidence', f.print.g, s, { marks })
    : part('G', ...box, UNKNOWN);
  if (narrow) {
    const h = (H - 70) / 2;
    return [
      A(0, 0, W, h),
      part('score', 0, h + 6, W, 60, centred(
        `${was} becomes ${becomes}; the score:\n`, [scores, 'strong'], '  ', step('strong'),
      )),
      G(0, H - h, W, h),
    ];
  }
  const card = wide ? 300 : 262, w = (W - card - 52) / 2, h = Math.min(w / 1.3, H - 98), y = 58 + (H - 98 - h) / 2;
  const alike = f.even ? `All ${f.cells} alike: after this layer the network only takes the mean of each map.`
    : 'They differ from place to place: more than a mean follows.';
  return [
    part('A name', 0, y - 58, w + 16, PAIR, text(
      `filter ${f.k}:\nwe turn `, [was, 'strong'], ' into ', [becomes, 'strong'],
    )),
    A(0, y, w, h),
    part('score', w + 26, y, card, h, {
      ...centred(
        'the rest of the network\n', ['↓', 'large'], `\nscore of ${f.label}\n`, [scores, 'large'], '\n',
        step('large'),
      ),
      card: true,
    }),
    part('G name', W - w, y - 58, w, PAIR, phase
      ? text('gradient of ', ['every', 'strong'], ` cell,\n${unitOf(f.print.g) || 'in points of score'}`)
      : text(`and the other\n${f.cells - 1} cells?`)),
    G(W - w, y, w, h),
    part('note', 0, y + h + 10, W, LINE, text(phase ? alike
      : 'Only this one number changes. The network is run again from here.')),
  ];
}

/** @param {Facts} f @param {Stand} s */
function weight(f, s) {
  const { W, H, narrow, phase } = s, way = sideWay(f.alpha), [best, worst] = [f.weights[0], f.weights.at(-1)];
  const counts = [[`${f.pro} speak for it\n`, 'for strong'], [`${f.con} speak against it\n`, 'against strong']];
  const mean = ['mean\n', [number(f.alpha), `large ${way}`], `\nweight of\nfilter ${f.k}`];
  const stems = phase ? { kind: 'stems', values: f.weights } : UNKNOWN, most = (v) => change(v, enough(v) + 1);
  if (narrow) {
    const h = 0.3 * H;
    const lines = text([`${f.pro} speak for it\n`, 'for strong'], [`${f.con} speak against it`, 'against strong']);
    return [
      sheetPart('G', 0, 0, 0.55 * W, h, f.g, 'evidence', f.print.g, s, { pick: false }),
      part('alpha', 0.58 * W, 0, 0.42 * W, h, text(
        `${f.cells} gradients${inUnits(unitOf(f.print.g), ',\n')}\n`, ...mean,
      )),
      part('weights', 0, h + 14, W, H - h - 76, stems),
      ...(phase ? [part('counts', 0, H - 52, W, 50, text(...counts))] : []),
    ];
  }
  const w = 0.32 * W, h = Math.min(w / 1.3, H - 66), y = 58 + (H - 62 - h) / 2, x = w + 20, middle = 200;
  const px = x + middle + 16, pw = W - px;
  return [
    part('G name', 0, y - 58, w + 20, PAIR, text(
      `filter ${f.k}: ${f.cells} gradients${inUnits(unitOf(f.print.g), ',\n')}`,
    )),
    sheetPart('G', 0, y, w, h, f.g, 'evidence', f.print.g, s),
    part('alpha', x, y + h / 2 - 84, middle, 170, centred(mean[0], ['→\n', 'large'], ...mean.slice(1))),
    part('weights name', px, 0, pw, LINE, text(`the weights of all ${f.K} filters, in order`)),
    part('weights', px, 34, pw, H - 38, stems),
    ...(phase ? [
      part('counts', px + 0.36 * pw, 48, 0.64 * pw, PAIR, text(counts[0], `strongest ${most(best)}`)),
      part('others', px + 4, H - PAIR - 6, 0.6 * pw, PAIR, text(counts[1], `strongest ${most(worst)}`)),
    ] : []),
  ];
}

// ---- 6 to 9: add -------------------------------------------------------------------------------

/** How a grid times a weight is printed: in a unit that is as much smaller. */
function printedTimes(print, alpha) {
  const unit = print.unit * 10 ** Math.floor(Math.log10(Math.abs(alpha) || 1));
  return { ...print, unit: Number(unit.toPrecision(1)) };
}

/** @param {Facts} f @param {Stand} s */
function addUp(f, s) {
  const { W, H, narrow, wide, phase } = s, { print } = f, marks = f.inMap ? [f.at(f.addedCell)] : [];
  const way = sideWay(f.alpha), { shown, weight: weighs, product: makes } = addedOf(f), made = times(f.a, f.alpha);
  const printMade = printedTimes(print.a, f.alpha), units = unitOf(printMade), hides = phase ? {} : { only: [] };
  const A = (...box) => sheetPart('A', ...box, f.a, 'reaction', print.a, s, { marks });
  const M = (...box) => phase ? sheetPart('map', ...box, f.map, 'evidence', print.map, s, { marks })
    : part('map', ...box, UNKNOWN);
  const P = (key, ...box) => sheetPart(key, ...box, made, 'evidence', printMade, s, { marks, ...hides });
  if (narrow) {
    const h = (H - 64) / 2, weighed = [`map ${f.k} × weight `, [weighs, `strong ${way}`]];
    return [
      part('A name', 0, 0, W, 26, text(...weighed, phase ? inUnits(units) : '')),
      phase ? P('A', 0, 28, W, h) : A(0, 28, W, h),
      part('map name', 0, h + 34, W, 26, text(`all ${f.K} added up${phase ? ': the map' : ''}`)),
      M(0, h + 62, W, h),
    ];
  }
  // beside each other; or where that is too narrow for numbers, the map below
  const between = wide ? 100 : 0.27 * W, w = wide ? (W - 2 * between) / 3 : 0.365 * W;
  const h = wide ? Math.min(H - 128, w / 1.2) : (H - 92) / 2, low = wide ? h + 36 : h + 60;
  const [px, mx, my] = wide ? [w + between, W - w, 0] : [W - w, W - w, low];
  const sign = wide ? centred(['×\n', 'large'], [weighs, `strong ${way}`], ['\n=', 'large'])
    : centred(['× ', 'large'], [weighs, `large ${way}`], [' =', 'large']);
  const parts = [
    part('A name', 0, 0, w, LINE, text(`map of filter ${f.k}`)),
    A(0, 30, w, h),
    part('alpha', w, 30 + h / 2 - 54, px - w, 108, sign),
    part('made name', px, 0, w, LINE, text(`it adds${inUnits(units)}`)),
    P('made', px, 30, w, h),
    part('map name', mx, my, w, LINE, phase ? text(['the map', 'strong'], inUnits(unitOf(print.map)))
      : text(`all ${f.K} added up`)),
    M(mx, my + 30, w, h),
  ];
  const others = centred(`+ ${f.K - 1}\nmore `, ['=', 'large']);
  if (wide) parts.push(part('plus', px + w, 30 + h / 2 - 42, between, 84, others));
  const product = f.inMap ? [`${shown} × ${weighs} = `, [phase ? makes : '?', 'strong']] : [];
  if (!phase) {
    const why = 'The weight of a filter is the mean of its gradients.';
    return [...parts, part('product', 0, low, mx - 20, PAIR, text(...product, product.length ? '\n' : '', why))];
  }
  const terms = f.tiles.filter((t) => t.k !== f.k).slice(0, wide ? 5 : 4), room = wide ? 128 : (mx - 20) / 4;
  const top = Math.max(...terms.map((t) => t.field.top * Math.abs(t.alpha)), 0);
  const n = agreeing([f.whole.more, f.whole.less], f.whole.sum);
  const sum = [
    'all: ', [change(f.whole.more, n), 'for strong'], ' for, ', [decimals(f.whole.less, n), 'against strong'],
    ' against = ', [decimals(f.whole.sum, n), 'strong'],
  ];
  const tx = wide ? W - terms.length * room : 0, y = wide ? low + 8 : low + LINE + 4;
  const th = wide ? 50 : Math.min(60, h - 66);
  terms.forEach((t, i) => parts.push(
    part(`A ${t.k}`, tx + i * room, y, room - 14, th, grid(times(t.field, t.alpha), 'evidence', { top })),
    part(`A ${t.k} name`, tx + i * room, y + th + 2, room - 6, LINE, text(`+ no. ${t.k}`)),
  ));
  parts.push(part('product', 0, low, (wide ? tx : mx) - 20, LINE, text(...product)));
  parts.push(part('terms', 0, wide ? low + 36 : y + th + LINE + 4, (wide ? tx : mx) - 20, LINE, text(...sum)));
  return parts;
}

/** @param {Facts} f @param {Stand} s */
function cut(f, s) {
  const { W, H, narrow, phase } = s, pair = phase === 2 && f.contrast, field = pair ? f.contrast.field : f.map;
  const print = f.print.map;
  const minus = [...field.values.keys()].filter((n) => field.values[n] < 0), arrow = narrow ? 0 : 96;
  const below = pair ? f.contrast.below : f.below;
  const w = narrow ? W : Math.min((W - arrow) / 2, 2 * (H - 74)), h = narrow ? (H - 72) / 2 : Math.min(w / 1.3, H - 74);
  const left = narrow ? 0 : (W - 2 * w - arrow) / 2, y = narrow ? 32 : 34, right = narrow ? 0 : left + w + arrow;
  const down = narrow ? H - h : y;
  const few = phase === 1 && minus.length < 5 ? minus : [];
  const after = sheetPart('relu', right, down, w, h, relu(field), 'evidence', print, s, { top: field.top, was: minus });
  return [
    part('map name', left, y - 32, narrow ? W : w + arrow, LINE, pair
      ? text([`${f.label} minus ${f.contrast.label}`, 'strong'])
      : text(`${f.label}, before ReLU${inUnits(unitOf(print))}`)),
    sheetPart('map', left, y, w, h, field, 'evidence', print, s, { marks: few }),
    part('relu name', right, down - 32, w, LINE, text('after ReLU')),
    phase ? after : part('relu', right, down, w, h, UNKNOWN),
    ...(narrow ? [] : [
      part('arrow', left + w, y + h / 2 - 28, arrow, 56, centred(['→', 'huge'])),
      part('note', left, y + h + 10, W - left, LINE, text(
        ['Red', 'for strong'], ' speaks for it, ', ['blue', 'against strong'], ' against it.',
        phase ? ` ${below} of ${f.cells} are minus.` : '',
      )),
    ]),
  ];
}

/** @param {Facts} f @param {Stand} s */
function overlay(f, s) {
  const { W, H, narrow, phase } = s, field = relu(f.map), print = f.print.map, [left, right] = f.halves;
  const sum = left + right;
  if (!phase || !f.placed) {
    const half = narrow ? W : (W - 40) / 2, [w, h] = fit(half, narrow ? (H - 14) / 2 : H - 8, f.ratio);
    const high = narrow ? H - h - 14 : Math.max(h, Math.min(H - 8, half / 1.7));
    const y = narrow ? 0 : (H - Math.max(h, high)) / 2;
    return [
      part('photo', narrow ? (W - w) / 2 : 0, y, w, h, { kind: 'picture', grey: true }),
      sheetPart('relu', W - half, narrow ? h + 14 : y, half, high, field, 'evidence', print, s, { top: f.map.top }),
    ];
  }
  const [w, h] = narrow ? fit(W, H - 132, f.ratio) : fit(0.66 * W, H - 4, f.ratio), x = narrow ? (W - w) / 2 : 0;
  const n = agreeing([left, right], sum, 3, 4), tx = narrow ? 0 : w + 30;
  const y = narrow ? h + 12 : Math.max(0, (H - 300) / 2);
  const most = Math.max(left, right) || 1, rows = [left, right].map((v, i) => ({
    name: f.sides[i], share: v / most, said: decimals(v, n), strong: v === most, evidence: true,
  }));
  return [
    part('photo', x, 0, w, h, { kind: 'picture', grey: true }),
    part('over', x, 0, w, h, { kind: 'heat', field, smooth: true, hold: true }),
    part('relu', ...onPhoto(f, x, 0, w, h), grid(field, 'evidence', { top: f.map.top, gone: true })),
    part('frames', x + w / 2 - 2, 0, 4, h, { kind: 'frames', cells: [], line: true }),
    part('bars name', tx, y, W - tx, LINE, text('red, added up')),
    part('bars', tx, y + 30, W - tx, 84, { kind: 'bars', rows }),
    ...(narrow ? [] : [part('note', tx, y + 128, W - tx, 170, text(
      `${decimals(left, n)} + ${decimals(right, n)} = ${decimals(sum, n)}\n`,
      ['A cell in the middle counts half each.', 'soft'],
      '\n\nPress the photo to see it without the map.',
    ))]),
  ];
}

/** @param {Facts} f @param {Stand} s */
function score(f, s) {
  const { W, H, narrow, phase } = s, sums = rowSums(f.map), total = totalOf(f), print = f.print.map;
  const whole = f.whole.sum;
  const n = Math.max(agreeing(sums, whole), total.n), few = Boolean(phase) && sums.length <= 14 && f.inMap;
  const column = narrow ? 58 : 90, longest = Math.max(...sums.map((v) => ems(decimals(v, n))));
  const w = narrow ? W - (few ? column + 8 : 0) : Math.min(0.54 * W, 2 * (H - 36));
  const h = narrow ? Math.min(H - 168, w) : Math.min(w / 1.3, H - 36);
  const size = Math.floor(Math.min(22, h / sums.length - 3, column / (1.12 * longest))), units = inUnits(unitOf(print));
  const parts = [
    part('map name', 0, 0, narrow ? W : w + 110, LINE, text(
      `the ${f.map.values.length} cells${units}${few ? ', and each row’s sum' : ''}`,
    )),
    sheetPart('map', 0, 32, w, h, f.map, 'evidence', print, s),
  ];
  if (few && size >= LEAST.narrow) {
    const high = h / sums.length, shown = (v) => ({ ...text([decimals(v, n), 'strong']), size, upright: true });
    sums.forEach((v, i) => {
      parts.push(part(`row ${i}`, w + 8, 32 + i * high, Math.min(column, W - w - 8), high, shown(v)));
    });
  }
  const x = narrow ? 0 : w + (phase ? 116 : 44), y = narrow ? h + 42 : 34, high = narrow ? H - y : h;
  if (!phase) {
    const card = { ...centred('all cells together\n', ['?', 'big']), card: true };
    return [...parts, part('total', x, y, W - x, high, card)];
  }
  const lines = [[`${f.cells} cells together`, decimals(whole, total.n)],
    ...(f.start === null ? [] : [['fixed start', total.start]]), [`score of ${f.label}`, total.score, true]];
  parts.push(part('total', x, y, W - x, narrow ? high : 180, { kind: 'sum', lines, apart: f.start === null }));
  if (!narrow && few && h > 270) {
    parts.push(part('pieces name', x, y + 196, W - x, LINE, text('the rows, end to end')),
      part('pieces', x, y + 228, W - x, 44, { kind: 'pieces', values: sums }));
  }
  return parts;
}

// ---- 10 to 13: doubt ---------------------------------------------------------------------------

const HITS = [ // of 54 pictures with a box drawn by hand, of 100: how often the brightest spot lies inside
  { name: 'last layer, with the mean', share: 0.89, said: '89', strong: true },
  { name: 'always the centre', share: 0.8, said: '80' },
  { name: 'earlier, with the mean', share: 0.59, said: '37–59' },
  { name: 'earlier, place by place', share: 0.94, said: '67–94', strong: true },
];

/** @param {Facts} f @param {Stand} s */
function before(f, s) {
  const { W, H, narrow, wide, phase } = s, { earlier, where } = f;
  if (!earlier) return [part('waits', 0, 0, W, H, { ...centred('One moment …'), card: true })];
  const { last, mean, each, side, shares, g, alpha, k } = earlier, gap = narrow ? 0 : 26;
  const lies = (n, known) => [`${where[side]}: `, [known ? percent(shares[n]) : '?', 'strong']];
  const named = [['last layer', 'strong'], `, for ${earlier.label}`];
  const heat = (field) => ({ kind: 'heat', field: relu(field), placement: field.placement, smooth: true });
  if (narrow) {
    const [w, h] = fit(W, (H - 2 * PAIR - 8) / 2, f.ratio), y = PAIR + h + 8, x = (W - w) / 2, two = phase > 1;
    return [
      part('over name', 0, 0, W, PAIR - 4, text(...named, '\n', ...lies(0, true))),
      part('over', x, PAIR, w, h, heat(last)),
      part('mean name', 0, y, W, PAIR - 4, text(
        ['earlier layer', 'strong'], `, ${two ? 'place by place' : 'with the mean'}\n`, ...lies(two ? 2 : 1, phase),
      )),
      part(two ? 'each' : 'mean', x, y + PAIR, w, h, phase ? heat(two ? each : mean) : UNKNOWN),
    ];
  }
  const w = (W - 2 * gap) / 3, [pw, ph] = fit(w, (H - PAIR) * 0.54, f.ratio), x = [0, 1, 2].map((n) => n * (w + gap));
  const y = PAIR + 4, low = y + ph + 38, high = H - low, print = earlier.print;
  const parts = [
    part('over name', x[0], 0, w, PAIR, text(...named, '\n', ...lies(0, true))),
    part('over', x[0], y, pw, ph, heat(last)),
    part('mean name', x[1], 0, w, PAIR, text(['earlier layer', 'strong'], ', with the mean\n', ...lies(1, phase))),
    part('mean', x[1], y, pw, ph, phase ? heat(mean) : UNKNOWN),
    part('each name', x[2], 0, w, PAIR, text(['earlier layer', 'strong'], ', place by place\n', ...lies(2, phase > 1))),
    part('each', x[2], y, pw, ph, phase > 1 ? heat(each) : UNKNOWN),
  ];
  if (phase > 1 && f.network === 'EfficientNet-Lite0') {
    return [...parts,
      part('hits name', 0, low - 32, W, LINE, text(
        'On 54 pictures: how often, of 100, does the reddest spot lie on the thing?',
      )),
      part('hits', 0, low, W, Math.min(high, 140), { kind: 'bars', rows: HITS })];
  }
  if (f.even) {
    parts.push(part('alike', x[0], low - 32, w, Math.min(high + 32, 100), text(
      'Here only a mean follows:\nall gradients of a filter are alike.',
    )));
  }
  if (!phase) {
    return [...parts,
      part('G name', x[1], low - 32, w, LINE, text('gradients of one filter')),
      part('G', x[1], low, w, high, UNKNOWN),
      part('cancels', x[2], low - 4, w, Math.min(high, PAIR), text('the earlier layer:\n', [earlier.layer, 'strong'])),
    ];
  }
  return [...parts,
    part('G name', x[1], low - 32, w, LINE, text(`gradients of filter ${k}${wide ? inUnits(unitOf(print)) : ''}`)),
    sheetPart('G', x[1], low, w, high, g, 'evidence', print, s, { pick: false }),
    part('cancels', x[2], low - 4, w, Math.min(high, 116), text(
      `mean of these ${g.values.length}:\n`, [f.brief(alpha), `large ${sideWay(alpha)}`], '\nPlus and minus cancel.',
    ))];
}

/** @param {Facts} f */
const claims = (f) => [
  [`The map shows where this layer found evidence for ${f.label}.`, 'TRUE'],
  [`So “${f.label}” is the right answer.`, 'IT CANNOT SAY'],
  ['Any other layer would show the same.', 'FALSE'],
  ['Without the strongest place, the score would fall.', 'TEST IT'],
];

/** @param {Facts} f @param {Stand} s */
function soWhat(f, { W, H, narrow, phase }) {
  const columns = narrow ? 1 : 2, lines = narrow ? 4 : 2, gap = narrow ? 8 : 18;
  const w = (W - (columns - 1) * gap) / columns, h = (H - (lines - 1) * gap) / lines, high = Math.min(h - 92, 110);
  return claims(f).flatMap(([claim, verdict], n) => {
    const x = n % columns * (w + gap), y = Math.floor(n / columns) * (h + gap), letter = 'ABCD'[n];
    const [pw, ph] = fit(0.5 * w, high, f.ratio), box = [x + 16, y + h - ph - 14, pw, ph];
    const shown = n === 0 ? { kind: 'heat', field: relu(f.map), smooth: true } : { kind: 'picture' };
    const earlier = f.earlier && n === 2 && { ...f.earlier.mean, ...relu(f.earlier.mean) };
    const picture = earlier ? { kind: 'heat', field: earlier, placement: earlier.placement, smooth: true } : shown;
    return [
      part(`claim ${letter}`, x, y, w, h, { ...text([letter, 'badge'], claim), card: true, plain: true }),
      ...(narrow || ph < 30 ? [] : [part(['over', 'photo', 'mean', 'photo 2'][n], ...box, picture)]),
      ...(phase ? [part(`stamp ${letter}`, x + w - 200, y + h - (narrow ? 34 : 54), 186, narrow ? 28 : 42, {
        kind: 'text', side: 'stamp', pieces: [[verdict, 'strong']],
      })] : []),
    ];
  });
}

/** @param {Facts} f @param {Stand} s */
function cover(f, { W, H, narrow, phase }) {
  const n = phase > 1 ? 1 : 0, [l, t, r, b] = f.patches[n], now = phase ? f.covered[n] : null;
  const [w, h] = narrow ? fit(W, 0.5 * H, f.ratio) : fit(0.56 * W, H - 34, f.ratio), x = narrow ? (W - w) / 2 : 0;
  const px = narrow ? 0 : w + 34, wide = W - px, y = narrow ? h + 10 : 0;
  const shown = f.classes.filter((c) => c.label === f.label || c.index === f.first.index).concat(f.second ?? []);
  const rows = f.hidden ? [] : [...new Set(shown)].slice(0, 2).flatMap((c) => {
    const after = now?.classes.find((one) => one.index === c.index), most = f.percent ? 1 : Math.abs(c.p) * 2 || 1;
    return [
      { name: c.label, share: c.p / most, said: c.chance },
      {
        name: '… covered', share: (after?.p ?? 0) / most, strong: true,
        said: after ? (f.percent ? percent(after.p) : number(after.p)) : '?',
      },
    ];
  });
  const high = !rows.length ? 0 : narrow ? Math.min(H - y - 40, 120) : 148, mapY = y + high + 50;
  const [mw, mh] = fit(wide, H - mapY - LINE - 4, f.ratio);
  const after = now ? decimals(now.score, 2) : '?';
  const scores = text('score: ', [decimals(f.score, 2), 'strong'], ' → ', [after, 'large']);
  return [
    part('photo', x, 0, w, h, { kind: 'picture', pick: phase > 0 }),
    part('patch', x + l * w, t * h, (r - l) * w, (b - t) * h, { kind: 'patch' }),
    ...(high ? [part('bars', px, y, wide, high, { kind: 'bars', rows })] : []),
    part('score', px, y + high + 4, wide, narrow ? 34 : 40, scores),
    ...(narrow ? [] : [
      part('note', 0, h + 6, w, LINE, text(phase ? 'Click the photo: the patch moves there.'
        : f.own || !f.placed ? 'Grey covers one place.' : 'Grey covers where the map is reddest.')),
    ]),
    ...(now && !narrow && mh > 60 ? [
      part('new name', px, mapY, wide, LINE, text('the new map')),
      part('over', px, mapY + LINE + 2, mw, mh, {
        kind: 'heat', field: relu(now.field), placement: now.field.placement, smooth: true,
      }),
    ] : []),
  ];
}

/** What waits in another tab. @param {number} ratio of a picture @param {string[]} names of what is not known */
function elsewhere({ W, H, narrow, phase }, ratio, known, names, [open, name, line]) {
  const n = known.length + names.length, gap = narrow ? 8 : 22, card = 104, below = narrow && n === 2 && ratio > 1.4;
  const w = below ? W : (W - (n - 1) * gap) / n, [pw, ph] = fit(w, (H - card - 14) / (below ? 2 : 1) - LINE, ratio);
  const at = (i) => below ? [0, i * (ph + LINE)] : [i * (w + gap), 0];
  const shown = [...known, ...names.map((one) => [one, UNKNOWN])];
  return [
    ...shown.flatMap(([title, what], i) => {
      const [x, y] = at(i), key = what.kind === 'heat' ? 'over' : `unknown ${i}`;
      return [part(`name ${i}`, x, y, w, LINE, text(title)), part(key, x, y + LINE, pw, ph, what)];
    }),
    ...(phase ? [part(`task ${open}`, 0, H - card, W, card, {
      ...text([`${name}\n`, 'strong'], line), card: true, plain: true, open,
    })] : []),
  ];
}

/** @param {Facts} f @param {Stand} s */
const forget = (f, s) => elsewhere(
  s, f.ratio, [['now', { kind: 'heat', field: relu(f.map), smooth: true }]], ['all forgotten'],
  ['forget', 'Test 4: Let the network forget →', 'It runs on this photo. What stays as it is: the map, or the lines?'],
);

/** @param {Facts} f @param {Stand} s */
const cheat = (f, s) => elsewhere(
  s, 1.4, [], ['network A', 'network B', 'network C'],
  ['cheat', 'Test 7: Which network cheats? →', 'Move the tag, draw other things. Then see what was planted.'],
);

const TASKS = [
  ['cover', 'Cover', 'Make the answer lose. Whose patch is smallest?'],
  ['compare', 'Compare', 'Why the one and not the other? Which places change sides?'],
  ['trust', 'Find where it is wrong', 'Hunt a photo: a wrong answer with a lovely map.'],
];
const LEARNED = [
  ['✓', 'The map is made of weights times feature maps, added up.'],
  ['✓', 'Red raises the score, blue lowers it, cell by cell.'],
  ['✓', 'Covering a place tests what the map claims.'],
  ['✗', 'That the answer is right. The map cannot say it.'],
];

/** @param {Facts} f @param {Stand} s */
function end(f, { W, H, narrow, wide, phase }) {
  if (phase) {
    const h = Math.min(H / 4, narrow ? 110 : 84);
    return LEARNED.map(([sign, line], n) => part(`line ${n}`, 0, n * h, W, h - 10, {
      ...text([sign, 'sign'], line), card: true, plain: true, big: !narrow,
    }));
  }
  const gap = narrow ? 8 : 22, w = narrow ? W : (W - 2 * gap) / 3, h = narrow ? (H - 2 * gap) / 3 : H;
  return TASKS.flatMap(([open, name, task], n) => {
    const x = narrow ? 0 : n * (w + gap), y = narrow ? n * (h + gap) : 0;
    const [pw, ph] = fit(w - 32, h - (wide ? 150 : 190), f.ratio);
    const box = [x + 16, y + h - ph - 16, pw, ph], [l, t, r, b] = f.patches[0];
    const inside = [box[0] + l * pw, box[1] + t * ph, (r - l) * pw, (b - t) * ph];
    const pair = f.contrast ? grid(f.contrast.field, 'evidence') : grid(f.map, 'evidence');
    const picture = [{ kind: 'picture' }, pair, UNKNOWN][n], roomy = !narrow && ph > 40;
    return [
      part(`task ${open}`, x, y, w, h, {
        ...text([`${n + 1}`, 'badge'], [`${name} →\n`, 'strong'], task), card: true, plain: true, open,
      }),
      ...(roomy ? [part(['photo', 'map', 'own'][n], ...box, { ...picture, open })] : []),
      ...(roomy && n === 0 ? [part('patch', ...inside, { kind: 'patch' })] : []),
    ];
  });
}

const SCENES = [ // by step
  all, answer, stages, maps, whatIf, weight, addUp, cut, overlay, score, before, soWhat, cover, forget, cheat, end,
];

/**
 * The parts of a step's figure.
 * @param {Facts} facts
 * @param {number} step
 * @param {{ W: number, H: number, phase: number, seen: number[], vote?: number }} where
 */
export function sceneOf(facts, step, where) {
  return SCENES[step](facts, { ...where, narrow: where.W < NARROW, wide: where.W > WIDE });
}
