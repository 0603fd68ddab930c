// The lesson's words, a row a step: what is asked, what one may answer, what is shown then. No page and no state: the
// numbers are those of the facts that are handed over. A sentence has 15 words at most.

import { agreeing, change, decimals, enough } from './facts.js';
import { grids, number, percent } from './words.js';

/** @import { Facts } from './facts.js' */

/**
 * @typedef {object} Said
 * @property {string} ask
 * @property {string} [hint] what to do where there is nothing to choose
 * @property {string[]} [options]
 * @property {number} [right] which of them; -1: none
 * @property {string} [button] that shows it; else "Show the answer"
 * @property {string} answer
 * @property {string} say the one sentence that stays
 */

/**
 * @typedef {object} Station
 * @property {string} name
 * @property {string} act of which part of the lesson
 * @property {string[]} keys of the steps in Python whose formula and code it folds in
 * @property {string} [play] what it lets one play with, of PLAYS
 * @property {(facts: Facts) => Said} said
 * @property {(facts: Facts) => { button: string, ask: string, answer: string, say: string } | null} [more]
 * @property {(facts: Facts) => string} [math] the formula with the numbers put in
 * @property {boolean} [long] whether only the longest lesson has it
 */

const WAITS = 'The network is running …';
const NO_PLACE = 'Nobody knows where these cells lie in the photo.';
const DOUBTS = { // of Grad-CAM at a layer, by what is known of it there
  worse: 'Measured: this layer’s map points no better than the picture’s middle does.',
  mean: 'Here gradients differ by place; their mean forgets that: the map may mislead.',
  tokens: 'These cells read from each other: each may stand for other places, too.',
};

/** A number that was printed. */
const plain = (shown) => Number(shown.replace('−', '-'));

/** Names in an order that tells nothing. */
const inOrder = (names) => [...names].sort((a, b) => a.localeCompare(b));

/** Which of three steps a share is in. */
const third = (share, low, high) => share < low ? 0 : share <= high ? 1 : 2;

/** Three numbers to choose from, one of them right, not always at the same place. */
function threeNumbers(value, brief, turn) {
  const all = [brief(1000 * value), brief(10 * value), brief(value)], right = turn % 3;
  const wrong = all.slice(0, 2), options = [...wrong.slice(0, right), all[2], ...wrong.slice(right)];
  return { options, right };
}

const asked = (options, right) => ({ options, right });

/** @param {Facts} f */
function nudge({ nudged, score }) {
  if (!nudged) return null;
  const n = enough(nudged.up, 3), before = Number(score.toFixed(n)), moved = Number(nudged.up.toFixed(n));
  return { before: decimals(before, n), after: decimals(before + moved, n), moved: change(moved, n) };
}

/** The numbers of step 4 as they are printed. @param {Facts} facts */
export const nudgeOf = nudge;

/**
 * The number of a filter that step 6 follows, its weight, and their product, as they are printed: so that they agree.
 * @param {Facts} f
 */
export function addedOf({ a, alpha, addedCell, at, print }) {
  const v = a.values[at(addedCell)], { unit, places } = print.a;
  const shown = unit === 1 ? decimals(v, v ? places : 0) : number(v, 2), weight = number(alpha);
  return { v, shown, weight, product: number(plain(shown) * plain(weight), 2) };
}

/** The score before and with a patch, as they are printed. @param {Facts} f @param {number} n which of the patches */
export function coveredOf({ score, covered }, n) {
  const now = covered[n].score, moved = Number(now.toFixed(2)) - Number(score.toFixed(2));
  const [was, is] = [score, now].map((v) => decimals(v, 2));
  return { was, is, said: `${was} → ${is}`, sum: `${is} − ${was} = ${change(moved, 2)}` };
}

/** The sum of step 9 as it is printed. @param {Facts} facts */
export function totalOf({ whole, start, score }) {
  const n = start === null ? 2 : agreeing([whole.sum, start], score);
  const begins = start === null ? '' : decimals(Number(start.toFixed(n)) || 0, n); // no minus nothing
  return { n, sum: decimals(whole.sum, n), start: begins, score: decimals(score, n) };
}

