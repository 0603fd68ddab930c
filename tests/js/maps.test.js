import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as maps from '../../demo/viewer/maps.js';
import { BOTH, CHEETAH, FOR, HYENA, LION, TWIN, answerOf, packed } from './small.js';

const near = (found, wanted) => {
  assert.equal(found.length, wanted.length);
  wanted.forEach((v, n) => assert.ok(Math.abs(found[n] - v) < 1e-6, `${n}: ${found[n]} is not ${v}`));
};
const one = (cells, top, bottom, placement) => {
  const { layers, bytes } = packed({ 'x target/Both': [cells, top, bottom, placement] });
  return maps.gridOf(layers[0], bytes, 'Both', 'target');
};

// ---- what is in an answer

test('base64 is read as bytes, with and without a sign', () => {
  assert.deepEqual([...maps.bytesOf('AIF/')], [0, 129, 127]);
  assert.deepEqual([...maps.signedBytesOf('AIF/')], [0, -127, 127]);
});

test('a byte stands for its share of the largest value of its own sign', () => {
  const grid = one([[127, -127, 0], [1, -1, 64]], 254, 12.7);
  near([0, 1, 2, 3, 4, 5].map((i) => maps.valueAt(grid, i)), [254, -12.7, 0, 2, -0.1, 128]);
});

test('a map is found by its layer, its band and its method', () => {
  const { layers, bytes } = packed({
    'early target/Both': [[[1, 2, 3], [4, 5, 6]], 1, 0],
    'early rival/Both': [[[7, 8, 9], [10, 11, 12]], 2, 0],
    'late target/Both': [[[13, 14]], 3, 0],
    'late rival/Both': [[[15, 16]], 4, 0],
  });
  const grid = maps.gridOf(maps.rowOf(answerOf(layers), 'late'), bytes, 'Both', 'rival');
  assert.deepEqual([grid.h, grid.w, [...grid.q], grid.top, grid.row.name], [1, 2, [15, 16], 4, 'late']);
});

test('there are three questions where a class is held against another', () => {
  assert.deepEqual(maps.bandsOf(answerOf([])), ['target']);
  const answer = answerOf([], { rival: 293 });
  assert.deepEqual(maps.bandsOf(answer), ['target', 'rival', 'contrast']);
  const labels = ['target', 'rival', 'contrast'].map((band) => maps.shownClass(answer, band).label);
  assert.deepEqual(labels, ['lion', 'cheetah', 'lion']);
});

test('a new answer shows the layer that was in view or on its way, or asks for it, or begins with the best', () => {
  const { layers } = packed({ 'early target/Both': [[[1]], 1, 0], 'late target/Both': [[[1]], 1, 0] });
  const doctor = ['early', 'middle', 'late'].map((name) => [name, [1, 1, 8], 'Conv2D', '']);
  const answer = answerOf(layers, { doctor, best: 'late' }), other = { ...answer, model: { key: 'other' } };
  for (const [before, shown, wanted, layer, missing] of [
    [null, null, undefined, 'late', null],
    [answer, 'early', undefined, 'early', null],
    [answer, 'late', 'early', 'early', null],
    [answer, 'early', 'middle', 'early', 'middle'],
    [answer, 'middle', undefined, 'late', 'middle'],
    [other, 'middle', undefined, 'late', null],
    [other, 'early', 'middle', 'early', null],
    [answer, 'gone', undefined, 'late', null],
  ]) assert.deepEqual(maps.layerAfter(before, answer, shown, wanted), { layer, missing });
});

test('the rival is the class that was chosen, else the likeliest of the others', () => {
  assert.equal(maps.rivalOf(answerOf([])), CHEETAH);
  assert.equal(maps.rivalOf(answerOf([], { target: 293 })), LION);
  assert.equal(maps.rivalOf(answerOf([], { target: 276 })), LION);
  assert.equal(maps.rivalOf(answerOf([], { classes: [LION] })), null);
  assert.equal(maps.rivalOf(answerOf([], { rival: 276 })), HYENA);
  assert.equal(maps.rivalOf(answerOf([], { model: { head: 'sigmoid' } })), null);
});

