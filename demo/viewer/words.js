// Numbers to sentences: all that the page says in words of its own. No page and no state: what is spoken of is handed
// over.

import {
  alwaysHolds, classOf, isEmpty, lightness, linesOf, shareBeyond, shareOf, sharesScale, shownClass, sizeOfBox,
  valueAt,
} from './maps.js';

/** @import { Answer, ClassRow, CoverAnswer, LayerTile, Lesson, MethodRow, Nudge } from './wire.js' */
/** @import { Station, Term, Tile, WayRow, Whole, Without } from './wire.js' */
/** @import { Band, Box, Grid, Sign } from './maps.js' */

/**
 * What the viewer shows.
 * @typedef {object} Look
 * @property {Answer} answer
 * @property {Grid} grid
 * @property {MethodRow} method
 * @property {Band} band
 * @property {Sign} sign
 * @property {number} top what the end of the colours stands for
 * @property {CoverAnswer | null} [covered] what the network says where a part of the picture is covered
 */

export const UNREACHED = 'The server could not be reached; try again in a moment.';
export const SHRINKING = 'Making the picture smaller …';
export const SENDING = 'Your picture is on its way …';
export const SENDING_AS_IT_IS = 'Your picture is on its way as it is; the server cuts out what its file says of it.';
export const NO_CAMERA = 'Browsers give a live camera only to pages over https or on their own machine: choose a '
  + 'photo, or open this page on your own machine, on a Space, or with a certificate (see the README).';
export const CAMERA_REFUSED = 'The camera does not open. Allow it in the browser, or choose a photo.';
export const NO_PASTE = 'There is no picture to paste. Copy one, then press Ctrl V or ⌘ V here.';
const OWN_PICTURE = 'This link is about somebody’s own picture, which stays with them. Choose it and you see the same.';
const OWN_NETWORK = 'This link is about a network of somebody’s own, which is not here.';
const FOREIGN = 'This link was made for another version of this page and cannot be read here.';

/** What is said of a link that is not followed in all. @param {string[]} dropped what is left out */
export function aboutLink(dropped, own, mine, foreign) {
  const left = dropped.length && `Not to be had here, so left out of the link: ${listed(dropped)}.`;
  return [own && OWN_PICTURE, mine && OWN_NETWORK, foreign && FOREIGN, left].filter(Boolean).join(' ');
}

/** What is said of a link that is given away. @param {boolean} home whether this machine alone reaches the page */
export function aboutCopied(own, mine, home) {
  return [
    own && 'Your picture does not go with the link: whoever opens it is asked for it.',
    mine && 'Your network does not go with it.',
    home && 'It works on this machine only.',
  ].filter(Boolean).join(' ');
}

export const NO_CELL = 'No cell of this layer lies here.';

// ---- numbers ---------------------------------------------------------------------------------

/** A share in percent, as `percent` in Python: never rounded to nothing, nor to certainty. */
export function percent(p) {
  if (p > 0 && p < 1e-4) return 'below 0.01\u00a0%';
  if (p > 0.9999 && p < 1) return 'above 99.99\u00a0%';
  const places = p === 0 || p === 1 || (p >= 0.0995 && p < 0.995) ? 0 : p >= 0.01 && p < 0.0995 ? 1 : 2;
  return `${fixed(100 * p, places)}\u00a0%`;
}

/** With so many decimal places. What lies exactly in the middle goes to the even digit, as in Python. */
function fixed(x, places) {
  const text = x.toFixed(places), middle = x * 2 ** (places + 1) % 2 === 1;
  return middle && Number(text.at(-1)) % 2 ? (x - 0.1 ** (places + 1)).toFixed(places) : text;
}

/** A number with so many digits; a whole one with all. */
export function number(x, digits = 3) {
  const size = Math.abs(x), sign = x < 0 ? '−' : '';
  if (Number.isInteger(size) && size < 1e6) return sign + size;
  if (size >= 1000 || size < 1e-6) return sign + size.toExponential(digits - 1);
  if (size < 0.001) return sign + size.toFixed(digits - 1 - Math.floor(Math.log10(size)));
  return sign + size.toPrecision(digits);
}

/** A change: with a plus, too. */
export const signed = (x, digits = 3) => (x > 0 ? '+' : '') + number(x, digits);

/** The sides of a grid. @param {number[]} shape h, w, maybe K */
export const grids = (shape) => shape.slice(0, 2).join('×');

/** A, B and C. */
export const listed = (names) => [names.slice(0, -1).join(', '), names.at(-1)].filter(Boolean).join(' and ');

