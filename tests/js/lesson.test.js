import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { readLink } from '../../demo/viewer/address.js';
import { agreeing, decimals, enough, factsOf, halvesOf, patchOn, peaksOf, unitOf } from '../../demo/viewer/facts.js';
import { NOTES, answersOf, handoutOf, noteRows } from '../../demo/viewer/paper.js';
import { digitSize, sceneOf } from '../../demo/viewer/scenes.js';
import { COURSES, STATIONS, answerOf, revealsOf } from '../../demo/viewer/script.js';
import { digits } from '../../demo/viewer/words.js';

const plain = (text) => text.replaceAll('\u00a0', ' ').replaceAll('−', '-');

/** A grid as it comes: its numbers as they are. */
const mapOf = (numbers, sent) => ({
  at: 0, sent, top: Math.max(...numbers, 0), bottom: Math.max(...numbers.map((v) => -v), 0), numbers,
});
const tileOf = (k, alpha, a, sent) => ({
  k, alpha, strength: 1, a: mapOf(a, sent), g: mapOf(a.map(() => alpha), sent), even: true, total: alpha * a.length,
  cells: a.length, mean: alpha,
});

const GRID = [2, 3], A = [0, 1, 2, 3, 4, 6], B = [1, 0, 0, 0, 0, 2];
// 0.5 A - 1 B, cell by cell; its cells above zero: left 1.5, in the middle 0.5 and 2, right 1 and 1
const MAP = [-1, 0.5, 1, 1.5, 2, 1];
const CLASSES = [['wolf', 0.25, 2], ['ant', 0.5, 5.25], ['bee', 0.125, 1], ['cat', 0.0625, 0.5], ['dog', 0.03, 0]];

/** What the lesson knows of a network with two filters of 2x3 cells: the score is 5, and 0.25 to begin with. */
function facts({ lesson = {}, topic = {}, ...more } = {}) {
  return factsOf({
    lesson: {
      score: 5.25, start: 0.25, layer: 'x', shape: [...GRID, 2], placement: null, placed: true, alphas: [0.5, -1],
      tiles: [tileOf(7, 0.5, A, GRID), tileOf(9, -1, B, GRID)], map: mapOf(MAP, GRID),
      stages: [
        { name: 'w', shape: [4, 6, 1], k: 0, map: mapOf(Array(24).fill(1), [4, 6]) },
        { name: 'x', shape: [...GRID, 2], k: 1, map: mapOf(A, GRID) },
      ],
      whole: { cells: 6, below: 1, above: 5, min: -1, max: 2, more: 8, less: -3, sum: 5 }, ...lesson,
    },
    topic: {
      request: { path: '/somewhere/mine.jpg', layer: 'x' }, label: 'ant', chance: '50 %', percent: true,
      head: 'softmax', count: 10, picture: [200, 300], crop: false, target: 1,
      classes: CLASSES.map(([label, p, y], index) => ({ index, label, p, y, rank: [2, 1, 3, 4, 5][index] })), ...topic,
    },
    bytes: new Int8Array(0), tile: 0, cell: null, nudged: null, contrast: null, earlier: null, covers: {}, patch: null,
    hidden: false, ...more,
  });
}
const NUDGED = { a: 4, g: 0.083, by: 1, up: 0.0834, down: -0.0834, steps: [], predicted: [], true: [] };
const CONTRAST = {
  label: 'wolf', below: 2,
  field: { h: 2, w: 3, values: Float32Array.from([-1, -0.5, 1, 0, 1, 2]), top: 2, exact: true },
};
/** Of two columns: for the left 1, for the right `right`. */
const halves = (right) => {
  return { h: 1, w: 2, values: Float32Array.from([1, right]), top: right, exact: true, placement: null };
};
const EARLIER = {
  label: 'ant', own: true, layer: 'w', shape: [4, 6, 3], k: 1, alpha: -0.1,
  last: halves(4), mean: halves(0.25), each: halves(3),
  g: { h: 2, w: 3, values: Float32Array.from([1, -1, 0.5, -0.5, -0.6, 0]), top: 1, exact: true },
};
const PATCHES = [patchOn({ ...halves(4), values: Float32Array.from(MAP), h: 2, w: 3 }, null, Math.max)];
PATCHES.push(patchOn({ ...halves(4), values: Float32Array.from(MAP), h: 2, w: 3 }, null, Math.min));
const coverOf = (score, p) => ({ score, classes: [{ index: 1, label: 'ant', p, rank: 1 }], field: halves(2) });
const COVERS = { [JSON.stringify(PATCHES[0])]: coverOf(4, 0.25), [JSON.stringify(PATCHES[1])]: coverOf(5.27, 0.52) };
const all = (more) => facts({ nudged: NUDGED, contrast: CONTRAST, earlier: EARLIER, covers: COVERS, ...more });
const said = (step, f) => STATIONS[step].said(f);
const rightOf = (step, f) => { const { options, right } = said(step, f); return options[right]; };