test('a network is unsure whose likeliest class is below a fifth', () => {
  const classes = [{ ...LION, p: 0.19 }, { ...CHEETAH, p: 0.1 }];
  assert.equal(maps.isUnsure(answerOf([], { classes })), true);
  assert.equal(maps.isUnsure(answerOf([], { classes, model: { head: 'linear' } })), false);
  assert.equal(maps.isUnsure(answerOf([])), false);
});

// ---- scales

test('the end of a scale is the largest of its sign, of both signs the larger', () => {
  const grids = [{ top: 3, bottom: 1 }, { top: 2, bottom: 5 }];
  assert.deepEqual(['for', 'against', 'both'].map((sign) => maps.reach(grids, sign)), [3, 5, 5]);
  assert.deepEqual(['for', 'against', 'both'].map((sign) => maps.reach(grids.slice(0, 1), sign)), [3, 1, 3]);
  assert.equal(maps.reach([{ top: 0, bottom: 2 }], 'for'), 0);
  const all = [{ top: 3, bottom: 1, max: 4, min: -6 }];
  assert.equal(maps.reach(all, 'against', (g) => [g.max, -g.min]), 6, 'of all cells, not of what was sent');
});

test('two classes and their difference share a scale, if the method knows both signs', () => {
  const shown = Object.fromEntries(['target', 'rival', 'contrast'].flatMap((band, n) => [
    [`x ${band}/Both`, [[[127]], n + 1, 0]],
    [`x ${band}/For`, [[[127]], n + 1, 0]],
  ]));
  const { layers, bytes } = packed(shown), answer = answerOf(layers, { rival: 293 });
  const tops = (...asked) => maps.sharing(...asked).map((grid) => grid.top);
  assert.deepEqual(tops(answer, bytes, layers[0], BOTH, 'rival'), [1, 2, 3]);
  assert.deepEqual(tops(answer, bytes, layers[0], FOR, 'rival'), [2]);
  assert.deepEqual(tops(answerOf(layers), bytes, layers[0], BOTH, 'target'), [1]);
});

test('a map becomes shares of the end of its scale', () => {
  const grid = one([[127, -127, 0]], 2, 1);
  near(maps.toUnit(grid, 'for', 2), [1, 0, 0]);
  near(maps.toUnit(grid, 'for', 8), [0.25, 0, 0]);
  near(maps.toUnit(grid, 'against', 1), [0, 1, 0]);
  near(maps.toUnit(grid, 'both', 2), [1, 0.25, 0.5]);
  near(maps.toUnit(one([[0, 0]], 0, 0), 'for', 0), [0, 0]);
  near(maps.toUnit(one([[0, 0]], 0, 0), 'both', 0), [0.5, 0.5]);
});

test('one scale for a picture, that of its likeliest class; only a stronger map makes it longer', () => {
  const { layers, bytes } = packed({ 'x target/Both': [[[127, -127]], 2, 5] });
  const end = (strength, sign) => {
    return maps.scaleEnd(answerOf(layers, { strength }), bytes, layers[0], BOTH, 'target', sign);
  };
  assert.equal(end({ 'x/Both': 8 }, 'for'), 8);
  assert.equal(end({ 'x/Both': 1 }, 'for'), 2);
  assert.equal(end({ 'y/Both': 8, 'x/For': 8 }, 'against'), 5, 'of this layer and this method');
});

test('a frame of the film shows the map of its own layer, as strong as it is in view', () => {
  const { layers, bytes } = packed({
    'early target/Both': [[[127, 0, -127], [0, 127, 0]], 1, 1],
    'last target/Both': [[[-127], [127]], 1, 4],
  });
  const answer = answerOf(layers, { strength: { 'early/Both': 4 } });
  const frame = (n, sign) => maps.frameMap(answer, bytes, layers[n], BOTH, 'target', sign);
  assert.deepEqual([frame(0, 'for').h, frame(0, 'for').w], [2, 3]);
  near(frame(0, 'for').unit, [0.25, 0, 0, 0, 0.25, 0]);
  near(frame(1, 'for').unit, [0, 1]);
  near(frame(1, 'both').unit, [0, 0.625]);
});

