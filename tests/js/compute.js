// What Python asks of the pure rooms: JSON in, [{ room, name, given }, ..]; JSON out, [result, ..].
// { bytes } stands for bytes, { signed } for signed ones (both in base64), { float } for float32 numbers.

import { text } from 'node:stream/consumers';

import * as maps from '../../demo/viewer/maps.js';
import * as python from '../../demo/viewer/python.js';
import * as shrink from '../../demo/viewer/shrink.js';
import * as words from '../../demo/viewer/words.js';

const ROOMS = { maps, python, shrink, words };

const READ = {
  bytes: maps.bytesOf,
  signed: maps.signedBytesOf,
  float: (numbers) => Float32Array.from(numbers),
};

function read(_, value) {
  const [kind] = Object.keys(value ?? {});
  return kind in READ ? READ[kind](value[kind]) : value;
}

const write = (_, value) => ArrayBuffer.isView(value) ? [...value] : value;

const calls = JSON.parse(await text(process.stdin), read);
process.stdout.write(JSON.stringify(calls.map(({ room, name, given }) => ROOMS[room][name](...given)), write));