test('of a layer whose cells have no known place no step says where something lies', () => {
  const f = all({ lesson: { placed: false } }), stand = { W: 1240, H: 414, phase: 1, seen: [] };
  assert.equal(said(3, f).answer, 'One cell has the most: 6.0.');
  assert.equal(rightOf(8, f), 'no');
  assert.equal(said(12, f).ask, 'Cover this place. What does the score do?');
  const places = /half|left|right half|strongest|weakest|fit straight/;
  for (const step of [3, 8, 12]) {
    const { ask, hint, answer, say } = said(step, f), { ask: next, button } = STATIONS[step].more?.(f) ?? {};
    assert.doesNotMatch([ask, hint, answer, say, next, button].join(' '), places);
  }
  for (const step of [0, 3, 8]) {
    const kinds = sceneOf(f, step, stand).map((part) => part.kind);
    assert.ok(!kinds.includes('heat') && !kinds.includes('frames'), 'nothing is laid over the photo');
  }
  assert.doesNotMatch(answerOf(said(10, f)), /last layer/);
  assert.match(answerOf(said(8, all())), /half/);
});

// ---- numbers

test('a sum is printed with so many places that it is right as it is printed', () => {
  assert.equal(agreeing([0.125, 0.125], 0.25), 3); // 0.13 + 0.13 is not 0.25
  assert.equal(agreeing([1.5, -0.25], 1.25), 2);
  assert.equal(agreeing([1 / 3, 1 / 3, 1 / 3], 1, 2, 4), 4); // never; then the most
});

test('a small number has a digit, and what is below zero its minus', () => {
  assert.equal(enough(0.00398), 3);
  assert.equal(enough(7.48), 2);
  assert.equal(decimals(-0.0014, 2), '−0.00');
  assert.equal(digits(0, { unit: 1, places: 1 }), '0');
  assert.equal(digits(0.0239, { unit: 0.01, places: 1 }), '2.4');
  assert.equal(digits(-0.0014, { unit: 1, places: 2 }), '<0', 'and no minus nothing');
  assert.equal(unitOf({ unit: 0.01 }), 'in hundredths');
  assert.equal(unitOf({ unit: 1 }), '');
});

test('halves: a cell in the middle counts half on each side, what is below zero not at all', () => {
  assert.deepEqual(facts().halves, [2.75, 3.25]);
  const half = { h: 1, w: 2, values: Float32Array.from([1, 2]) };
  assert.deepEqual(halvesOf(half, [1, 0, 0, 0, 0.5, 0]), [3, 0]); // all of the grid on the left
  assert.deepEqual(halvesOf(half, [1, 0, 0, 0, -1, 1]), [2, 1]); // mirrored
});

test('the largest numbers are those that are printed alike', () => {
  const field = { values: Float32Array.from([5.96, 6, 5.94, 0]), top: 6 };
  assert.deepEqual(peaksOf(field, { unit: 1, places: 1 }), [0, 1]);
  assert.deepEqual(peaksOf({ values: new Float32Array(2), top: 0 }, { unit: 1, places: 1 }), []);
});

// ---- what is asked and said

test('the answers are those of the numbers', () => {
  const f = all();
  assert.deepEqual([1, 2, 4, 5, 6, 7, 8, 9].map((step) => rightOf(step, f)), [
    'ant', 'fewer cells, more maps', 'rises a little', 'more for', '3', 'some', 'right half', 'about 5',
  ]);
  const told = (step) => plain(answerOf(said(step, f)));
  assert.match(told(1), /^A: ant, with 50 %\. Next comes wolf, with 25 %\.$/);
  assert.match(told(3), /^Row 2, column 3, in the right half: 6\.0\.$/);
  assert.match(told(4), /^B: it rises a little\. 5\.250 → 5\.333, so \+0\.083\.$/);
  assert.match(told(5), /^B: 1 for, 1 against\. The score is 5\.3\.$/);
  assert.match(told(6), /^B: 6\.0 × 0\.500 = 3\. Then 1 more filters\.$/);
  assert.match(told(7), /^B: 1 of 6\. They speak against\.$/);
  assert.match(told(8), /^B: 54 % of “ant” lies in the right half\.$/);
  assert.match(told(9), /^C: 5\.00\. With the fixed start 0\.25 it is the score: 5\.25\.$/);
  assert.equal(STATIONS[7].more(f).answer, 'Now 2 cells are minus: they speak for wolf.');
});