test('the film has the last layer of every grid, and of a grid with many the middle one', () => {
  const rows = (...sizes) => sizes.map((h, n) => ({ name: `${h}.${n}`, shape: [h, h, 8], suggested: true }));
  const names = (list, best) => maps.filmOf(list, best).map((row) => row.name);
  assert.deepEqual(names(rows(56, 56, 28, 14, 14, 14, 7)), ['56.1', '28.2', '14.4', '14.5', '7.6']);
  assert.deepEqual(names(rows(14, 7, 7, 7, 7), '7.3'), ['14.0', '7.2', '7.3'], 'the best for the last');
  const extra = rows(56, 28);
  extra[0].suggested = false;
  assert.deepEqual(names(extra), ['28.1'], 'not what was asked for beside them');
});

test('cells end to end: above zero from the strongest, below zero, and how many bring half', () => {
  const laid = maps.endToEnd(one([[127, 0, -127], [64, 127, 0]], 127, 2));
  assert.deepEqual(laid.plus.map((c) => [c.at, c.v]), [[0, 127], [4, 127], [3, 64]]);
  assert.deepEqual(laid.minus.map((c) => [c.at, c.v]), [[2, -2]]);
  assert.deepEqual([laid.more, laid.less, laid.half], [318, -2, 2]);
  assert.equal(maps.endToEnd(one([[0]], 0, 0)).half, 0);
});

test('the ticks below the colours: what speaks against is below zero', () => {
  assert.deepEqual(maps.ticksOf(4, 'for'), [0, 2, 4]);
  assert.deepEqual(maps.ticksOf(4, 'against'), [0, -2, -4]);
  assert.deepEqual(maps.ticksOf(4, 'both'), [-4, 0, 4]);
});

test('a map is empty that has nothing of the sign that is shown', () => {
  const grid = one([[-127]], 0, 2);
  assert.equal(maps.isEmpty(grid, 'for', 0), true);
  assert.equal(maps.isEmpty(grid, 'for', 3), true, 'though others that share its scale are not');
  assert.equal(maps.isEmpty(grid, 'against', 2), false);
  assert.equal(maps.isEmpty(grid, 'both', 2), false);
  assert.equal(maps.isEmpty(one([[127]], 2, 0), 'against', 3), true);
});

test('methods are twins whose maps are the same but for their scale', () => {
  const cells = [[127, -50, 0], [3, 20, -127]], other = [[127, -50, 10], [3, 20, -127]];
  const row = (third) => packed({
    'x target/Both': [cells, 2, 1], 'x target/Twin': [cells, 6, 3],
    'x target/Third': [third, 2, 1], 'x target/For': [cells, 2, 1],
  });
  const methods = [{ ...BOTH, name: 'Third' }, TWIN, FOR, BOTH];
  const twins = ({ layers, bytes }, method) => maps.twinsOf(methods, layers[0], bytes, method, 'target');
  assert.deepEqual(twins(row(cells), BOTH), ['Third', 'Twin', 'Both']);
  assert.deepEqual(twins(row(other), BOTH), ['Twin', 'Both'], 'one that differs silences nobody');
  assert.deepEqual(twins(row(other), methods[0]), [], 'alone');
  assert.deepEqual(twins(row(cells), FOR), []);
  methods.push({ ...BOTH, name: 'Asks' }); // made when somebody wants it, and here nobody did
  assert.deepEqual(twins(row(cells), BOTH), ['Third', 'Twin', 'Both']);
  const wide = { ...row(cells).layers[0] }, flat = { h: 2, w: 3 }, q = Int8Array.from([127, 0, 0, 0, 0, 0]);
  const grid = { ...flat, row: wide, top: 1, bottom: 0, q };
  assert.ok(maps.alike(grid, grid) && !maps.alike(grid, { ...grid, h: 3, w: 2 }));
});

// ---- one cell, one box

const WHOLE = { h: 3, w: 5 };

test('a place lies in a cell, and a cell has a middle', () => {
  assert.deepEqual(maps.cellAt([0, 0], WHOLE), [0, 0]);
  assert.deepEqual(maps.cellAt([0.5, 0.5], WHOLE), [1, 2]);
  assert.deepEqual(maps.cellAt([1, 1], WHOLE), [2, 4], 'the edge belongs to the last one');
  assert.deepEqual(maps.cellAt([0.34, 0.19], WHOLE), [1, 0]);
  near(maps.middleOf([0, 4], WHOLE), [1 / 6, 0.9]);
  assert.deepEqual(maps.inside([-1, 7], 3, 5), [0, 4]);
  assert.deepEqual(maps.inside([3, -Infinity], 3, 5), [2, 0]);
  near(maps.frameOf([2, 1], WHOLE), [0.2, 2 / 3, 0.4, 1]);
  assert.deepEqual(maps.linesOf(WHOLE), { box: [0, 0, 1, 1], columns: 5, rows: 3 });
});

