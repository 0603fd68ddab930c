// The lesson's two colours: what speaks for a class and against it, and how strong a filter is. By themselves, and on
// the photo.

import { $, make } from './dom.js';
import { project } from './maps.js';

const pen = make('canvas', null).getContext('2d');

/** Red, green, blue of a token of the style. */
export function colour(name) {
  pen.fillStyle = getComputedStyle($('.gl')).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(pen.fillStyle.slice(at, at + 2), 16));
}

const TONES = { reaction: ['--card', '--ink'], evidence: ['--gl-against', '--card', '--gl-for'] };

/** A palette, from the least number to the largest. @param {'reaction' | 'evidence'} tone */
export function paletteOf(tone) {
  const stops = TONES[tone].map(colour), last = stops.length - 1;
  return Uint8Array.from({ length: 3 * 256 }, (_, n) => {
    const at = Math.floor(n / 3) / 255 * last, i = Math.min(Math.floor(at), last - 1), c = n % 3;
    return Math.round(stops[i][c] + (stops[i + 1][c] - stops[i][c]) * (at - i));
  });
}

/** The visitor's picture. */
export function pictured(base, grey = false) {
  const node = make('img', null, { alt: 'Your picture', draggable: 'false' });
  node.src = base;
  node.classList.toggle('gl-grey', grey);
  return node;
}

/**
 * A map on the photo: evidence glows on grey; of what a filter reacts to the photo is seen, the rest is pale.
 * @param {{ h: number, w: number, values: Float32Array, top: number, placement: number[] | null }} field
 * @param {'reaction' | 'evidence'} tone
 */
export function laid(base, field, tone, W, H, smooth) {
  const canvas = make('canvas', null, { width: W, height: H }), image = new ImageData(W, H);
  const pales = tone === 'reaction', shade = colour(pales ? '--card' : '--gl-glow');
  project(field.values, field, H, W, 0, smooth).forEach((v, n) => {
    const share = Math.max(v, 0) / (field.top || 1);
    image.data.set([...shade, 225 * (pales ? 1 - share : share)], 4 * n);
  });
  canvas.getContext('2d').putImageData(image, 0, 0);
  return [pictured(base, !pales), canvas];
}
