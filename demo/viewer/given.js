// A picture on its way in: made ready before it leaves this machine.

import { fetched } from './fetched.js';
import { put } from './shown.js';

const A_WHILE = 300; // milliseconds until that is worth saying
const STILL = /^(\xff\xd8|.PNG|RIFF....WEBP|BM)/s; // how pictures begin that neither move nor are HEIC

let pictures = 0; // given so far

/** @param {File} file @returns {Promise<{ file: File, asItIs: boolean }>} */
async function shrunk(file) {
  const start = new TextDecoder('latin1').decode(await file.slice(0, 12).arrayBuffer());
  return STILL.test(start) ? (await fetched('shrink')).smaller(file) : { file, asItIs: true };
}

/**
 * What goes to the server in its place; null where another one was given meanwhile.
 * @param {File} file
 */
export async function madeReady(file) {
  const mine = ++pictures, slow = setTimeout(() => put({ shrinking: true }), A_WHILE);
  const made = await shrunk(file).catch(() => ({ file, asItIs: true }));
  clearTimeout(slow);
  if (mine !== pictures) return null;
  put({ shrinking: false, asItIs: made.asItIs });
  return made.file;
}