const FLIPPED = { h: 2, w: 4, placement: [0.5, 0, 0.5, 0, -1, 1] }; // over the lower half, left to right
const TRANSPOSED = { h: 2, w: 4, placement: [0, 1, 0, 1, 0, 0] };
const PADDED = { h: 4, w: 4, placement: [2, 0, -0.5, 0, 2, -0.5] }; // a rim of one cell lies beyond the picture

test('a cell lies where its grid does', () => {
  assert.deepEqual(maps.cellAt([0.6, 0.1], FLIPPED), [0, 3]);
  assert.equal(maps.cellAt([0.4, 0.1], FLIPPED), null);
  near(maps.middleOf([0, 3], FLIPPED), [0.625, 0.125]);
  near(maps.frameOf([0, 3], FLIPPED), [0, 0.5, 0.25, 0.75]);
  assert.deepEqual(maps.linesOf(FLIPPED), { box: [0, 0.5, 1, 1], columns: 4, rows: 2 });
  assert.deepEqual(maps.cellAt([0.1, 0.9], TRANSPOSED), [1, 0]);
  near(maps.middleOf([1, 0], TRANSPOSED), [0.125, 0.75]);
  near(maps.frameOf([1, 0], TRANSPOSED), [0.5, 0, 1, 0.25]);
  assert.deepEqual(maps.linesOf(TRANSPOSED), { box: [0, 0, 1, 1], columns: 2, rows: 4 });
  assert.deepEqual(maps.cellAt([0, 0.99], PADDED), [1, 2]);
  near(maps.frameOf([1, 2], PADDED), [0.5, 0, 1, 0.5]);
  assert.deepEqual(maps.linesOf(PADDED), { box: [-0.5, -0.5, 1.5, 1.5], columns: 4, rows: 4 });
});

test('a cell that only partly lies in the picture has a frame inside it', () => {
  near(maps.frameOf([0, 0], { h: 2, w: 2, placement: [1.5, 0, -0.25, 0, 1.5, -0.25] }), [0, 0, 0.5, 0.5]);
});

test('the middle of a cell lies in it, however the grid lies', () => {
  for (const placement of [
    null, FLIPPED.placement, TRANSPOSED.placement, PADDED.placement, [0, -0.3, 0.9, 0.8, 0, 0.1],
    [0.5, 0.2, 0.1, -0.3, 0.7, 0.4],
  ]) {
    for (let n = 0; n < 35; n++) {
      const cell = [Math.floor(n / 7), n % 7], grid = { h: 5, w: 7, placement };
      assert.deepEqual(maps.cellAt(maps.middleOf(cell, grid), grid), cell);
    }
  }
});

test('arrow keys go the way they point in the picture, and no further than it or the grid', () => {
  const go = (cell, by, grid) => maps.cellBeside(cell, by, grid).map((n) => n + 0); // no -0
  assert.deepEqual(go([0, 0], [0, 1], WHOLE), [0, 1]);
  assert.deepEqual(go([1, 2], [0, -Infinity], WHOLE), [1, 0]);
  assert.deepEqual(go([1, 2], [1, 0], WHOLE), [2, 2]);
  assert.deepEqual(go([2, 2], [1, 0], WHOLE), [2, 2]);
  assert.deepEqual(go([0, 3], [0, 1], FLIPPED), [0, 2]);
  assert.deepEqual(go([0, 3], [0, -1], FLIPPED), [0, 3]);
  assert.deepEqual(go([0, 3], [0, Infinity], FLIPPED), [0, 0]);
  assert.deepEqual(go([0, 3], [1, 0], FLIPPED), [1, 3]);
  assert.deepEqual(go([0, 0], [0, 1], TRANSPOSED), [1, 0]);
  assert.deepEqual(go([0, 0], [1, 0], TRANSPOSED), [0, 1]);
  assert.deepEqual(go([1, 0], [0, 1], { ...TRANSPOSED, placement: [0, 1, 0, -1, 0, 1] }), [0, 0], 'a quarter turn');
  assert.deepEqual(go([1, 1], [0, -1], PADDED), [1, 1]);
  assert.deepEqual(go([1, 1], [0, Infinity], PADDED), [1, 2]);
  assert.deepEqual(go([1, 1], [-Infinity, 0], PADDED), [1, 1]);
});