/**
 * How likely a class is; of a network that gives numbers, its number.
 * @param {ClassRow} c
 * @param {boolean} inPercent whether it is a probability: `model.percent`
 */
export const chance = (c, inPercent) => inPercent ? percent(c.p) : number(c.p);

const HUES = ['Red', 'Yellow', 'Green', 'Cyan', 'Blue', 'Magenta'];

/** What the last colour of a palette looks like: "Bright" where it is the lightest one, else its hue. */
export function endOf(palette) {
  const light = Array.from({ length: palette.length / 3 }, (_, tone) => lightness(palette, tone));
  if (light.at(-1) === Math.max(...light)) return 'Bright';
  const [r, g, b] = palette.slice(-3), high = Math.max(r, g, b), spread = high - Math.min(r, g, b);
  if (spread === 0) return 'Dark';
  const hue = high === r ? (g - b) / spread : high === g ? 2 + (b - r) / spread : 4 + (r - g) / spread;
  return HUES[(Math.round(hue) + 6) % 6];
}

// ---- the viewer ------------------------------------------------------------------------------

/** The one class rather than the other. @param {Answer} answer */
export function comparison(answer, turned = false) {
  const labels = [answer.target, answer.rival].map((index) => classOf(answer, index).label);
  return (turned ? labels.reverse() : labels).join(' rather than ');
}

/** The name of a class in a sentence: [text, kind]. */
const named = (c) => [c.label, 'name'];

/** A sentence's first colour: in the colour itself where the look is "light". */
const bright = (palette, lit) => lit ? ['Yellow', 'yes'] : [endOf(palette)];

/** Whether the network does not see a class at all: it is unlikely, and not its first guess. */
const isUnseen = (c, head) => head === 'softmax' && c.rank > 1 && c.p < 0.01;

const article = (label) => /^[aeiou]/i.test(label) ? 'an' : 'a';

/**
 * What is seen, in pieces: [text, what it is].
 * @param {Look} look
 * @param {Uint8Array} palette that is used where one sign is shown
 * @param {boolean} lit whether these colours mute the picture
 * @returns {[string, string?][]}
 */
export function saying({ answer, grid, method, band, sign, top }, palette, lit = false) {
  const c = shownClass(answer, band), { head } = answer.model, other = classOf(answer, answer.rival);
  const how = ` (${chance(c, answer.model.percent)})`, first = bright(palette, lit);
  if (method.class_agnostic) return [first, [': the strongest pattern here, the same for every class']];
  if (sign === 'both' && band === 'contrast') {
    return [['Red', 'red'], [' speaks for '], named(c), [', '], ['blue', 'blue'], [' for '], named(other), ['.']];
  }
  if (sign === 'both') {
    return [['Red', 'red'], [' speaks for '], named(c), [`${how}, `], ['blue', 'blue'], [' against it.']];
  }
  if (band === 'contrast') {
    const [one, two] = sign === 'for' ? [c, other] : [other, c];
    return [first, [': what speaks for '], named(one), [' rather than '], named(two)];
  }
  if (sign === 'for' && isUnseen(c, head)) {
    return [[`The network does not see ${article(c.label)} `], named(c), [`: place ${c.rank} of ${answer.count}.`]];
  }
  if (isEmpty(grid, sign, top)) return [[`Nothing here speaks ${sign} `], named(c), [`${how}.`]];
  return [first, [`: what speaks ${sign} `], named(c), [how]];
}

/**
 * The second sentence: how sure the network is, or how to read the first.
 * @param {Look} look
 * @param {ClassRow | null} rival
 * @returns {{ text: string, asks: boolean }} asks: whether the contrast with the rival is worth a click
 */
export function second({ answer, grid, band, sign, method }, rival) {
  const c = shownClass(answer, band), { head } = answer.model, plain = (text, asks = false) => ({ text, asks });
  const first = answer.classes.find((one) => one.rank === 1), next = answer.classes.find((one) => one.rank === 2);
  if (method.class_agnostic) return plain('It does not say which class it speaks for.');
  if (band === 'contrast') return plain('What both share cancels out. What tells them apart is left.');
  if (head !== 'softmax' || !next) return plain('');
  const guess = `Its first guess is ${first.label} (${chance(first, answer.model.percent)}).`;
  if (c.rank > 1) {
    const strongest = answer.strength[`${grid.row.name}/${method.name}`];
    const faint = isUnseen(c, head) && sign === 'for' && grid.top < strongest / 2;
    const scale = `So the colour is faint, on the same scale as ${first.label}. Do not read much into it.`;
    return plain(faint ? scale : guess);
  }
  if (c.p >= 0.6) return plain(`It is quite sure. Next comes ${next.label}, with ${percent(next.p)}.`);
  const asks = Boolean(rival) && Math.min(c.p, rival.p) >= 0.1;
  return plain(asks ? `It is not sure: ${next.label} comes second (${percent(next.p)}).`
    : `It is not sure. Maybe it is none of its ${answer.count} classes.`, asks);
}

