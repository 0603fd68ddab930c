// What goes around the lesson on paper: the handout with its blanks, and the teacher's notes, a row a step. No page and
// no state.

import { decimals, enough } from './facts.js';
import { STATIONS, addedOf, answerOf, nudgeOf, totalOf } from './script.js';
import { rowSums } from './scenes.js';
import { digits } from './words.js';

/** @import { Facts } from './facts.js' */

/**
 * Minutes of the lesson, what pupils often think, and what helps. In the order of STATIONS.
 * @type {[number, string, string][]}
 */
export const NOTES = [
  [2, 'The network sees as we do.', 'We open it: forward the score, back the map. Every box is a question.'],
  [3, 'The percentage is how much of the picture it fills.', 'It is one score of many. Nobody asked it to say “both”.'],
  [2, 'The network shrinks the photo.', 'It swaps sharpness for meaning; left stays left.'],
  [3, 'A filter has a name: “the ear filter”.', 'We only know where it reacted. Look at it on other photos.'],
  [4, 'A larger number must matter more.', 'Where only a mean follows, a 0 and a 6 matter alike.'],
  [
    4, 'The weight is how strongly the filter reacted.',
    'Reaction is the map; the weight is what the class makes of it.',
  ],
  [3, 'The map is that one filter.', 'The heaviest filter gives some hundredths of the whole.'],
  [4, 'Minus means that nothing is there.', 'Minus speaks against. What two classes share cancels.'],
  [3, 'Red is the thing itself.', 'Red raises the score. What looks alike raises it, too.'],
  [3, 'The cells add up to 100 %.', 'To the score, and only where a mean and one dense layer follow.'],
  [
    4, 'Earlier is sharper, so it is better.',
    'Its mean forgets the place. Place by place it is better, not always.',
  ],
  [3, 'A lovely map means a right answer.', 'Maps raise trust in wrong answers, too. It is a claim, not a proof.'],
  [
    5, 'Half of the red covered, half of the score gone.',
    'Each cell sees most of the photo, and grey is new to the network.',
  ],
  [10, 'What looks sharp must be right.', 'The lines are the photo’s own: they stay, though all is forgotten.'],
  [15, 'A right answer has a right reason.', 'In training the tag came with one thing only. It was easier to learn.'],
  [2, 'We know now why it said so.', 'Exit ticket: the map is not a proof because …'],
];

/** The notes as lines of a table: step, minutes, what they often think, say. */
export const noteRows = () => NOTES.map(([minutes, think, say], n) => {
  const { name } = STATIONS[n];
  return [n === 0 || n === NOTES.length - 1 ? name : `${n} ${name}`, String(minutes), think, say];
});

/** What each step comes to, of the picture in view. @param {Facts} f */
export const answersOf = (f) => STATIONS.map((station) => {
  return [answerOf(station.said(f)), station.more?.(f)?.answer].filter(Boolean).join(' ');
});

/** The printed numbers of a grid, row by row; none where they are too many for the sheet. @param {Facts} f */
const numbersOf = (field, print) => field.exact
  ? Array.from({ length: field.h }, (_, i) => [...field.values.subarray(i * field.w, (i + 1) * field.w)]
    .map((v) => digits(v, print))) : null;

/**
 * The handout's sections. In a line ___ is a short blank and _____ a long one. No line tells a class.
 * @param {Facts} f
 * @returns {{ n: number, title: string, lines: string[], grid?: string[][] | null }[]}
 */
export function handoutOf(f) {
  const { stages, nudged, nudgedCell: [i, j], print } = f, told = nudgeOf(f), total = totalOf(f);
  const { shown, weight } = addedOf(f), half = f.map.top / 2, [first, last] = [stages[0].shape, stages.at(-1).shape];
  const sums = rowSums(f.map).map((v) => decimals(v, total.n));
  return [
    { n: 1, title: 'Photo', lines: ['My guess: _____', 'The network says _____ with ___ %.', 'Its score is ___.'] },
    { n: 2, title: 'Stages', lines: [
      `Cells a side: ${first[0]} → ___. Maps: ${first[2]} → ___.`,
      `Left stays ___. We look at ${last[0]} × ___ cells.`,
    ] },
    { n: 3, title: `Feature map of filter ${f.k}`, lines: ['Shade the strongest cells. They lie _____.'],
      grid: numbersOf(f.a, print.a) },
    { n: 4, title: 'What if?', lines: nudged ? [
      `The ${f.brief(nudged.a)} in row ${i + 1}, column ${j + 1} becomes ${f.brief(nudged.a + nudged.by)}.`,
      'My guess: ☐ up a lot ☐ a little ☐ stays ☐ down', `The score: ${told.before} → _____, so ___.`,
      'This number is called the g_____.',
    ] : ['What one number does to the score is called the g_____.'] },
    { n: 5, title: 'Weight', lines: [`The mean of ${f.cells} gradients: _____`, 'Filters for: ___, against: ___.'] },
    { n: 6, title: 'Weight × map', lines: [
      `${shown} × ${weight} = _____`, `0 × ${weight} = _____`, 'Then add the other ___ filters.',
    ] },
    { n: 7, title: 'ReLU', lines: [
      '−0.25 → ___   0.30 → ___', '−0.01 → ___   0.11 → ___', 'Minus speaks _____ the class.',
    ] },
    { n: 8, title: 'The map', lines: [
      `Shade the cells above ${decimals(half, enough(half))}. More lies _____: ___ %.`,
    ], grid: numbersOf(f.map, print.map) },
    { n: 9, title: 'Score', lines: sums.length > 14 ? ['All cells together: _____', 'What is this number? _____'] : [
      `The rows: ${sums.join(' + ').replaceAll('+ −', '− ')} = _____`,
      f.start === null ? 'Is it the score? _____' : `Fixed start ${total.start}. Together: _____`,
      'What is this number? _____',
    ] },
    { n: 10, title: 'Earlier', lines: ['At the earlier layer the map points _____.', 'The mean forgets the _____.'] },
    { n: 11, title: 'True T, false F, cannot say ?, test it !', lines: [
      '___ It shows where this layer found evidence.', '___ So the answer is right.',
      '___ Any other layer would show the same.', '___ Without the strongest place, the score falls.',
    ] },
    { n: 12, title: 'Cover it', lines: [
      'Strongest place: I guess ___ %, measured ___ %.', 'Weakest place: I guess ___ %, measured ___ %.',
      'My own patch: _____ I guess ___ %, measured ___ %.',
    ] },
  ];
}