test('the evidence in cells beyond the picture is told apart', () => {
  const cells = [[127, 0, 0], [0, 127, -127], [0, 0, 0]], around = [3, 0, -1, 0, 3, -1]; // only the middle is in it
  const shares = (grid) => ['for', 'against', 'both'].map((sign) => maps.shareBeyond(grid, sign));
  near(shares(one(cells, 3, 5, around)), [1 / 2, 1, 8 / 11]);
  near(shares(one(cells, 3, 5)), [0, 0, 0]);
  near(shares(one([[0]], 0, 0, [1, 0, 1, 0, 1, 0])), [0, 0, 0]);
});

test('the share of a cell is of the evidence of its own sign', () => {
  const grid = one([[127, 0, -127], [127, -127, -127]], 3, 5);
  assert.equal(maps.shareOf(grid, [0, 0]), 1 / 2);
  assert.equal(maps.shareOf(grid, [1, 2]), 1 / 3);
  assert.equal(maps.shareOf(grid, [0, 1]), 0);
});

test('the box goes round the largest part, to the far sides of its outermost pixels', () => {
  // 4 rows, 5 columns: a part of 2, one of 4 that goes round a corner, and one pixel that is only the strongest
  const heat = Float32Array.from([
    0.9, 0.9, 0, 0, 0,
    0, 0, 0.9, 0.9, 0,
    0, 0, 0, 0.9, 0.9,
    1, 0, 0, 0, 0,
  ]);
  near(maps.boxOf(heat, 4, 5, 0.5), [2 / 5, 1 / 4, 5 / 5, 3 / 4]);
  near(maps.inPixels([2 / 5, 1 / 4, 1, 3 / 4], 4, 5), [2, 1, 5, 3]);
  near(maps.boxOf(heat, 4, 5, 0.95), [0, 3 / 4, 1 / 5, 1]);
  near(maps.boxOf(new Float32Array(6).fill(0.2), 2, 3, 1), [0, 0, 1, 1]);
  assert.equal(maps.boxOf(new Float32Array(6), 2, 3, 0.15), null);
});

test('of two parts that are as large the first is taken', () => {
  near(maps.boxOf(Float32Array.from([1, 0, 1]), 1, 3, 0.15), [0, 0, 1 / 3, 1]);
});

// ---- sizes

test('a large picture is shown smaller, a small one as it is', () => {
  assert.deepEqual(maps.fitted(1440, 720, 720), [720, 360]);
  assert.deepEqual(maps.fitted(100, 301, 720), [100, 301]);
});

test('bilinear: even between the middles of the cells, level outside', () => {
  near(maps.upsample([0, 4], 1, 2, 1, 4), [0, 1, 3, 4]);
  near(maps.upsample([0, 4], 2, 1, 4, 1), [0, 1, 3, 4]);
  near(maps.upsample([0, 2, 4, 8, 10, 12], 2, 3, 2, 3), [0, 2, 4, 8, 10, 12]);
  near(maps.upsample([0, 0, 4, 4], 2, 2, 4, 2), [0, 0, 1, 1, 3, 3, 4, 4]);
});

test('nearest: every cell over its own part of the picture', () => {
  assert.deepEqual([...maps.nearest([1, 2, 3, 4, 5, 6], 2, 3, 4, 6)], [
    1, 1, 2, 2, 3, 3,
    1, 1, 2, 2, 3, 3,
    4, 4, 5, 5, 6, 6,
    4, 4, 5, 5, 6, 6,
  ]);
  assert.deepEqual([...maps.nearest([1, 2, 3, 4, 5, 6], 3, 2, 3, 4)], [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]);
});