const FILLED = { grey: 'grey', blur: 'a blurred picture', mean: 'its mean colour', linear: 'what lies around it' };

/** What a patch is filled with, in words. */
export const filled = (fill) => FILLED[fill] ?? fill;

/**
 * What was measured with a part of the picture covered, in pieces.
 * @param {Look} look
 * @param {string} fill
 * @returns {[string, string?][]}
 */
export function sayingCovered({ answer, band, covered }, fill) {
  const c = shownClass(answer, band), now = covered.classes[0].find((one) => one.index === c.index);
  const [before, after] = [c, now].map((one) => chance(one, answer.model.percent));
  const way = now.p < c.p ? 'falls' : 'rises';
  const how = before === after ? ` stays at ${after}` : ` ${way} from ${before} to ${after}`;
  return [['With this covered, '], named(c), [`${how} (filled with ${filled(fill)}).`]];
}

/**
 * And what it says now.
 * @param {Look} look
 */
export function secondCovered({ answer, covered }) {
  const first = covered.classes[0].find((one) => one.rank === 1), { head } = answer.model;
  const before = answer.classes.find((one) => one.rank === 1);
  const says = first && head === 'softmax'
    ? `It ${first.index === before.index ? 'still' : 'now'} says ${first.label} (${chance(first, true)}). ` : '';
  return `${says}A patch is itself something new to the network.`;
}

/** The largest of some falls. @param {Float32Array} fall */
export const greatest = (fall) => fall.reduce((a, b) => Math.max(a, b), 0);

/**
 * What covering each place does.
 * @param {Look} look
 * @param {{ fall: Float32Array, done: number }} tried
 * @param {boolean} lit
 * @returns {[string, string?][]}
 */
export function sayingTried({ answer, band }, { fall, done }, lit) {
  const c = shownClass(answer, band), falls = greatest(fall) > 0;
  if (!falls && done < fall.length) return [['One place after the other is covered: does '], named(c), [' fall?']];
  if (!falls) return [['Covering none of these places makes '], named(c), [' less likely.']];
  return [[lit ? 'Yellow' : 'Bright', lit ? 'yes' : undefined], [': where covering makes '], named(c),
    [` less likely, by ${percent(greatest(fall))} at most`]];
}

/** How far it is. */
export function secondTried({ h, w, done }, fill) {
  const all = h * w;
  return done < all ? `${done} of ${all} places tried …`
    : `All ${all} places were covered one by one with ${filled(fill)}, each as large as a cell of ${h}×${w}.`;
}

/** The line on the overlay: the layer and the method, too, where they are not the usual ones. @param {Look} look */
export function caption({ answer, grid, method, band, sign, covered }, tried = null) {
  const c = shownClass(answer, band);
  if (tried) return `where covering lowers ${c.label}`;
  const isLast = grid.row.name === answer.best, { key } = answer.model;
  const stage = isLast ? '' : plainStage(key, grid.row.shape, answer.detail);
  const at = method.of_picture ? '' : grid.row.name;
  const where = [stage, method.name, at, grids(grid.cells)].filter(Boolean).join(' · ');
  const what = method.class_agnostic ? 'the strongest pattern'
    : band === 'contrast' ? `${c.label} or ${classOf(answer, answer.rival).label}`
      : `what speaks ${sign === 'both' ? 'for and against' : sign} ${c.label}`;
  const usual = isLast && method.name === grid.row.film[band];
  return (usual ? what : `${what} · ${where}`) + (covered ? ' · covered' : '');
}

/**
 * The cell under the pointer: its number, and what it is a part of.
 * @param {Look} look
 * @param {number[]} cell row, column
 * @param {number | null} sum of all cells, where they add up to the score
 * @returns {[string, string]}
 */
export function tip({ answer, grid, method, band }, [i, j], sum) {
  const v = valueAt(grid, i * grid.w + j), n = placesOf(sum), part = (w) => sum === null ? signed(w, 2) : plus(w, n);
  if (method.class_agnostic) return [part(v), ''];
  if (band === 'contrast') {
    const { label } = classOf(answer, v < 0 ? answer.rival : answer.target);
    return [part(Math.abs(v)), `for ${label}`];
  }
  if (sum !== null) return [part(v), `of ${sum.toFixed(n)}`];
  return [part(v), v < 0 ? 'against' : `${percent(shareOf(grid, [i, j]))} of what speaks for it`];
}

