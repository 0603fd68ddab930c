// A picture before it leaves this machine: as small as the server would make it, upright, and without what its file
// says of itself. Fetched when the first one is given.

const LONGEST = 1280, LEAST = 8; // pixels of a side, as in image.py
const QUALITY = 0.92;
const LIKE_THE_SERVER = { imageOrientation: 'from-image', colorSpaceConversion: 'none', resizeQuality: 'high' };

/**
 * The picture to be sent. What this browser cannot draw goes as it is.
 * @param {File} file
 * @returns {Promise<{ file: File, asItIs: boolean }>}
 */
export async function smaller(file) {
  const start = new Uint8Array(await file.slice(0, 26).arrayBuffer());
  const small = await redrawn(file, start).catch(() => null); // on an old phone; of a damaged file the server speaks
  if (small) return { file: small, asItIs: false };
  if (start[0] !== 0xff || start[1] !== 0xd8) return { file, asItIs: true };
  const pieces = bareJpeg(new Uint8Array(await file.arrayBuffer()));
  return { file: new File(pieces, file.name, { type: file.type }), asItIs: false };
}

/** A smaller picture of a large one; else null. @param {Uint8Array} start of the file */
async function redrawn(file, start) {
  if (start[1] === 0x50 && start[24] === 16 && !start[25]) return null; // a PNG's shades of grey the server judges
  const sides = await sizeOf(file), scale = LONGEST / Math.max(...sides);
  const [width, height] = sides.map((side) => Math.round(side * scale));
  if (scale >= 1 || Math.min(width, height) < LEAST) return null;
  const bitmap = await createImageBitmap(file, { ...LIKE_THE_SERVER, resizeWidth: width, resizeHeight: height });
  if (bitmap.width !== width || bitmap.height !== height) return null; // a browser that knows no `resizeWidth`
  const canvas = Object.assign(document.createElement('canvas'), { width, height }), pen = canvas.getContext('2d');
  pen.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = pen.getImageData(0, 0, width, height);
  if (!data.some((value, n) => n % 4 === 3 && value)) return null; // transparent everywhere
  Object.assign(pen, { globalCompositeOperation: 'destination-over', fillStyle: '#fff' });
  pen.fillRect(0, 0, width, height);
  const blob = await new Promise((done) => canvas.toBlob(done, 'image/jpeg', QUALITY));
  return blob && new File([blob], `${file.name.replace(/\.\w+$/, '')}.jpg`, { type: blob.type });
}

/** Width and height of the upright picture. */
async function sizeOf(file) {
  const image = new Image(), url = URL.createObjectURL(file);
  try {
    await new Promise((onload, onerror) => Object.assign(image, { onload, onerror, src: url }));
    return [image.naturalWidth, image.naturalHeight];
  } finally {
    URL.revokeObjectURL(url);
  }
}

// ---- a JPEG without what it says of itself, as `bare._jpeg` in Python ---------------------------

const OF_JPEG = [[0xe0, 'JFIF\0'], [0xe2, 'ICC_PROFILE\0'], [0xee, 'Adobe']];
const EXIF = 'Exif\0\0', ORIENTATION = 0x0112;
const NUMBERS = { 1: 'getUint8', 3: 'getUint16', 4: 'getUint32' }; // kinds of TIFF

/**
 * The pieces of a file that has the same pixels, and says which way up.
 * @param {Uint8Array} bytes
 * @returns {Uint8Array[]}
 */
export function bareJpeg(bytes) {
  const kept = [bytes.subarray(0, 2)];
  for (let at = 2, inScan = false, way = 1; ;) {
    const mark = markFrom(bytes, at), code = bytes[mark + 1], start = mark + 2;
    if (inScan) kept.push(bytes.subarray(at, mark));
    if (code === undefined) return kept;
    if (code === 0xd9) return [...kept, bytes.subarray(mark, start)]; // behind the end lie other pictures, films
    at = start + (bytes[start] << 8 | bytes[start + 1]);
    inScan = code === 0xda;
    const said = String.fromCharCode(...bytes.subarray(start + 2, Math.min(start + 14, at)));
    const isSaid = (code >= 0xe0 && code <= 0xef) || code === 0xfe;
    if (code === 0xe1 && said.startsWith(EXIF) && way === 1) {
      way = wayUp(bytes.slice(start + 8, at).buffer);
      if (way > 1) kept.push(exifOf(way));
    } else if (!isSaid || OF_JPEG.some(([kind, begins]) => kind === code && said.startsWith(begins))) {
      kept.push(bytes.subarray(mark, at));
    }
  }
}

/** Where the next marker is; in the pixels of a JPEG only those others have no meaning. */
function markFrom(bytes, at) {
  const isMark = (code) => code > 0 && code < 0xff && (code & 0xf8) !== 0xd0;
  while (at < bytes.length && !(bytes[at] === 0xff && isMark(bytes[at + 1]))) at++;
  return at;
}

/** Which way up, from 1 to 8, as TIFF has it; 1, as it is, where nothing is said. @param {ArrayBuffer} tiff */
function wayUp(tiff) {
  const view = new DataView(tiff);
  try {
    const order = view.getUint16(0), little = order === 0x4949;
    if (!little && order !== 0x4d4d) return 1;
    const start = view.getUint32(4, little), count = view.getUint16(start, little);
    for (let at = start + 2; at < start + 2 + 12 * count; at += 12) {
      const read = NUMBERS[view.getUint16(at + 2, little)];
      if (view.getUint16(at, little) !== ORIENTATION || !read) continue;
      const way = view[read](at + 8, little);
      return way >= 1 && way <= 8 ? way : 1;
    }
  } catch { /* too short */ }
  return 1;
}

/** What says which way up, and nothing else. */
const exifOf = (way) => Uint8Array.of(
  0xff, 0xe1, 0, 34, ...[...EXIF].map((letter) => letter.charCodeAt(0)), 0x4d, 0x4d, 0, 42, 0, 0, 0, 8,
  0, 1, ORIENTATION >> 8, ORIENTATION & 255, 0, 3, 0, 0, 0, 1, 0, way, 0, 0, 0, 0, 0, 0,
);
