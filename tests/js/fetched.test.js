import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { fetched } from '../../demo/viewer/fetched.js';

test('a script that did not come comes at the next try, and is one script from then on', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fetched-'));
  globalThis.location = { origin: 'file://', pathname: `${folder}/` };
  await assert.rejects(fetched('late'));
  await assert.rejects(fetched('late'));
  await writeFile(join(folder, 'late.js'), 'export const where = new URL(import.meta.url);');
  const { where } = await fetched('late');
  assert.equal(where.search, '?2', 'an address that never failed: that of a failure may be kept');
  assert.equal((await fetched('late')).where, where);
  await rm(folder, { recursive: true });
});