/** How many places a part of a sum is printed with: two, or as many as two digits of the sum take. */
const placesOf = (sum) => Math.min(Math.max(2, sum && 1 - Math.floor(Math.log10(Math.abs(sum)))), 100);

/** With a plus or a minus; what is printed as nothing has neither. */
function plus(v, n) {
  const text = Math.abs(v).toFixed(n);
  return Number(text) ? (v < 0 ? '−' : '+') + text : text;
}

/**
 * What the cells add up to: the score without its fixed start.
 * @param {{ answer: Answer, band: Band }} look
 */
export function sumOf({ answer, band, covered }) {
  const score = covered ? covered.score
    : band === 'contrast' ? classOf(answer, answer.target).y - classOf(answer, answer.rival).y
      : shownClass(answer, band).y;
  return score - answer.starts[band];
}

/**
 * The sum in words.
 * @param {Look} look
 * @param {Grid} grid whose cells add up
 * @param {{ minus: object[], more: number, less: number, half: number }} laid
 * @param {boolean} shown whether this grid is the one in view
 */
export function aboutScore(look, grid, { minus, more, less, half }, shown) {
  const { answer, band } = look, c = shownClass(answer, band), all = sumOf(look), start = answer.starts[band];
  const n = placesOf(Math.max(more, -less)), part = (v) => plus(v, n).replace('+', '');
  const cells = `${grid.h * grid.w} cells`, elsewhere = !shown && 'the last grid’s sum:';
  const lead = Number((all + start).toFixed(n)) - Number(all.toFixed(n)); // so that what is printed adds up
  const starts = Number(lead.toFixed(n)) ? [plus(lead, n)] : [];
  const first = answer.classes.find((one) => one.rank === 1);
  if (band === 'contrast') {
    const other = classOf(answer, answer.rival), [ahead, behind] = all + start < 0 ? [other, c] : [c, other];
    return {
      before: elsewhere || `${cells}, plus and minus:`, sum: plus(all, n),
      line: [
        ...starts.map((v) => `their fixed starts ${v}`),
        `${ahead.label} scores ${part(Math.abs(all + start))} more than ${behind.label}`,
      ].join(' · '),
      texts: [`${part(more)} for ${c.label}`, `${part(-less)} for ${other.label}`],
      aloud: `${part(more)} for ${c.label}, ${part(-less)} for ${other.label}`,
    };
  }
  const scored = `score ${part(all + start)}`, bring = half === 1 ? '1 cell brings' : `${half} cells bring`;
  const line = isUnseen(c, answer.model.head) ? [`${scored}; ${first.label} gets ${first.y.toFixed(n)}`] : [
    ...starts.map((v) => `fixed start ${v}`),
    scored,
    `${bring} half of it`,
    ...(-less > 0.005 * more && /[1-9]/.test(part(-less))
      ? [`${minus.length} take${minus.length === 1 ? 's' : ''} away ${part(-less)}`] : []),
  ];
  return {
    before: elsewhere || `the ${cells} add up:`, sum: part(all), line: line.join(' · '),
    aloud: `${cells}, the strongest first, add up to ${part(all)}`,
  };
}

/** Why no sum is drawn. */
export const notASum = () => 'In this network the cells do not add up to the score: the map is not a sum here.';

const STAGES = { 112: 'edges', 56: 'edges', 28: 'textures', 14: 'patterns', 7: 'parts' }; // looked at, by grid

/** What a stage shows, in a plain word; empty where nobody looked. detail: its grid is twice as fine then. */
export const plainStage = (model, [side], detail = false) =>
  (model === 'efficientnet_lite0' && STAGES[detail ? side / 2 : side]) || '';

/** What a stage of the film is called. */
export const stageOf = (model, shape, isLast, detail = false) =>
  isLast ? 'last grid' : plainStage(model, shape, detail) || grids(shape);

/**
 * What a search says below the classes that it found.
 * @param {string} text
 * @param {{ rank: number }[]} hits
 * @param {number} shown how many of them
 */
export function unfound(text, hits, shown) {
  const word = text.trim();
  if (!word || hits[0]?.rank === 0) return '';
  if (!hits.length) return `There is no class “${word}”.`;
  const more = hits.length - shown, which = more ? `these ${shown} and ${more} more` : shown > 1 ? 'these' : 'this';
  return `There is no class “${word}”, only ${which}.`;
}

/**
 * A way to give the network its pixels, and what it then says.
 * @param {WayRow} way
 * @param {boolean} inPercent
 */