test('earlier: which share of each map lies on the side where most of the last one is', () => {
  const f = all();
  assert.deepEqual([f.earlier.side, ...f.earlier.shares], [1, 0.8, 0.2, 0.75]); // 4 of 5, 1 of 5, 3 of 4
  const told = 'A: now 80 % lies in the left half. The last layer: 80 % in the right half.';
  assert.equal(plain(answerOf(said(10, f))), told);
  assert.match(plain(STATIONS[10].more(f).answer), /^75 % lies in the right half, place by place\.$/);
});

test('cover: the patch lies on the strongest cell, then on the weakest, and the score is the measured one', () => {
  const f = all();
  assert.deepEqual(f.patches[0].map((v) => Number(v.toFixed(2))), [0.33, 0.58, 0.67, 0.92]); // the middle of row 2
  assert.deepEqual(f.patches[1].map((v) => Number(v.toFixed(2))), [0, 0.08, 0.34, 0.42]);
  assert.match(plain(answerOf(said(12, f))), /^C: it falls\. Score of ant: 5\.25 → 4\.00\.$/);
  assert.equal(plain(STATIONS[12].more(f).answer), 'Score of ant: 5.25 → 5.27.');
  assert.equal(plain(STATIONS[12].math(f)), 'y(covered) - y(photo) = 4.00 - 5.25 = -1.25');
});

test('the choice of classes does not say which is the likeliest', () => {
  assert.deepEqual(said(1, facts()).options, ['ant', 'bee', 'wolf', 'something else']);
});

test('where the sum is not exact it says so', () => {
  const f = facts({ lesson: { start: null } });
  assert.match(plain(answerOf(said(9, f))), /^D: 5\.00\. But the score of ant is 5\.25\.$/);
  assert.match(said(9, f).say, /does not add up/);
});

test('where Grad-CAM is measured to mislead, or loses places, its map is not said to keep them', () => {
  const say = (known) => plain(said(8, facts({ topic: { known } })).say);
  assert.match(say('worse'), /points no better than the picture’s middle/);
  assert.match(say('mean'), /may mislead/);
  assert.match(say('tokens'), /other places, too/);
  for (const known of ['better', 'alike', 'exact', 'unknown']) assert.match(say(known), /^Places were kept/);
});

test('a score that falls, and one that does not move', () => {
  assert.equal(rightOf(4, facts({ nudged: { ...NUDGED, up: -0.1 } })), 'falls');
  assert.equal(rightOf(4, facts({ nudged: { ...NUDGED, up: 1e-9 } })), 'stays');
  assert.equal(rightOf(4, facts({ nudged: { ...NUDGED, up: 1 } })), 'rises a lot');
});

const LONG = 'Chesapeake Bay retriever dog of some kind'; // more words than any class of the networks of the page

test('no sentence has more than 15 words', () => {
  const long = CLASSES.map(([, p, y], index) => ({ index, label: `${LONG}`, p, y, rank: [2, 1, 3, 4, 5][index] }));
  const made = [
    all(), facts(), all({ lesson: { start: null } }),
    all({ topic: { label: LONG, classes: long }, contrast: { ...CONTRAST, label: 'wolf' } }),
    all({ topic: { percent: false, head: 'linear' } }), all({ topic: { head: 'sigmoid' } }),
    all({ topic: { known: 'worse' } }), all({ topic: { known: 'mean' } }),
    all({ topic: { known: 'tokens' } }),
    all({ topic: { request: { path: 'cheetah_and_lion.jpg', layer: 'x' } } }),
  ];
  for (const f of made) {
    for (const station of STATIONS) {
      const { ask, hint = '', answer, say } = station.said(f), more = station.more?.(f) ?? {};
      for (const text of [ask, hint, answer, say, more.ask ?? '', more.answer ?? '', more.say ?? '']) {
        for (const sentence of text.split(/(?<=[.?!:]) /)) {
          assert.ok(sentence.split(/\s+/).length <= 15, sentence);
        }
      }
    }
  }
});

// ---- the figure