/** @type {Station[]} */
export const STATIONS = [
  {
    name: 'All', act: '', keys: [],
    said: () => ({
      ask: 'A network names a photo. How can we see where it looked?',
      hint: 'Each dashed box is a question. Answer it, and the box fills.',
      answer: 'All boxes are full: forward the score, back the map.',
      say: 'The map is made. Now we ask what it is worth.',
    }),
  },
  {
    name: 'Photo', act: 'look', keys: ['question'], play: 'question',
    said: ({ first, second, classes, percent, head }) => {
      const names = inOrder(classes.slice(0, 3).map((c) => c.label));
      const next = second ? ` Next comes ${second.label}, with ${second.chance}.` : '';
      return {
        ask: 'One photo. What will the network say?',
        ...asked([...names, ...(classes.length > 3 ? ['something else'] : [])], names.indexOf(first.label)),
        answer: `${first.label}, with ${first.chance}.${next}`,
        say: !percent ? 'The network gives every class a number.'
          : head === 'softmax' ? 'Every class gets a score; the highest score names the picture.'
            : 'Every class gets a score, and each score a percentage of its own.',
      };
    },
    math: ({ first, second, head, brief }) => head !== 'softmax' ? '' :
      `p of ${first.label} = e^${brief(first.y)} / (e^${brief(first.y)}` +
      `${second ? ` + e^${brief(second.y)}` : ''} + …) = ${first.p.toFixed(3)}`,
  },
  {
    name: 'Stages', act: 'look', keys: [],
    said: ({ stages }) => {
      const [one, last] = [stages[0].shape, stages.at(-1).shape];
      const [cells, maps] = [last[0] * last[1] - one[0] * one[1], last[2] - one[2]];
      const options = ['more cells, fewer maps', 'fewer cells, more maps', 'fewer of both'];
      const right = cells > 0 && maps < 0 ? 0 : cells < 0 && maps > 0 ? 1 : cells < 0 && maps < 0 ? 2 : -1;
      return {
        ask: 'Each stage makes maps: grids of cells. What changes?', ...asked(options, right),
        answer: stages.length < 2 ? `This stage has ${grids(one)} cells and ${one[2]} maps.`
          : `cells ${grids(one)} → ${grids(last)}, maps ${one[2]} → ${last[2]}.`,
        say: 'Cells get larger and see more, but left stays left, top stays top.',
      };
    },
    math: ({ layer, h, w, K }) => `Layer ${layer}: ${h} × ${w} numbers for each of its ${K} filters.`,
  },
  {
    name: 'Maps', act: 'look', keys: ['maps'], play: 'maps',
    said: (f) => {
      const { k, cells, peaks, where, inMap, a, print, w } = f, n = peaks.length;
      const most = decimals(a.values[peaks[0]] / print.a.unit, print.a.places), on = [...new Set(peaks.map(f.sideOf))];
      const side = on.length > 1 ? 'on both sides' : on[0] === 0.5 ? 'in the middle' : where[1 - on[0]];
      const row = Math.floor(peaks[0] / w) + 1, column = peaks[0] % w + 1;
      return {
        ask: `Filter ${k} gave these ${cells} numbers. Where did it react most? Point!`,
        hint: f.placed ? 'A filter looks for one pattern everywhere. Click the photo where it found most.' : NO_PLACE,
        answer: !inMap || !n ? 'Where its colour is strongest.'
          : !f.placed ? `${n === 1 ? 'One cell has' : `${n} cells have`} the most: ${most}.`
            : n > 1 ? `The ${n} cells with ${most} lie ${side}.` : `Row ${row}, column ${column}, ${side}: ${most}.`,
        say: f.placed ? 'A feature map says how strongly one filter reacted, place by place.' : NO_PLACE,
      };
    },
    math: ({ k, a, print, nudgedCell: [i, j], at, inMap }) => !inMap ? '' :
      `A of filter ${k}, row ${i + 1}, column ${j + 1} = ${decimals(a.values[at([i, j])], 3)}` +
      (print.a.unit === 1 ? '' : `, printed in units of ${print.a.unit}`),
  },
  {
    name: 'What if?', act: 'ask', keys: ['gradient'], play: 'gradient',
    said: (f) => {
      const { nudged, score } = f, told = nudge(f);
      if (!told) {
        const ask = 'What if one of these numbers were a little larger?';
        return { ask, answer: WAITS, say: '' };
      }
      const by = nudged.by === 1 ? 'one' : nudged.by, size = Math.abs(nudged.up / score);
      const still = Math.abs(nudged.up) <= 1e-6 * Math.abs(score);
      const right = still ? 2 : nudged.up < 0 ? 3 : size >= 0.1 ? 0 : 1;
      const way = ['it rises a lot', 'it rises a little', 'it stays', 'it falls'][right];
      return {
        ask: `What if this ${f.brief(nudged.a)} were ${by} larger? What does the score do?`,
        ...asked(['rises a lot', 'rises a little', 'stays', 'falls'], right),
        answer: `${way}. ${told.before} → ${told.after}, so ${told.moved}.`,
        say: `How far the score moves for ${nudged.by === 1 ? 'one more' : 'a small step'}: that is the gradient.`,
      };
    },
    math: ({ nudged, even }) => !nudged ? '' :
      `gradient ${nudged.g.toPrecision(3)} × ${nudged.by} = ${(nudged.g * nudged.by).toPrecision(3)} predicted, ` +
      `${nudged.up.toPrecision(3)} measured. ` +
      (even ? 'After this layer the network only averages and adds.' : 'It is a promise for small changes only.'),
  },
  {
    name: 'Weight', act: 'ask', keys: ['pooling'], play: 'pooling',
    said: ({ K, label, pro, con, score, brief }) => ({
      ask: `Each of ${K} filters has a weight, its mean gradient. All for ${label}?`,
      ...asked(['all for', 'more for', 'more against'], con === 0 ? 0 : pro >= con ? 1 : 2),
      answer: `${pro} for, ${con} against. ${con > pro && score > 0 ? 'Yet the' : 'The'} score is ${brief(score)}.`,
      say: 'The weight says how much a filter counts, and for which side.',
    }),
    math: ({ k, total, cells, alpha }) =>
      `weight of filter ${k} = ${total.toPrecision(4)} / ${cells} = ${alpha.toPrecision(3)}`,
  },
  {
    name: 'Add up', act: 'add', keys: ['sum'], play: 'sum',
    said: (f) => {
      const { k, K, inMap } = f, say = `Weight × map, cell by cell; then add up all ${K}.`;
      const { v, shown, weight, product } = addedOf(f), { options, right } = threeNumbers(plain(product), f.brief, k);
      if (!inMap) {
        return {
          ask: `Filter ${k} has a map and a weight, ${weight}. What now?`, hint: 'Then come the other filters.',
          answer: `Map × weight. Then ${K - 1} more filters.`, say,
        };
      }
      return {
        ask: `Filter ${k} says ${shown} here; its weight is ${weight}. What does it add?`,
        ...(v ? asked(options, right) : { hint: 'Think of nothing, times something.' }),
        answer: `${shown} × ${weight} = ${product}. Then ${K - 1} more filters.`, say,
      };
    },
    math: ({ whole, K }) => {
      const n = agreeing([whole.more, whole.less], whole.sum);
      return `all cells of all ${K} filters: ${decimals(whole.more, n)} for, ${decimals(whole.less, n)} against, ` +
        `together ${decimals(whole.sum, n)}`;
    },
  },
  {
    name: 'ReLU', act: 'add', keys: ['relu'], play: 'relu',
    said: ({ cells, below }) => ({
      ask: `ReLU turns minus into 0. How many of these ${cells} cells will change?`,
      ...asked(['hardly any', 'some', 'most'], third(below / cells, 0.1, 0.5)),
      answer: `${below} of ${cells}. ` +
        (below / cells < 0.1 ? 'Elsewhere, what speaks for it wins.' : 'They speak against.'),
      say: 'Minus speaks against the class; ReLU throws it away.',
    }),
    more: ({ label, contrast }) => contrast && {
      button: `Minus ${contrast.label.length > 12 ? 'another class' : contrast.label}`,
      ask: `And if we ask: why ${label} and not ${contrast.label}?`,
      answer: `Now ${contrast.below} cells are minus: they speak for ${contrast.label}.`,
      say: 'Compare two classes, and what they share cancels.',
    },
    math: ({ whole }) => [['smallest', whole.min], ['largest', whole.max]].map(([name, v]) => {
      return `the ${name} cell: max(0, ${decimals(v, enough(v))}) = ${decimals(Math.max(v, 0), enough(v))}`;
    }).join('; '),
  },
  {
    name: 'Overlay', act: 'add', keys: ['scaling', 'overlay'], play: 'scaling',
    said: ({ label, cells, halves: [left, right], sides, where, named, known, placed }) => {
      if (!placed) {
        return {
          ask: 'Can we lay this map over the photo?', ...asked(['yes', 'no'], 1), answer: `no. ${NO_PLACE}`,
          say: 'Its numbers are right. Say nothing about places with it.',
        };
      }
      const all = left + right, share = left / all, more = third(share, 0.49, 0.51);
      const [one, two] = sides, order = [1, 2, 0][more]; // a small share on the left: the right has more
      const part = Math.round(100 * Math.max(share, 1 - share)), lies = order === 2 ? 'about half lies on each side'
        : `${part} % of “${label}” lies ${where[order]}`;
      return {
        ask: `The map for ${label}, over the photo: which ${named ? 'animal' : 'half'} gets more?`,
        ...asked([one, two, 'about the same'], all ? order : -1),
        answer: all ? `${lies}.` : 'Neither: no cell speaks for it here.',
        say: DOUBTS[known] ?? `Places were kept, so the ${cells} cells fit straight over the photo.`,
      };
    },
    math: ({ whole, cells, w, h }) => `map = scale up(L / ${decimals(whole.max, enough(whole.max))}): ` +
      `${h} × ${w} = ${cells} numbers, and no new detail in between`,
  },
  {
    name: 'Score', act: 'add', keys: ['sum'], play: 'overlay',
    said: (f) => {
      const { cells, first, whole, start, label } = f, total = totalOf(f);
      const options = ['1', '100', `about ${f.brief(whole.sum)}`, 'no meaning'];
      return {
        ask: `Add up all ${cells} cells. Which number do you expect?`,
        ...asked(options, start === null ? 3 : 2),
        answer: start === null ? `${total.sum}. But the score of ${label} is ${total.score}.`
          : plain(total.start) ? `${total.sum}. With the fixed start ${total.start} it is the score: ${total.score}.`
            : `${total.sum}. That is the score.`,
        say: start === null ? 'Here it does not add up: more layers follow, and they bend it.'
          : `The map is the score, shared out over ${cells} places.`,
        first,
      };
    },
    math: (f) => {
      const { sum, start, score } = totalOf(f);
      return f.start === null ? 'Exact only where nothing but a mean and one dense layer follows.'
        : `y = fixed start + sum of all cells = ${start} + ${sum} = ${score}`;
    },
  },
  {
    name: 'Earlier', act: 'doubt', keys: ['pooling'], play: 'pooling',
    said: ({ earlier, sides, where, placed }) => {
      if (!earlier) return { ask: 'And if we look at an earlier layer?', answer: WAITS, say: '' };
      const { label, side, shares: [last, mean] } = earlier, main = Number(mean > 0.5 ? side : 1 - side);
      const most = percent(Math.max(mean, 1 - mean)), order = third(mean, 0.49, 0.51) === 1 ? 2 : main;
      return {
        ask: `And at an earlier layer: where will the map for ${label} point?`,
        ...asked([...sides, 'both alike'], order),
        answer: `now ${most} lies ${where[main]}.`
          + (placed ? ` The last layer: ${percent(last)} ${where[side]}.` : ''),
        say: 'Earlier gradients differ by place; their mean forgets the place.',
      };
    },
    more: ({ earlier, where }) => earlier && {
      button: 'Without the mean', ask: 'And if every cell keeps its own gradient?',
      answer: `${percent(earlier.shares[2])} lies ${where[earlier.side]}, place by place.`,
      say: 'Grad-CAM belongs at the last layer; earlier, go place by place.',
    },
    math: ({ earlier }) => 'Grad-CAM: add up mean(G) · A. LayerCAM: add up max(0, G) · A, with G of each cell' +
      (earlier ? ` of ${earlier.layer}.` : '.'),
  },
  {
    name: 'So what?', act: 'doubt', keys: ['guided'], play: 'guided',
    said: () => ({
      ask: 'True or false? Four claims, one by one.', hint: 'Thumbs up or down, all together. First A, then B, C, D.',
      answer: 'A is true, C is false. B the map cannot say. D: test it!',
      say: 'The map says where evidence was found, not what was needed.',
    }),
    math: () => 'Another method draws fine lines. Times the map M they are called guided Grad-CAM.',
  },
  {
    name: 'Cover it', act: 'doubt', keys: [],
    said: (f) => {
      const { score, covered: [now], label, own, placed } = f, here = own || !placed;
      const ask = here ? 'Cover this place. What does the score do?'
        : 'Cover the strongest place. What does the score do?';
      const options = ['it rises', 'it stays', 'it falls'];
      if (!now) return { ask, ...asked(options, -1), answer: WAITS, say: '' };
      const change = now.score - score, right = Math.abs(change) < 0.02 * Math.abs(score) ? 1 : change > 0 ? 0 : 2;
      return {
        ask, ...asked(options, right),
        answer: `${['it rises', 'it hardly moves', 'it falls'][right]}. Score of ${label}: ${coveredOf(f, 0).said}.`,
        say: 'A map is a claim; covering is the experiment.',
      };
    },
    more: (f) => ({
      button: f.placed ? 'The weakest place' : 'Another place',
      ask: `And if we cover ${f.placed ? 'the weakest' : 'another'} place instead?`,
      answer: f.covered[1] ? `Score of ${f.label}: ${coveredOf(f, 1).said}.` : WAITS,
      say: 'A covered picture is another picture: every cell changes.',
    }),
    math: (f) => f.covered[0] ? `y(covered) − y(photo) = ${coveredOf(f, 0).sum}` : '',
  },
  {
    name: 'Forget', act: 'doubt', keys: [], long: true,
    said: () => ({
      ask: 'We shuffle all the network learned. What should its map do?',
      ...asked(['stay', 'change'], 1),
      answer: 'it should change. A map that stays shows only the photo.',
      say: 'Let this network forget, and watch the map and the fine lines.',
    }),
  },
  {
    name: 'Cheat', act: 'doubt', keys: [], long: true,
    said: () => ({
      ask: 'Three networks answer alike. Some look at a pink tag. Which?',
      hint: 'First say in pairs what you would try.', button: 'To the test',
      answer: 'Move the tag, take it away: the answer of a cheat changes.',
      say: 'A right answer can have a wrong reason; now you can find out.',
    }),
  },
  {
    name: 'End', act: 'doubt', keys: [],
    said: () => ({
      ask: 'Your turn: cover, compare, find where it is wrong.',
      hint: 'Choose one, in pairs. Write down your guess before you look.',
      button: 'What can you say now?', answer: 'Three things you can say now, and one you cannot.',
      say: 'Finish the sentence: the map is not a proof because …',
    }),
  },
];

/** Which steps a lesson of so many minutes has; the others can be chosen all the same. */
export const COURSES = {
  15: [0, 1, 3, 4, 6, 8, 9, 12],
  45: [...STATIONS.keys()].filter((n) => !STATIONS[n].long),
  90: [...STATIONS.keys()],
};

/** The letter of an answer that can be chosen. */
export const letterOf = (n) => 'ABCD'[n];

/** The answer as it is said: with its letter, if it has one. @param {Said} said */
export function answerOf({ answer, options, right }) {
  return options && right >= 0 ? `${letterOf(right)}: ${answer}` : answer[0].toUpperCase() + answer.slice(1);
}

/** How many reveals a step has. @param {Facts} facts */
export const revealsOf = (station, facts) => station.more?.(facts) ? 2 : 1;