export function aboutWay({ words, label, p, used, favoured }, inPercent) {
  const said = label ? `${label} (${chance({ p }, inPercent)})` : 'no numbers come out';
  const more = [used ? 'in use' : '', favoured ? 'favoured' : ''].filter(Boolean).join(', ');
  return `${words[0].toUpperCase()}${words.slice(1)}: ${said}${more ? ` · ${more}` : ''}`;
}

/** What a method does. @param {MethodRow} method */
export function aboutMethod(method) {
  return [`${method.name}:`, method.line, method.against, `Cost: ${method.cost}.`].filter(Boolean).join(' ');
}

/** Why a map is empty; nothing if it is not. @param {Look} look */
export function emptiness({ grid, method, sign, top }) {
  if (!isEmpty(grid, sign, top)) return '';
  if (grid.top === 0 && grid.bottom === 0 && grid.row.poor) return 'The map is empty.';
  if (grid.top === 0 && grid.bottom === 0) {
    const nothing = method.class_agnostic ? 'nothing is active in this layer'
      : 'this layer says nothing at all about the class';
    return `The map is empty: for this picture, ${nothing}.`;
  }
  if (sign === 'against') return 'The map is empty: no place at this layer speaks against the class.';
  const where = method.against ? 'is below zero' : 'speaks against the class';
  return `The map is empty: at this layer every place ${where}, and the ReLU sets such places to zero.`;
}

/**
 * The strongest colour stands for the strongest evidence of the sign that is shown, however weak.
 * @param {Look} look
 */
export function weakness({ grid, method, sign }) {
  if (sign === 'both' || method.against) return '';
  const [shown, hidden, other] = sign === 'for' ? [grid.top, grid.bottom, 'against'] : [grid.bottom, grid.top, 'for'];
  if (!(shown > 0) || shown >= 0.1 * hidden) return '';
  return `The strongest evidence ${sign} is ${percent(shown / hidden)} of the strongest evidence ${other}.`;
}

/**
 * What to be careful with, whatever method and sign are shown.
 * @param {Look} look
 * @returns {string[]}
 */
export function cautions({ answer, grid, band, sign }) {
  const sentences = [], beyond = shareBeyond(grid, sign);
  if (grid.row.poor) sentences.push(`This is not a good layer to explain with: ${grid.row.poor}.`);
  if (beyond > 0.1) {
    sentences.push(
      `The network puts a rim round the picture. ${percent(beyond)} of the evidence lies there, and is not drawn.`,
    );
  }
  if (answer.detail) {
    const c = shownClass(answer, band), { input, percent: inPercent } = answer.model;
    const [usual, wide] = [c.p, answer.twice[answer.classes.indexOf(c)]].map((p) => chance({ p }, inPercent));
    const said = usual === wide ? `${usual}, too` : `${wide}, not ${usual}`;
    sentences.push(
      `This map is made at ${grids(input)}, twice the network’s usual side: finer, but there it gives ` +
      `${c.label} ${said}.`,
    );
  }
  return sentences;
}

/**
 * All there is to be careful with.
 * @param {Look} look
 * @returns {string[]}
 */
export function warnings(look) {
  return [emptiness(look), weakness(look), ...cautions(look)].filter(Boolean);
}

/**
 * What else is to be known of a map.
 * @param {Look} look
 * @param {string[]} twins methods that give the same one
 * @param {string} [known] of this method at this layer, with a place for its name
 * @returns {string[]}
 */
export function notes({ answer, grid, method }, twins, known = '') {
  const sentences = known ? [known.replaceAll('{method}', method.name)] : [], { tokens } = grid.row;
  if (tokens) sentences.push(tokens);
  if (grid.placement) {
    sentences.push(
      'On its way to this layer the picture is cropped, padded, mirrored or turned. The map is drawn where its cells ' +
      'come from.',
    );
  }
  if (sharesScale(answer, method)) sentences.push('All three questions share one scale.');
  if (twins.length) {
    sentences.push(
      `At this layer ${listed(twins)} give the same map: the score’s gradient is the same at every place, as it is ` +
      'where the network only averages over the places after this layer.',
    );
  }
  if (grid.h < grid.cells[0]) {
    const averages = grids([grid.h, grid.w]), cells = grids(grid.cells);
    sentences.push(`Drawn from ${averages} averages of its ${cells} cells; the figure has them all.`);
  }
  return sentences;
}

/**
 * Whether the map in view is to be doubted aloud: it was measured to mislead, or loses places that another keeps.
 * @param {Look} look
 * @param {string} known of the method in view at this layer, a key of the verdicts
 */
export const isDoubtful = ({ grid, method, band, covered }, known) =>
  !covered && (known === 'worse' || known === 'mean' && grid.row.film[band] !== method.name);