const SIZES = [[1236, 380], [990, 430], [362, 460], [1236, 300]];
const scene = (f, step, phase, [W, H], more = {}) => sceneOf(f, step, { W, H, phase, seen: [], ...more });

test('every part of every scene lies inside the figure, and has a key of its own', () => {
  for (const ratio of [[200, 300], [300, 200], [100, 300]]) {
    const f = all({ topic: { picture: ratio } });
    for (const size of SIZES) {
      STATIONS.forEach((station, step) => {
        for (let phase = 0; phase <= (step ? revealsOf(station, f) : 1); phase++) {
          const parts = scene(f, step, phase, size, { vote: 4 }), where = `step ${step}, ${phase}, ${size}, ${ratio}`;
          assert.equal(new Set(parts.map((p) => p.key)).size, parts.length, where);
          for (const { key, x, y, w, h } of parts) {
            const inside = x >= -1 && y >= -1 && x + w <= size[0] + 1 && y + h <= size[1] + 1;
            assert.ok(inside && w > 0 && h > 0, `${where}: ${key} at ${[x, y, w, h].map(Math.round)}`);
          }
        }
      });
    }
  }
});

test('digits are large enough, or there are none', () => {
  const field = { h: 2, w: 3, values: Float32Array.from(MAP), exact: true }, print = { unit: 1, places: 2 };
  assert.equal(digitSize(field, 300, 200, print, false), 22);
  assert.equal(digitSize(field, 60, 200, print, false), 0);
  assert.equal(digitSize({ ...field, exact: false }, 300, 200, print, false), 0);
});

/** The texts of a part, one after the other. */
const textOf = (parts, key) => plain(parts.find((p) => p.key === key).pieces.flat().join(' '));
const numbersIn = (text) => [...text.matchAll(/[-+]?\d+(?:\.\d+)?/g)].map(Number);

test('the sums on the screen are right as they stand there', () => {
  const f = all(), [size] = SIZES, total = scene(f, 9, 1, size);
  const rows = [0, 1].map((i) => numbersIn(textOf(total, `row ${i}`))[0]);
  const [[, cells], [, start], [, score]] = total.find((p) => p.key === 'total').lines.map(([n, v]) => [n, Number(v)]);
  assert.deepEqual(rows, [0.5, 4.5]);
  assert.equal(rows[0] + rows[1], cells);
  assert.equal(cells + start, score);
  const [more, less, sum] = numbersIn(textOf(scene(f, 6, 1, size), 'terms'));
  assert.deepEqual([more, less, sum], [8, -3, 5]);
  const [left, right, both] = numbersIn(textOf(scene(f, 8, 1, size), 'note'));
  assert.deepEqual([left, right, both], [2.75, 3.25, 6]);
  const [before, after, moved] = numbersIn(textOf(scene(f, 4, 1, size), 'score'));
  assert.equal((before + moved).toFixed(3), after.toFixed(3));
});

test('a row’s sum fits beside its row, however many places it has', () => {
  const whole = { ...all().whole, sum: 2.008 }; // 1.00 and 1.00 are not 2.01
  const f = all({ lesson: { map: mapOf([0.004, 0, 1, 0.004, 0, 1], GRID), whole, start: null } });
  for (const size of SIZES) {
    const parts = scene(f, 9, 1, size).filter((p) => p.key.startsWith('row '));
    assert.deepEqual(parts.map((p) => p.pieces[0][0]), ['1.004', '1.004']);
    for (const p of parts) assert.ok(p.size * (4 * 0.6 + 0.3) <= p.w, `${p.size} in ${p.w}`);
  }
});

test('how many cells are minus is counted by the network, not in what is drawn', () => {
  const whole = { ...all().whole, below: 3 }, f = all({ lesson: { whole } }), [size] = SIZES;
  assert.match(textOf(scene(f, 7, 1, size), 'note'), /3 of 6 are minus/);
  assert.match(textOf(scene(f, 7, 2, size), 'note'), /2 of 6 are minus/);
});

test('a fixed start that is nothing has no minus', () => {
  const f = all({ lesson: { start: -0.001, score: 5, whole: { ...all().whole, sum: 5.001 } } });
  assert.deepEqual(scene(f, 9, 1, SIZES[0]).find((p) => p.key === 'total').lines[1], ['fixed start', '0.00']);
});

