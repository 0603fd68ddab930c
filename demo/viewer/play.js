// What a step of the lesson lets one play with, beside its figure: sliders, switches, and grids to choose a cell in.

import { $, frame, make } from './dom.js';
import { fieldOf } from './facts.js';
import { cellAt, cellBeside, earlier, frameOf, tellingNudge, without } from './maps.js';
import { plotCurves, plotStems } from './plot.js';
import { area, figure, image, photo, row, slider, table, tiles } from './sheets.js';
import {
  addView, ask, askNudge, cellNow, drawn, put, rounding, say, sheetOf, state, tile, valuesIn,
} from './taught.js';
import { laid } from './tones.js';
import {
  aboutMaps, aboutNudge, aboutOverlay, aboutPooling, aboutQuestion, aboutRelu, aboutScaling, aboutSum, aboutSwitches,
  firstTerms, grids, number, scoreTable, signed,
} from './words.js';

const cellName = () => { const [i, j] = cellNow(); return `row ${i + 1}, column ${j + 1}`; };

/** A map over the picture, cell by cell or smoothly. */
function over(map, tone, smooth = false) {
  const { lesson, bytes, topic: { base, picture: [high, wide] } } = state, W = 420;
  const field = { ...fieldOf(map, bytes), placement: lesson.placement };
  return area(...laid(base, field, tone, W, Math.max(Math.round(W * high / wide), 1), smooth));
}

// ---- what can be moved -------------------------------------------------------------------------

const ARROWS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };

/**
 * A cell of the grid can be chosen in this area, by pointer or arrow keys; others mark it, too.
 * @param {number[] | null} placement of the cells in the area
 */
function choosable(placement, field, ...others) {
  const [h, w] = state.lesson.shape, lattice = { h, w, placement }, marks = [field, ...others].map((area) => {
    const mark = make('div', null, { class: 'gl-mark' });
    area.append(mark);
    return mark;
  });
  const go = (cell) => { if (cell) put({ cell, nudged: null }); };
  field.tabIndex = 0;
  field.setAttribute('role', 'application');
  field.onclick = (e) => {
    const r = field.getBoundingClientRect();
    go(cellAt([(e.clientY - r.top) / r.height, (e.clientX - r.left) / r.width], lattice));
  };
  field.onkeydown = (e) => {
    const by = ARROWS[e.key];
    if (by) { e.preventDefault(); go(cellBeside(cellNow(), by, lattice)); }
  };
  addView(() => {
    const what = `Grid of ${h} rows and ${w} columns; arrow keys choose a cell. Chosen: ${cellName()}`;
    for (const mark of marks) frame(mark, frameOf(cellNow(), lattice));
    field.setAttribute('aria-label', what);
  });
}

export const goLayer = (name) => document.dispatchEvent(new CustomEvent('gradcam-layer', { detail: name }));

/** Where the gradient is one number all over: a way to a layer where it is not. */
function tryEarlier() {
  const { lesson, topic } = state, layer = tile().even && earlier(topic.layers, lesson.layer, lesson.shape[0]);
  if (!layer) return '';
  const button = make('button', `Try ${layer.name}`, { type: 'button' });
  button.onclick = () => goLayer(layer.name);
  return row(make('p', 'Every cell has the same gradient here.'), button);
}

// ---- the steps ---------------------------------------------------------------------------------