/**
 * The method to go to from a map that is doubted; empty where none at this layer is better.
 * @param {Look} look
 * @param {string} known as of `isDoubtful`
 */
export function better(look, known) {
  const { film, verdicts } = look.grid.row, suits = film[look.band];
  return isDoubtful(look, known) && suits !== look.method.name && verdicts[suits] !== 'worse' ? suits : '';
}

/**
 * The cell that is read.
 * @param {Look} look
 * @param {number[]} cell row, column
 */
export function aboutCell({ answer, grid, method, band }, [i, j]) {
  const v = valueAt(grid, i * grid.w + j), { label } = shownClass(answer, band);
  const rather = band === 'contrast' ? [label, classOf(answer, answer.rival).label] : null;
  const whom = rather ? (v > 0 ? rather : rather.reverse()).join(' rather than ') : label;
  const what = method.class_agnostic ? 'the pattern' : `all evidence ${v > 0 || rather ? 'for' : 'against'} ${whom}`;
  const share = v < 0 && method.against ? ', set to zero by the ReLU'
    : v ? `, ${percent(shareOf(grid, [i, j]))} of ${what}` : '';
  return `Row ${i + 1}, column ${j + 1}: about ${number(v, 2)}${share}`;
}

/** What the network gets of the picture. @param {{ crop: boolean, input: number[] }} model */
const given = ({ crop, input }) => {
  return `the ${crop ? 'middle of the picture, made' : 'picture squashed to'} ${grids(input)}`;
};

const SCORES = { softmax: 'Score before softmax (logit)', sigmoid: 'Score before sigmoid', linear: 'Output' };

/**
 * The numbers behind a map: names and values.
 * @param {Look} look
 * @param {Box | null} box in pixels
 * @returns {[string, string][]}
 */
export function numbersBehind({ answer, grid, band, sign }, box) {
  const { head, title } = answer.model, [H, W] = answer.picture;
  const [a, b] = [answer.target, answer.rival].map((index) => classOf(answer, index));
  const about = (what, c) => [
    [what, `${c.label}, number ${c.index}`],
    [SCORES[head], number(c.y)],
    ...(answer.model.percent ? [['Probability', percent(c.p)]] : []),
    ['Rank', `${c.rank} of ${answer.count}`],
  ];
  const rows = about('Class', shownClass(answer, band));
  if (band === 'contrast') {
    rows.push(...about('Rather than', b), ['Difference of the two, the score explained', number(a.y - b.y)]);
  }
  rows.push(['Smallest and largest value before the ReLU', `${number(grid.min)} … ${number(grid.max)}`]);
  if (sign !== 'both') rows.push(['Places cut by the ReLU', percent(grid.cut[sign])]);
  if (box) {
    const edges = ['left', 'top', 'right', 'bottom'].map((edge, n) => `${edge} ${Math.round(box[n])}`).join(', ');
    rows.push(['Box', `${edges}, in a picture ${W} pixels wide and ${H} high`]);
  }
  rows.push(
    ['Grid, channels', `${grids(grid.cells)}, ${grid.row.shape[2]}`],
    ['What the network was given', given(answer.model)],
    ['Network', title],
  );
  return rows;
}

/**
 * The layer doctor's verdict.
 * @param {Answer['doctor'][number]} row
 * @param {string} best name of the layer to begin with
 * @param {string[]} [good] methods that may be believed there
 */
export function verdictOf([name, shape, , poor], best, good = []) {
  const first = name === best ? 'chosen; ' : '', trusted = good.length ? `; good with ${listed(good)}` : '';
  return first + (poor ? `poor: ${poor}` : `all goes through it, ${shape.join('×')}${trusted}`);
}

// ---- the steps: what each says of its numbers ------------------------------------------------

const quoted = (label) => `“${label}”`;

/** Pixels of the picture to a cell. */
/** With two decimals, and a minus that is one. */
export const twoDecimals = (x) => x.toFixed(2).replace(/^-0.00$/, '0.00').replace('-', '−');
export const few = (x) => x < 10 ? Number(x.toPrecision(2)) : Math.round(x);

const AFTER = { softmax: 'After softmax', sigmoid: 'After sigmoid', linear: 'Output' };

/**
 * The classes and their scores: a line of heads, then a line each; what softmax leaves for all others is the last.
 * @param {{ classes: ClassRow[], count: number, head: string, percent: boolean }} view
 * @returns {string[][]}
 */
