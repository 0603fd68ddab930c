import assert from 'node:assert/strict';
import { test } from 'node:test';

import { store } from '../../demo/viewer/store.js';

test('a view is shown when it is added, and when what it shows is set, before that returns', () => {
  const shown = [], { state, set, view } = store({ layer: 'a', opacity: 50 });
  view(() => shown.push(state.layer));
  assert.deepEqual(shown, ['a']);
  set({ layer: 'b' });
  assert.deepEqual(shown, ['a', 'b']);
});

test('a view is not shown for what it does not show, nor for what stays the same', () => {
  const shown = [], { state, set, view } = store({ layer: 'a', opacity: 50 });
  view(() => shown.push(state.layer));
  set({ opacity: 60 });
  set({ layer: 'a' });
  assert.deepEqual(shown, ['a']);
});

test('all of a patch is there before anything is shown, and each view is shown once, in order', () => {
  const shown = [], { state, set, view } = store({ layer: 'a', method: 'm' });
  view(() => shown.push(`one ${state.layer}${state.method}`));
  view(() => shown.push(`two ${state.method}${state.layer}`));
  set({ layer: 'b', method: 'n' });
  assert.deepEqual(shown, ['one am', 'two ma', 'one bn', 'two nb']);
});

test('what counts is what the last run has read', () => {
  let runs = 0;
  const { state, set, view } = store({ ready: false, layer: 'a' });
  view(() => { runs++; return state.ready && state.layer; });
  set({ layer: 'b' });
  assert.equal(runs, 1);
  set({ ready: true });
  set({ layer: 'c' });
  assert.equal(runs, 3);
  set({ ready: false });
  set({ layer: 'd' });
  assert.equal(runs, 4);
});

test('an inner view runs without the one around it, and goes with it', () => {
  const shown = [], { state, set, view } = store({ step: 1, tile: 1 });
  view(() => {
    const { step } = state;
    shown.push(`step ${step}`);
    if (step === 1) view(() => shown.push(`tile ${state.tile}`));
  });
  set({ tile: 2 });
  assert.deepEqual(shown.splice(0), ['step 1', 'tile 1', 'tile 2']);
  set({ step: 2, tile: 3 });
  assert.deepEqual(shown.splice(0), ['step 2']);
  set({ tile: 4 });
  assert.deepEqual(shown.splice(0), []);
  set({ step: 1, tile: 5 });
  assert.deepEqual(shown, ['step 1', 'tile 5'], 'once');
});

test('what is read after an inner view still counts for the outer one', () => {
  let runs = 0;
  const { state, set, view } = store({ step: 1, tile: 1 });
  view(() => {
    view(() => state.step);
    runs++;
    return state.tile;
  });
  set({ step: 2 });
  assert.equal(runs, 1);
  set({ tile: 2 });
  assert.equal(runs, 2);
});

test('a view of an inner view goes too', () => {
  const shown = [], { state, set, view } = store({ step: 1, tile: 1 });
  view(() => {
    if (state.step === 1) view(() => view(() => shown.push(state.tile)));
  });
  set({ step: 2 });
  set({ tile: 2 });
  assert.deepEqual(shown, [1]);
});

test('reading outside a view binds nothing', () => {
  let runs = 0;
  const { state, set, view } = store({ step: 1, tile: 1 });
  view(() => { runs++; return state.step; });
  assert.equal(state.tile, 1);
  set({ tile: 2 });
  assert.equal(runs, 1);
});

test('nothing but `set` changes the state, and a view does not', () => {
  const { state, set, view } = store({ layer: 'a' });
  assert.throws(() => { state.layer = 'b'; }, TypeError);
  assert.throws(() => view(() => set({ layer: 'b' })), /does not set/);
  set({ layer: 'c' });
  assert.equal(state.layer, 'c');
});

test('a view that fails leaves the rest able to go on', () => {
  const { state, set, view } = store({ layer: 'a' });
  view(() => { if (state.layer === 'bad') throw new Error('bad layer'); });
  assert.throws(() => set({ layer: 'bad' }), /bad layer/);
  set({ layer: 'b' });
  assert.equal(state.layer, 'b');
});
