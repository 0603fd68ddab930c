// What takes a while, as the tab "Can I trust it?" asks it: no screen is needed, and the server is made by hand.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { beginRun, change, endRun, runTest, state, stopRun } from '../../demo/viewer/doubt.js';

let asked, ended, answers; // tokens, and how to answer each

beforeEach(() => {
  [asked, ended, answers] = [[], [], {}];
  globalThis.server = {
    hold: ({ token, ...given }) => {
      asked.push(given);
      return new Promise((answer, fail) => { answers[asked.length] = { answer, fail, token }; });
    },
    far: async () => ({ part: 0.25 }),
    cancel: async (token) => { ended.push(token); },
  };
  change({ runs: {}, error: '' });
});

const turn = () => new Promise((go) => setTimeout(go));

test('a test is on its way until its answer comes, and tells how far it is', async () => {
  const run = runTest('hold', { layer: 'a' });
  assert.deepEqual(asked, [{ layer: 'a' }]);
  assert.equal(state.runs.hold.part, 0);
  await turn();
  assert.equal(state.runs.hold.part, 0.25);
  answers[1].answer({ rows: [] });
  assert.deepEqual(await run, { rows: [] });
  assert.deepEqual(state.runs, {});
  assert.deepEqual(ended, []);
});

test('one that is stopped is ended on the server, and its late answer changes nothing', async () => {
  const first = runTest('hold', {});
  stopRun('hold');
  assert.deepEqual(state.runs, {});
  assert.deepEqual(ended, [answers[1].token]);
  stopRun('hold');
  assert.equal(ended.length, 1, 'there is nothing more to stop');
  const second = runTest('hold', {});
  assert.notEqual(answers[1].token, answers[2].token);
  answers[1].answer({ error: 'Stopped.' });
  assert.equal(await first, null);
  assert.equal(state.error, '');
  assert.equal(state.runs.hold.token, answers[2].token);
  answers[2].answer({ rows: [1] });
  assert.deepEqual(await second, { rows: [1] });
});

test('each runs and is stopped by its own name', () => {
  const one = beginRun('sides'), other = beginRun('verdict');
  stopRun('verdict');
  assert.ok(one.isWanted());
  assert.ok(!other.isWanted());
  endRun('sides');
  assert.ok(!one.isWanted());
  assert.deepEqual(ended, [other.token]);
});

test('what the server refuses is said, and so is a server that cannot be reached', async () => {
  let run = runTest('hold', {});
  answers[1].answer({ error: 'No such layer.' });
  assert.equal(await run, null);
  assert.equal(state.error, 'No such layer.');
  run = runTest('hold', {});
  answers[2].fail(new Error('offline'));
  assert.equal(await run, null);
  assert.match(state.error, /^The server/);
  assert.deepEqual(state.runs, {});
});
