// What a visitor draws, as numbers: no screen is needed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NOTHING_DRAWN, between, brushed, isDrawn, nudged } from '../../demo/viewer/drawing.js';

test('a box lies between two corners, whichever they are', () => {
  assert.deepEqual(between([0.7, 0.2], [0.1, 0.9]), [0.1, 0.2, 0.7, 0.9]);
});

test('a box stays in the picture and as large as it was', () => {
  const box = [0.5, 0.25, 0.75, 0.75];
  assert.deepEqual(nudged(box, 0.125, -0.125, false), [0.625, 0.125, 0.875, 0.625]);
  assert.deepEqual(nudged(box, 0.5, 0, false), [0.75, 0.25, 1, 0.75]);
  assert.deepEqual(nudged(box, 0, -0.5, false), [0.5, 0, 0.75, 0.5]);
});

test('a box is stretched, and never to nothing', () => {
  assert.deepEqual(nudged([0.5, 0.25, 0.75, 0.75], 0.125, 0.5, true), [0.5, 0.25, 0.875, 1]);
  const [l, t, r, b] = nudged([0.5, 0.25, 0.75, 0.75], -0.9, -0.9, true);
  assert.ok(r > l && b > t);
});

test('a brush leaves one spot where it stays, and takes the box away', () => {
  const once = brushed({ box: [0, 0, 1, 1], spots: [] }, [0.5, 0.5]);
  assert.deepEqual(once, { box: null, spots: [[0.5, 0.5]] });
  assert.equal(brushed(once, [0.51, 0.5]).spots.length, 1);
  assert.equal(brushed(once, [0.6, 0.5]).spots.length, 2);
});

test('nothing drawn is nothing', () => {
  assert.ok(!isDrawn(NOTHING_DRAWN));
  assert.ok(isDrawn({ box: null, spots: [[0.5, 0.5]] }));
});
