// The lines of Python that yield the map in view. No page and no state.

import { shownClass } from './maps.js';

/** @import { Answer } from './wire.js' */
/** @import { Band } from './maps.js' */

const SAVED = 'the file that "Save this model as .keras" gives; it says how its pixels are scaled and cropped';
const OF_THE_HOST = 'a file of whoever runs the page; add preprocess= where it does not say how it wants its pixels';
const literal = (text) => JSON.stringify(text); // a string of JSON is one of Python's

/**
 * @param {{ answer: Answer, layer: string, method: string, band: Band }} seen
 * @param {string} picture its file
 */
export function pythonOf({ answer, layer, method, band }, picture) {
  const { own, brought, key, title } = answer.model, { target, rival, detail } = answer, two = band === 'contrast';
  const names = [...(two ? ['Target'] : []), 'explain', ...(own ? ['load_file'] : [])];
  return [
    `from gradcam_core import ${names.join(', ')}`,
    ...(own ? ['', `# ${title}: ${brought ? SAVED : OF_THE_HOST}`, 'model = load_file("model.keras")'] : []),
    '',
    'seen = explain(',
    `    ${literal(picture)},`,
    `    model=${own ? 'model' : literal(key)},`,
    `    layer=${literal(layer)},`,
    `    target=${two ? `Target(${target}, ${rival})` : shownClass(answer, band).index},`,
    `    methods=${literal(method)},`,
    ...(detail ? ['    detail=True,'] : []),
    ')',
    `signed = seen.maps[${literal(method)}]  # (h, w): above zero what speaks for it, below zero against`,
    'seen.save("figure.png")',
    '',
  ].join('\n');
}