test('drawn where it belongs: a part of the picture, mirrored, transposed', () => {
  const cells = [1, 2, 3, 4], on = (placement, ...how) => {
    return [...maps.project(cells, { h: 2, w: 2, placement }, 4, 6, ...how)];
  };
  near(on([0.5, 0, 0.25, 0, 1 / 3, 1 / 3]), [
    0, 0, 0, 0, 0, 0,
    0, 0, 1, 2, 0, 0,
    0, 0, 3, 4, 0, 0,
    0, 0, 0, 0, 0, 0,
  ]);
  near(on([0.5, 0, 0, 0, -1 / 3, 1 / 3], 0.5), [
    2, 1, 0.5, 0.5, 0.5, 0.5,
    4, 3, 0.5, 0.5, 0.5, 0.5,
    0.5, 0.5, 0.5, 0.5, 0.5, 0.5,
    0.5, 0.5, 0.5, 0.5, 0.5, 0.5,
  ]);
  near(on([0, 1, 0, 2 / 3, 0, 1 / 3], 0, false), [
    0, 0, 1, 1, 3, 3,
    0, 0, 1, 1, 3, 3,
    0, 0, 2, 2, 4, 4,
    0, 0, 2, 2, 4, 4,
  ]);
  assert.deepEqual(on([0.5, 0, 0, 0, 1 / 3, 0], NaN, false), [
    1, 2, NaN, NaN, NaN, NaN,
    3, 4, NaN, NaN, NaN, NaN,
    ...Array(12).fill(NaN),
  ]);
  near(on(null), [...maps.upsample(cells, 2, 2, 4, 6)]);
  near(on(null, 0, false), [...maps.nearest(cells, 2, 2, 4, 6)]);
});

// ---- colours

const RAMP = Uint8Array.from({ length: 768 }, (_, n) => [n / 3 | 0, 255 - (n / 3 | 0), 7][n % 3]);

test('a value becomes red, green, blue, and is opaque', () => {
  assert.deepEqual([...maps.coloured([0, 1, -3, 7], RAMP)], [
    0, 255, 7, 255, 255, 0, 7, 255, 0, 255, 7, 255, 255, 0, 7, 255,
  ]);
  assert.equal(maps.toneOf(0.2), 51);
});

test('where there is no map a colour is nothing at all, and the muted picture stays muted', () => {
  assert.deepEqual([...maps.coloured([NaN, 0], RAMP)], [0, 0, 0, 0, 0, 255, 7, 255]);
  const photo = Uint8ClampedArray.from([40, 90, 200, 255, 40, 90, 200, 255]);
  for (const [round, nothing] of [[false, 0], [true, 0.5]]) {
    const [got, wanted] = [NaN, nothing].map((none) => maps.lit(photo, [none, 0.9], RAMP, 0.95, round));
    assert.deepEqual(got, wanted);
  }
});

test('the lit picture: muted where there is nothing, more colour the more evidence there is', () => {
  const photo = Uint8ClampedArray.from([40, 90, 200, 255]); // grey 87.312, shade 0.6 + 0.4 sqrt(87 / 255) = 0.83364
  const at = (heat, round) => [...maps.lit(photo, [heat], RAMP, 0.95, round)];
  assert.deepEqual(at(0, false), [43, 51, 72, 255]); // (8.925 + 0.525 (grey + 0.2 (c - grey))) (0.86, 0.92, 1.08)
  assert.deepEqual(at(1, false), [212, 3, 8, 255]); // 0.05 of that, 0.95 (255, 0, 7) shade ^ (0.8, 1.15, 1.7)
  assert.deepEqual(at(0.2, true), [44, 130, 24, 255]); // tone 51 of 255: 0.95 0.6 ^ 0.7 = 0.66438 of (51, 204, 7) shade
  for (const round of [false, true]) { // another class or a covered picture may exceed the scale
    assert.deepEqual(at(1.3, round), at(1, round));
    assert.deepEqual(at(-0.4, round), at(0, round));
  }
});

test('green is lighter than red, red than blue', () => {
  const palette = Uint8Array.from([255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255]);
  near([0, 1, 2, 3].map((tone) => maps.lightness(palette, tone)), [76.245, 149.685, 29.07, 255]);
});

// ---- the steps

test('few numbers are taken as they are, many out of the bytes', () => {
  const bytes = Int8Array.from([9, 9, 127, -127, 0]);
  assert.deepEqual([...maps.valuesOf({ numbers: [1.5, -2] }, bytes)], [1.5, -2]);
  assert.deepEqual([...maps.valuesOf({ at: 2, sent: [1, 3], top: 4, bottom: 2, numbers: null }, bytes)], [4, -2, 0]);
});