test('before the answer is asked for, it is not in the figure', () => {
  const f = all(), [size] = SIZES;
  const told = (step) => plain(JSON.stringify(scene(f, step, 0, size).map((p) => p.pieces ?? p.rows)));
  assert.doesNotMatch(told(10), /20 %|75 %/);
  assert.doesNotMatch(told(11), /TRUE/);
  assert.doesNotMatch(told(12), /4\.00|5\.27|52 %/);
  assert.doesNotMatch(told(1), /ant|50/);
  assert.doesNotMatch(told(4), /5\.333|0\.083/);
  assert.doesNotMatch(told(8), /3\.25/);
  assert.doesNotMatch(told(9), /5\.25|5\.00/);
  assert.doesNotMatch(told(0), /ant|5\.25/);
});

test('where the teacher hides the answer, no step tells a class or how likely it is', () => {
  const f = all({ hidden: true, topic: { request: { path: 'cheetah_and_lion.jpg', layer: 'x' } } }), [size] = SIZES;
  STATIONS.forEach((station, step) => {
    const { ask, hint, answer, say } = station.said(f), { label, answer: more } = station.more?.(f) ?? {};
    const told = step === 1 ? [ask, hint] : [ask, hint, answer, say, label, more];
    const shown = [0, step === 1 ? 0 : 1].flatMap((phase) => step ? scene(f, step, phase, size) : scene(f, 0, 0, size));
    const seen = JSON.stringify([told, shown.map((p) => [p.pieces, p.rows])]);
    assert.doesNotMatch(seen, /\b(ant|wolf|cheetah|lion)\b|50\W%/, `step ${step}`);
  });
});

test('what moves keeps its key', () => {
  const f = all(), [size] = SIZES;
  for (const [one, two, key] of [
    [[0, 0], [1, 0], 'photo'], [[3, 0], [3, 1], 'A'], [[3, 1], [4, 0], 'A'], [[4, 1], [5, 0], 'G'],
    [[6, 1], [7, 0], 'map'], [[7, 1], [8, 0], 'relu'], [[8, 0], [8, 1], 'relu'],
    [[3, 0], [3, 1], 'photo'], [[8, 0], [8, 1], 'photo'], [[1, 1], [0, 1], 'photo'], [[9, 1], [0, 1], 'map'],
  ]) for (const at of [one, two]) assert.ok(scene(f, ...at, size).some((p) => p.key === key), `${key} at ${at}`);
});

test('a link leads to every step but the first, which it leaves out, and to no other', () => {
  const read = [...STATIONS.keys(), STATIONS.length].filter((n) => readLink(`#step=${n}`).link.step === String(n));
  assert.deepEqual(read, [...STATIONS.keys()].slice(1));
});

// ---- on paper

test('a lesson of 45 minutes has 45, and the notes are those of the document', () => {
  assert.equal(NOTES.length, STATIONS.length);
  assert.equal(COURSES[45].reduce((sum, n) => sum + NOTES[n][0], 0), 45);
  const more = COURSES[90].filter((n) => !COURSES[45].includes(n));
  assert.deepEqual(more.map((n) => STATIONS[n].name), ['Forget', 'Cheat']);
  const document = readFileSync(new URL('../../docs/teaching.md', import.meta.url), 'utf8');
  for (const row of noteRows()) assert.ok(document.includes(`| ${row.join(' | ')} |`), row[0]);
});

test('the notes have the answer of every step, those of a second reveal too', () => {
  const told = answersOf(all()).map(plain);
  assert.equal(told.length, STATIONS.length);
  assert.equal(told[7], 'B: 1 of 6. They speak against. Now 2 cells are minus: they speak for wolf.');
  assert.equal(told[12], 'C: it falls. Score of ant: 5.25 -> 4.00. Score of ant: 5.25 -> 5.27.'.replaceAll('->', '→'));
});

test('the handout has the numbers and a blank for each answer, and tells no class', () => {
  const sections = handoutOf(all()), told = sections.map(({ title, lines }) => [title, ...lines].join(' '));
  assert.deepEqual(sections.map(({ n }) => n), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  for (const said of told) assert.match(said, /___/);
  assert.doesNotMatch(told.join(' '), /ant\b|wolf|5\.333|0\.083/);
  assert.match(plain(told[3]), /The 4 in row 2, column 2 becomes 5\. .* The score: 5\.250 → _____/);
  assert.match(told[5], /6\.0 × 0\.500 = _____/);
  assert.match(told[8], /The rows: 0\.50 \+ 4\.50 = _____ Fixed start 0\.25\./);
  assert.deepEqual(sections[7].grid, [['−1.0', '0.5', '1.0'], ['1.5', '2.0', '1.0']]);
});