export function scoreTable({ classes, count, head, percent: inPercent }) {
  const others = count - classes.length, whole = head === 'softmax' && others > 0;
  const two = (p) => Number((100 * p).toFixed(2)); // so that who adds them up gets 100
  const told = (p) => two(p) > 0 && two(p) < 100 ? `${two(p).toFixed(2)}\u00a0%` : percent(p);
  const lines = classes.map((c) => [c.label, number(c.y), whole ? told(c.p) : chance(c, inPercent)]);
  if (whole) {
    const rest = 100 - classes.reduce((sum, c) => sum + two(c.p), 0);
    lines.push([`the other ${others}`, '', told(Math.max(rest, 0) / 100)]);
  }
  return [['Class', 'Score y (logit)', AFTER[head]], ...lines];
}

/**
 * @param {Lesson} lesson
 * @param {{ label: string, classes: ClassRow[], unsure: boolean }} view
 */
export function aboutQuestion({ score }, { label, classes, unsure }) {
  const ask = unsure || classes.some((c) => c.y > score) ? 'speaks for it, and what against' : 'makes it so large';
  return `The question here: y = ${number(score)}, the score of ${quoted(label)}. What in the picture ${ask}?`;
}

/**
 * @param {Lesson} lesson
 * @param {Tile} tile the one that is followed
 */
export function aboutMaps(lesson, tile, label) {
  const [shown, all] = [lesson.tiles.length, lesson.shape[2]];
  const which = shown < all ? `Shown are the ${shown} that` : 'All are shown, those first that';
  return `Layer ${lesson.layer} has ${all} feature maps of ${grids(lesson.shape)} cells. ` +
    `${which} matter most for ${quoted(label)}.\n` +
    `You follow #${tile.k}: its mean is ${number(tile.strength)}. ` +
    'Click another one to follow it through the next three steps.';
}

/**
 * Whether the promise of the gradient holds for one nudge.
 * @param {number} rounding of the score
 */
export function verdict(predicted, found, rounding) {
  const size = Math.max(Math.abs(predicted), Math.abs(found)), apart = Math.abs(predicted - found) / (size || 1);
  const by = apart < 0.01 ? 'less than 1\u00a0%' : percent(apart);
  if (!size) return 'Neither changes anything.';
  if (apart <= 0.1) return `Here the promise holds: they differ by ${by}.`;
  if (apart * size < rounding) {
    return 'They differ by no more than the computer’s rounding; a larger nudge tells more.';
  }
  if (predicted * found < 0) return 'Here the promise is broken: the score goes the other way.';
  if (apart < 0.5) return `Here the promise begins to fail: they differ by ${by}.`;
  const times = predicted ? `${number(found / predicted, 2)} times the predicted one` : 'not zero';
  return `Here the promise does not hold: the true change is ${times}.`;
}

/**
 * @param {Nudge} nudge
 * @param {number} n which of its changes
 * @param {string} what was nudged
 * @param {boolean} even whether every cell has the same gradient
 * @param {number} rounding of the score
 */
export function aboutNudge(nudge, n, what, even, rounding) {
  const [size, predicted, found] = [nudge.steps[n], nudge.predicted[n], nudge.true[n]];
  const judgement = even && alwaysHolds(nudge)
    ? 'The promise holds for every nudge here: after this layer the network only averages and adds.'
    : verdict(predicted, found, rounding);
  return `Gradient of ${what}: ${number(nudge.g, 4)}.\n` +
    `Predicted change: ${number(nudge.g, 4)} × ${number(size, 4)} = ${number(predicted)}.  ` +
    `True change: ${number(found)}.\n${judgement}`;
}

/**
 * @param {Tile} tile
 * @param {number[]} shape h, w, K
 */
export function aboutPooling(tile, [h, w]) {
  return `Sum of the gradients: ${number(tile.total, 4)}.  Number of cells: ${h} × ${w} = ${tile.cells}.\n` +
    `Weight of filter #${tile.k}: ${number(tile.total, 4)} / ${tile.cells} = ${number(tile.alpha)}.`;
}

/** How many terms are added up. */
export function firstTerms(count, channels, k) {
  return count === 1 ? `the first of ${channels} terms, #${k}` : `the first ${count} of ${channels} terms`;
}

/**
 * @param {Station} station
 * @param {Tile} tile the one that is followed
 * @param {number} place of its term, from 1
 */
export function aboutSum(station, channels, tile, place) {
  const r = station.correlation.toFixed(3).replace('-', '−');
  return `With ${station.count} of ${channels} feature maps: ${percent(station.share)} of all that is added up, ` +
    `plus and minus counted alike. How much the map is like the whole one: ${r} ` +
    '(1: the same pattern; 0: nothing in common; −1: the opposite).\n' +
    `The term of #${tile.k}, which you follow, is number ${place} of them: ` +
    `its weight, ${number(tile.alpha)}, times its feature map.`;
}