test('numbers become shares of their largest, or of a given one, round zero if they have two signs', () => {
  assert.deepEqual(maps.scaled([2, -4, 1], false), { top: 2, unit: [1, 0, 0.5] });
  assert.deepEqual(maps.scaled([2, -4, 1], true), { top: 4, unit: [0.75, 0, 0.625] });
  assert.deepEqual(maps.scaled([2, -4], true, 8), { top: 8, unit: [0.625, 0.25] });
  assert.deepEqual(maps.scaled([0, 0], false), { top: 1, unit: [0, 0] });
});

test('in a cell there is room for two digits', () => {
  assert.deepEqual(maps.printed(0.42), { unit: 1, places: 2 });
  assert.deepEqual(maps.printed(5), { unit: 1, places: 1 });
  assert.deepEqual(maps.printed(420), { unit: 1, places: 0 });
  assert.deepEqual(maps.printed(0.0042), { unit: 0.001, places: 1 });
  assert.deepEqual(maps.printed(52000), { unit: 10000, places: 1 });
});

test('terms are taken out of a sum cell by cell', () => {
  assert.deepEqual(maps.without([5, 6], [[1, 2], [3, 3]]), [1, 1]);
  assert.deepEqual(maps.without([5, 6], []), [5, 6]);
});

test('an earlier layer shows more: the last one before with more rows', () => {
  const layers = [['a', 28], ['b', 14], ['c', 14], ['d', 7], ['e', 7]].map(([name, n]) => ({ name, shape: [n, n, 1] }));
  assert.equal(maps.earlier(layers, 'e', 7).name, 'c');
  assert.equal(maps.earlier(layers, 'c', 14).name, 'a');
  assert.equal(maps.earlier(layers.slice(1, 3), 'c', 14).name, 'b', 'none is finer');
  assert.equal(maps.earlier(layers, 'a', 28), null);
  assert.equal(maps.earlier(layers, 'one that was asked for', 10).name, 'c');
});

test('a nudge begins above the rounding of the score, and a promise may hold for all', () => {
  near([maps.roundingOf([{ y: -10 }, { y: 3 }])], [2e-5]);
  const nudge = { steps: [-2, -1, 0, 1, 2], predicted: [-2, -1, 0, 1, 2], true: [-2, -1, 0.01, 1, 2.01] };
  assert.equal(maps.tellingNudge(nudge, 0.1), 3);
  assert.equal(maps.tellingNudge(nudge, 0.6), 4);
  assert.equal(maps.tellingNudge(nudge, 100), 3, 'no one is: the smallest');
  assert.equal(maps.alwaysHolds(nudge), true);
  assert.equal(maps.alwaysHolds({ ...nudge, true: [-2, -1, 0.03, 1, 2] }), false);
});

// ---- the arrangement, the search

test('the arrangement with the larger pictures, but std unless it is a fifth more', () => {
  assert.deepEqual(maps.arrange(1440, 900, 1, true), { arr: 'std', high: 545 });
  assert.equal(maps.arrange(1440, 900, 1, false).arr, 'tall');
  assert.equal(maps.arrange(1440, 900, 2, true).arr, 'wide');
  assert.equal(maps.arrange(1280, 720, 0.63, true).arr, 'tall');
  assert.equal(maps.arrange(1366, 620, 1, true).arr, 'std', 'too low for all of it beside them');
  assert.equal(maps.arrange(1280, 720, 16 / 9, true).arr, 'std', '263 pixels; 308 are not a fifth more');
  assert.deepEqual(maps.arrange(1920, 1080, 2, true), { arr: 'wide', high: 465 }, '(1920 - 48 - 10) / 4; 392 beside');
  assert.deepEqual(maps.arrange(820, 1180, 1, true), { arr: 'stack', high: 465 });
});

