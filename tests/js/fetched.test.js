import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { fetched } from '../../demo/viewer/fetched.js';

test('a script that did not come, or came by half, comes at the next try, and is one script from then on', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fetched-'));
  globalThis.location = { origin: 'file://', pathname: `${folder}/` };
  const file = join(folder, 'late.js');
  await assert.rejects(fetched('late'));
  await writeFile(file, 'export const made = {');
  await assert.rejects(fetched('late'));
  await writeFile(file, 'export const made = {};');
  const { made } = await fetched('late');
  assert.equal((await fetched('late')).made, made);
  await rm(folder, { recursive: true });
});
