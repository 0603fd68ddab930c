import assert from 'node:assert/strict';
import { test } from 'node:test';

import { asksAnother, isElsewhere, linkText, readLink, valueIn } from '../../demo/viewer/address.js';

test('what is written is read again, whatever stands in it', () => {
  const link = { p: 'lion', l: 'block5c/add & more', k: 'Grad-CAM++', c: '0', tab: 'lesson', step: '4', len: '45' };
  assert.deepEqual(readLink(`#${linkText(link)}`), { link, dropped: [], foreign: false });
});

test('the keys stand in one order, and what is as usual does not stand there', () => {
  assert.equal(linkText({ k: 'HiResCAM', c: '293', p: undefined }), 'c=293&k=HiResCAM');
  assert.equal(linkText({}), '');
});

test('an unknown key and an impossible value are dropped, each by its name', () => {
  const { link, dropped } = readLink('#p=../../etc/passwd&c=9e9&r=291&d=2&zz=1&step=0&constructor=1&opacity=101');
  assert.deepEqual(link, { r: '291' });
  assert.deepEqual(dropped, ['picture', 'class', 'detail', '“zz”', 'step', '“constructor”', 'strength']);
});

test('of another version nothing is read', () => {
  assert.deepEqual(readLink('#ver=2&c=293'), { link: {}, dropped: [], foreign: true });
  assert.deepEqual(readLink('#ver=1&c=293'), { link: { c: '293' }, dropped: [], foreign: false });
});

test('the server answers for the question; Back leads to another question, tab or step', () => {
  assert.equal(asksAnother({ c: '1', k: 'HiResCAM' }, { c: '1' }), false);
  assert.equal(asksAnother({ d: '1' }, {}), true);
  assert.equal(asksAnother({ step: '2' }, {}), false);
  assert.equal(isElsewhere({ step: '2' }, { step: '3' }), true);
  assert.equal(isElsewhere({ l: 'a', v: 'cover' }, { l: 'b' }), false);
});

test('a value that is not here gives way to the usual one and leaves its word', () => {
  const dropped = [];
  assert.equal(valueIn({ k: 'LIME' }, 'k', '', ['Grad-CAM'], dropped), '');
  assert.deepEqual(dropped, ['method']);
  assert.equal(valueIn({ k: 'Grad-CAM' }, 'k', '', ['Grad-CAM'], dropped), 'Grad-CAM');
  assert.equal(valueIn({}, 'k', '', [], dropped), '');
  assert.deepEqual(dropped, ['method']);
});