test('seven classes where they fit without scrolling', () => {
  const rows = (W, H, ratio, fine = true) => maps.rowsIn(maps.arrange(W, H, ratio, true), W, H, ratio, fine);
  assert.equal(rows(1440, 900, 1), 7, '545 pixels: 7 times 44, and 219 for the rest');
  assert.equal(rows(1280, 720, 1), 7, '440: 7 times 36, and 158');
  assert.equal(rows(1280, 720, 1, false), 6, '440: 6 times 44, which a finger needs');
  assert.equal(rows(1366, 620, 1), 5, '340: 5 times 34');
  assert.equal(rows(1366, 620, 1, false), 4, '340, less 158: 4 times 44');
  assert.equal(rows(1280, 720, 0.63, false), 3, 'tall');
  assert.equal(rows(1440, 900, 2), 5, 'below pictures of 345: 379, less 167');
  assert.equal(rows(1280, 720, 2), 5, 'below pictures of 307: 285, less 106');
  assert.equal(rows(1024, 768, 2), 7, 'below pictures of 243: 397, less 106');
  assert.equal(rows(1440, 900, 0.63), 5, 'tall');
  assert.equal(rows(1180, 820, 0.63), 4);
  assert.equal(rows(1280, 800, 0.63), 3);
  assert.equal(rows(1280, 720, 0.63), 4);
  assert.equal(rows(1024, 768, 0.63), 7, 'beside pictures of 488');
  assert.equal(rows(1024, 768, 0.4), 3);
  assert.equal(rows(820, 1180, 1), 6, 'pictures of 385, where 465 have room');
  assert.equal(rows(820, 1180, 0.5), 5);
  assert.equal(rows(820, 1180, 2), 7);
  assert.equal(rows(390, 844, 1), 7, 'a row that is pushed');
  const alone = (W, H, ratio) => maps.rowsIn(maps.arrange(W, H, ratio, false), W, H, ratio, true, false);
  assert.equal(alone(820, 1180, 2), 6, 'one picture of 390, where 465 have room');
  assert.equal(alone(820, 1180, 1), 5, 'one of 465');
  const guess = (W, H, ratio) => maps.rowsIn(maps.arrange(W, H, ratio, true), W, H, ratio, true, true, true);
  assert.equal(guess(1280, 720, 2), 3, 'below pictures of 307: 285, less 106 and a guess of 66');
  assert.equal(guess(1366, 620, 1), 3, '340, less 158 and 66: 116');
  assert.equal(guess(1280, 720, 1), 6);
  assert.equal(guess(1440, 900, 2), 5, 'below pictures of 345: 393, less 106 and, for the card, 66');
  assert.equal(guess(1280, 720, 0.63), 3, 'one less');
  const card = (W, H, ratio) => maps.hasCard(maps.arrange(W, H, ratio, true), W, H);
  assert.ok(card(1440, 900, 2), 'below pictures of 345: 393, less 106 and the card: 226, and five classes are 220');
  assert.ok(!card(1440, 900, 16 / 9), 'below pictures of 388: 183');
  assert.ok(card(1440, 900, 1) && !card(1280, 720, 2));
  assert.ok(card(820, 1180, 1) && !card(390, 844, 1), 'on a tablet beside the classes');
  assert.ok(!card(1440, 900, 0.4), 'tall');
});

test('what was asked about is shown, and takes the place of the least likely of the others', () => {
  const classes = [8, 3, 5, 9, 4].map((index) => ({ index }));
  const shown = (room, asked) => maps.rowsShown(classes, room, asked).map(({ index }) => index);
  assert.deepEqual(shown(5, [8, null]), [8, 3, 5, 9, 4]);
  assert.deepEqual(shown(3, [8, null]), [8, 3, 5]);
  assert.deepEqual(shown(3, [4, null]), [8, 3, 4]);
  assert.deepEqual(shown(3, [4, 9]), [8, 9, 4]);
  assert.deepEqual(shown(1, [4, 9]), [9, 4], 'both, even where there is no room');
});

test('whole words are found first, and what only has the letters in it last', () => {
  const labels = ['oystercatcher', 'catamaran', 'Egyptian cat', 'tabby cat', 'dog', 'cat', 'hair-cat'];
  const found = (text) => maps.findClasses(labels, text).map(({ index, rank }) => [labels[index], rank]);
  assert.deepEqual(found(' Cat '), [
    ['cat', 0], ['Egyptian cat', 1], ['tabby cat', 1], ['hair-cat', 1], ['catamaran', 2], ['oystercatcher', 3],
  ]);
  assert.deepEqual(found('(.*'), [], 'no pattern, but letters');
  assert.deepEqual(found(''), []);
});