/**
 * What the switchboard's score says.
 * @param {Term[]} off terms that are switched off
 * @param {Without | 'running' | 'failed'} score without them
 * @param {number} rounding of the score
 */
export function aboutSwitches(off, score, label, rounding) {
  if (!off.length) return 'Switch terms off and the network is run again without those channels.';
  if (score === 'running') return 'Running the network without them …';
  if (score === 'failed') return 'The network could not be run; switch once more.';
  const { before, after } = score, sum = off.reduce((all, term) => all + term.total, 0), change = after - before;
  const missed = Math.abs(change + sum);
  const kept = missed <= 0.01 * Math.abs(sum) ? 'As promised, within 1\u00a0%.'
    : missed <= rounding ? 'As promised, within the rounding of the score.'
      : 'Not as promised: a weight is only the mean of the gradients, and a gradient speaks of small changes.';
  const names = off.map((term) => `#${term.k}`).join(', '), sums = off.length > 1 ? 'their sums' : 'its sum';
  return `Score of ${quoted(label)} with all channels: ${number(before)}; ` +
    `with ${names} switched off: ${number(after)}.\n` +
    `Promised by ${sums}: ${signed(-sum)}. True change: ${signed(change)}. ${kept}`;
}

/**
 * @param {Whole} whole
 * @param {boolean} turned whether evidence against the class is kept
 */
export function aboutRelu(whole, turned) {
  const [cut, low, high] = turned ? [whole.above, -whole.max, -whole.min] : [whole.below, whole.min, whole.max];
  return (turned ? 'Turned round: what stays now is evidence against the class.\n' : '') +
    `Below zero and cut: ${cut} of ${whole.cells} cells, ${percent(cut / whole.cells)}.\n` +
    `Smallest value before: ${number(low)}; largest: ${number(high)}.`;
}

/**
 * @param {Lesson} lesson
 * @param {number[]} picture H, W
 */
export function aboutScaling({ shape: [h, w], placement, whole }, [H, W]) {
  const { box, rows, columns } = linesOf({ h, w, placement }), [high, wide] = sizeOfBox(box);
  const sizes = `${grids([h, w])} numbers become a picture ${W} pixels wide and ${H} high: one cell covers about ` +
    `${few(W * wide / columns)} by ${few(H * high / rows)} of them.\n`;
  if (whole.max <= 0) return `${sizes}No number is above zero, so the map is empty.`;
  const share = whole.max / -whole.min;
  const weak = share >= 0 && share < 0.1 ? ` It is weak: ${percent(share)} of the strongest evidence against.` : '';
  return `${sizes}Every number is divided by the largest, ${number(whole.max)}; ` +
    `so 1 is the strongest evidence, 0 none.${weak}`;
}

/** @param {Lesson} lesson */
export function aboutOverlay({ layer, whole }, label) {
  if (whole.max <= 0) {
    return 'The map is empty: this layer found no evidence for the class, ' +
      'so the overlay shows the lowest colour all over.';
  }
  return `This map says where layer ${layer} found evidence for ${quoted(label)}. It does not say that the answer is ` +
    'right, nor that the network needs those places: to know that, cover them in the picture and look again.';
}

/**
 * That a grid is drawn from fewer cells.
 * @param {number[]} sent h, w
 * @param {number[]} shape h, w, K
 */
export function averaged(sent, shape) {
  return `Drawn from ${grids(sent)} averages of the ${grids(shape)} cells, and so are the ends of the colour scales; ` +
    'the numbers in the text are those of all cells.';
}

/** What stands in a cell: in units, with so many places; "<0" for what is negative but rounds to nothing. */
export function digits(v, { unit, places }) {
  const text = (v / unit).toFixed(places);
  return v === 0 ? '0' : v < 0 && !Number(text) ? '<0' : text.replace('-', '−');
}

// ---- can I trust it? -------------------------------------------------------------------------

/**
 * What hiding does to the class.
 * @param {{ share: number, order: string }} hidden
 * @param {{ label: string }} topic
 * @param {string} before how likely it was
 * @param {string} after
 */
export function aboutHiding({ share, order, region }, { label }, before, after) {
  if (region) return `With what you drew hidden, ${label} goes from ${before} to ${after}.`;
  if (!share) return `With nothing hidden, the network gives ${label} ${before}.`;
  if (share === 1) return `With everything hidden, the network still gives ${label} ${after}.`;
  return `With the ${order} ${Math.round(100 * share)}\u00a0% hidden, ${label} goes from ${before} to ${after}.`;
}