/** What a step lets one play with: each fills its place and says its numbers. */
export const PLAYS = {
  question(play) {
    const { lesson, topic } = state, [low, high] = lesson.range.map((v) => number(v));
    play.append(
      row(
        figure(image(lesson.input, 'Your picture as the network gets it'),
          `${topic.crop ? 'The middle of your picture, made' : 'Your picture, squashed to'} the network’s ` +
          `${grids(topic.input)} pixels.`, 200),
        figure(image(lesson.after, 'The same after preprocessing'),
          `What the network gets: the same numbers, moved to the range ${low} to ${high} (drawn from dark to ` +
          'bright, so it looks alike).', 200),
      ),
      table(scoreTable(topic), 1 + topic.classes.findIndex((c) => c.index === topic.target)),
    );
    say(aboutQuestion(lesson, topic));
  },

  maps(play) {
    const { lesson, topic } = state, stage = row();
    const all = tiles(lesson.tiles, (t) => drawn(t.a, 'reaction'),
      (t) => `Feature map ${t.k}, weight ${number(t.alpha)}`, (_, n) => put({ tile: n, nudged: null, sum: null }));
    play.append(stage, all);
    addView(() => {
      const t = tile(), where = over(t.a, 'reaction');
      const means = t.a.bottom > 0 ? 'The middle of the scale is zero: this layer has numbers below it, too.'
        : 'The stronger the colour, the stronger the filter reacted.';
      [...all.children].forEach((b, n) => b.setAttribute('aria-pressed', String(n === state.tile)));
      stage.replaceChildren(
        figure(sheetOf(t.a, 'reaction'), `Feature map #${t.k}. ${means}`, 230),
        photo(where, 'The same, cell by cell over your picture.', topic.picture, 260, 32),
      );
      say(aboutMaps(lesson, t, topic.label));
    });
  },

  gradient(play) {
    const { topic } = state, t = tile(), lab = make('div', null), curves = make('div', null);
    const grid = sheetOf(t.g, 'evidence'), itself = sheetOf(t.a, 'reaction');
    const [nudge, title, input] = slider('', { min: 0, max: 1 }, (size) => put({ size }));
    lab.hidden = true;
    lab.append(nudge, curves);
    choosable(null, grid.querySelector('.gl-area'), itself.querySelector('.gl-area'));
    play.append(
      row(
        figure(grid, `The gradient of #${t.k}: red raises the score, blue lowers it.`, 220, ' Click a cell.'),
        figure(itself, `The feature map #${t.k} itself.`, 220),
      ),
      tryEarlier(),
      lab,
    );
    addView(() => {
      const { nudged } = state, size = state.size ?? (nudged && tellingNudge(nudged, rounding()));
      if (!nudged) return;
      const change = number(nudged.steps[size]);
      lab.hidden = false;
      input.max = nudged.steps.length - 1;
      input.value = size;
      input.setAttribute('aria-valuetext', change);
      title.textContent = `Nudge this number by ${change} (it is ${number(nudged.a)} now)`;
      curves.replaceChildren(plotCurves(
        nudged.steps,
        [
          { y: nudged.predicted, colour: 'var(--gl-predicted)', name: 'predicted: gradient × nudge', dash: '6 5' },
          { y: nudged.true, colour: 'var(--gl-true)', name: 'true: the network, really run again' },
        ],
        size, roomy(), 'Predicted and true change of the score over the size of the nudge',
      ));
      say(aboutNudge(nudged, size, `#${t.k} at ${cellName()}`, t.even, rounding()));
    });
    addView(() => {
      if (state.nudged) return;
      say('Running the network’s tail …');
      askNudge().then((made) => { if (made === null) say(''); });
    });
  },

  pooling(play) {
    const { lesson } = state, t = tile(), count = lesson.alphas.length;
    const sorted = lesson.alphas.map((alpha, k) => ({ alpha, k })).sort((a, b) => b.alpha - a.alpha);
    const stems = plotStems(sorted.map((s) => s.alpha), sorted.findIndex((s) => s.k === t.k), `#${t.k}`, roomy(),
      `All ${count} weights, sorted, largest first`);
    const text = `All ${count} weights, sorted: red raises the score, blue lowers it. The thick line is #${t.k}.`;
    play.append(
      row(figure(sheetOf(t.g, 'evidence'), `All ${t.cells} gradients of #${t.k}.`, 230)),
      tryEarlier(),
      row(figure(stems, text, 560)),
    );
    say(aboutPooling(t, lesson.shape));
  },

  sum(play) {
    const { lesson, topic } = state, channels = lesson.shape[2], { map, build, switches } = lesson;
    const end = Math.max(map.top, map.bottom), most = Math.max(...switches.flatMap((t) => [t.map.top, t.map.bottom]));
    const whole = () => figure(sheetOf(map, 'evidence', end), 'All terms: the whole sum');
    const [adding, , input] = slider('Add up more and more terms, the heaviest first',
      { min: 0, max: build.length - 1 }, (count) => put({ count }));
    const board = tiles(switches, (t) => drawn(t.map, 'evidence', most),
      (t) => `Term of channel ${t.k}, sum ${number(t.total)}`, (t) => turn(t.k));
    const stage = row(), left = row(), report = make('p', '', { class: 'gl-score', role: 'status' });
    const parts = row(left, report);
    const turn = async (k) => {
      const off = state.off.includes(k) ? state.off.filter((other) => other !== k) : [...state.off, k];
      put({ off, score: 'running' });
      const score = await ask('without', topic.request, off);
      if (score !== undefined) put({ score: score ?? 'failed' });
    };
    board.classList.add('gl-board');
    parts.classList.add('gl-report');
    [...board.children].forEach((b, n) => b.append(make('span', signed(switches[n].total))));
    play.append(
      adding, stage,
      make('h3', 'Switchboard: strongest terms for and against'),
      make('p', 'Below each term: the sum of its cells, which is what it promises to add to the score.'),
      parts, board,
    );
    addView(() => {
      const station = build[state.count], text = firstTerms(station.count, channels, lesson.tiles[0].k);
      input.value = state.count;
      input.setAttribute('aria-valuetext', text);
      stage.replaceChildren(
        figure(sheetOf(station.map, 'evidence', end), `${text[0].toUpperCase()}${text.slice(1)}`),
        whole(),
      );
      say(aboutSum(station, channels, tile(), state.tile + 1));
    });
    addView(() => {
      const off = switches.filter((t) => state.off.includes(t.k)), names = off.map((t) => `#${t.k}`).join(', ');
      const rest = without(valuesIn(map), off.map((t) => valuesIn(t.map)));
      [...board.children].forEach((b, n) => {
        const gone = off.includes(switches[n]);
        b.setAttribute('aria-pressed', String(!gone));
        b.classList.toggle('off', gone);
      });
      left.replaceChildren(figure(sheetOf(map, 'evidence', end, rest),
        names ? `The sum without ${names}` : 'The sum with all terms on'));
    });
    addView(() => {
      const off = state.off.map((k) => switches.find((t) => t.k === k));
      report.textContent = aboutSwitches(off, state.score, topic.label, rounding());
    });
  },

  relu(play) {
    const { map, whole } = state.lesson, end = Math.max(map.top, map.bottom), stage = row();
    const label = make('label', null, { class: 'gl-check' }), box = make('input', null, { type: 'checkbox' });
    box.onchange = () => put({ turned: box.checked });
    label.append(box, 'Evidence against the class instead (the gradients negated)');
    play.append(stage, label);
    addView(() => {
      const { turned } = state, before = valuesIn(map).map((v) => turned ? -v : v);
      const after = before.map((v) => Math.max(v, 0));
      box.checked = turned;
      stage.replaceChildren(
        figure(sheetOf(map, 'evidence', end, before), 'Before: the signed sum', 260),
        figure(sheetOf(map, 'evidence', end, after), 'After: only what is above zero', 260),
      );
      say(aboutRelu(whole, turned));
    });
  },

  scaling(play) {
    const { lesson, topic } = state, { map } = lesson;
    const stepped = `Nearest: the ${grids(lesson.map.sent)} cells as they are, each over the part of the picture it ` +
      'stands for.';
    const smooth = 'Bilinear: the same numbers, smooth between the middles of the cells.';
    play.append(row(
      photo(over(map, 'evidence'), stepped, topic.picture),
      photo(over(map, 'evidence', true), smooth, topic.picture),
    ));
    say(aboutScaling(lesson, topic.picture));
  },

  overlay(play) {
    const { lesson, topic } = state, field = over(lesson.map, 'evidence', true);
    const report = make('div', null);
    const [opacity, , input] = slider('Opacity', { min: 0, max: 100 }, (v) => put({ opacity: v }));
    choosable(lesson.placement, field);
    play.append(row(photo(field, 'Click any cell to see the sum that made it.', topic.picture, 420)), opacity, report);
    say(aboutOverlay(lesson, topic.label));
    addView(() => {
      input.value = state.opacity;
      field.querySelector('canvas').style.opacity = state.opacity / 100;
    });
    addView(() => {
      const { sum } = state;
      if (!sum) return;
      const lines = sum.terms.map((t) => [`#${t.k}`, number(t.alpha), number(t.a), number(t.value)]);
      lines.push([`the other ${sum.others}`, '', '', number(sum.rest)], ['together', '', '', number(sum.total)]);
      report.replaceChildren(
        make('h3', `The sum that made the cell at ${sum.name}`),
        table([['Feature map', 'weight', '× in this cell', '= term'], ...lines], lines.length),
      );
    });
    addView(async () => {
      const name = cellName(), sum = await ask('cell', topic.request, ...cellNow());
      if (sum) put({ sum: { ...sum, name } });
    });
  },

  guided(play) {
    const { lesson, topic } = state, pictures = make('div', null, { class: 'gl-row gl-lines' });
    const button = make('button', '', { type: 'button', class: 'gl-run' });
    button.onclick = async () => {
      if (state.running) return;
      put({ running: true });
      const lines = await ask('guided', topic.request);
      if (state.topic === topic) put({ lines: lines || state.lines, running: false });
    };
    play.append(button, pictures);
    say('Another method draws fine lines. Would they tell one class from another?');
    addView(() => {
      const { lines, running } = state;
      const times = lesson.whole.max > 0 ? 'Times the Grad-CAM map: only where the map is red.'
        : 'Times the Grad-CAM map, which is empty here: nothing is left.';
      button.hidden = Boolean(lines);
      button.textContent = running ? 'Running …' : 'Run guided backpropagation (one more pass)';
      button.setAttribute('aria-disabled', String(running));
      if (!lines) return;
      pictures.replaceChildren(
        figure(image(lines.guided, 'Guided backpropagation'),
          'Guided backpropagation, on what the network gets: fine lines, hardly different from class to class.', 280),
        figure(image(lines.both, 'Guided Grad-CAM'), times, 280),
      );
    });
  },
};

const roomy = () => Math.min(560, $('.gl-play').clientWidth || 560);
