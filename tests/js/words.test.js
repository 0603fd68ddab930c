import assert from 'node:assert/strict';
import { test } from 'node:test';

import { gridOf } from '../../demo/viewer/maps.js';
import * as words from '../../demo/viewer/words.js';
import { BOTH, CHEETAH, FOR, LION, PATTERN, answerOf, packed } from './small.js';

/** With ordinary spaces and minus signs. */
const plain = (text) => text.replaceAll('\u00a0', ' ').replaceAll('−', '-');
const said = (found, wanted) => assert.equal(plain(found), wanted);

/** The pieces of a sentence, put together. */
const whole = (pieces) => pieces.map(([text]) => text).join('');

/** What is seen of a layer "x" of 1x2 cells. */
function look({
  cells = [[127, -127]], top = 4, bottom = 2, placement = null, method = BOTH, band = 'target', sign = 'for', ...more
} = {}) {
  const bands = ['target', 'rival', 'contrast'];
  const maps = Object.fromEntries(bands.map((b) => [`x ${b}/${method.name}`, [cells, top, bottom, placement]]));
  const { layers, bytes } = packed(maps), answer = answerOf(layers, more);
  const end = sign === 'for' ? top : sign === 'against' ? bottom : Math.max(top, bottom);
  return { answer, grid: gridOf(layers[0], bytes, method.name, band), method, band, sign, top: end };
}
const palette = (...colours) => Uint8Array.from(colours.flat());
const BRIGHT = palette([0, 0, 0], [255, 255, 255]);

// ---- numbers

test('percent: neither nothing nor certain unless it is', () => {
  for (const [p, text] of [
    [0, '0 %'], [1, '100 %'], [0.00009, 'below 0.01 %'], [0.99991, 'above 99.99 %'], [0.996, '99.60 %'],
    [0.994, '99 %'], [0.1, '10 %'], [0.0456, '4.6 %'], [0.00456, '0.46 %'], [0.0995, '10 %'], [0.0994, '9.9 %'],
  ]) said(words.percent(p), text);
});

test('percent: what lies in the middle goes to the even digit', () => {
  said(words.percent(0.125), '12 %');
  said(words.percent(0.375), '38 %');
  said(words.percent(0.0225), '2.2 %');
  said(words.percent(0.00125), '0.12 %');
});

test('a number has three digits, a whole one all', () => {
  for (const [x, text] of [
    [0, '0'], [-0, '0'], [12, '12'], [-123456, '-123456'], [1e6, '1.00e+6'], [1234.5, '1.23e+3'], [3.14159, '3.14'],
    [-0.5, '-0.500'], [0.000123456, '0.000123'], [1.234e-7, '1.23e-7'],
  ]) said(words.number(x), text);
  said(words.number(3.14159, 2), '3.1');
  said(words.signed(2), '+2');
  said(words.signed(-2), '-2');
  said(words.signed(0), '0');
});

test('names are listed as in a sentence', () => {
  assert.equal(words.listed(['A', 'B', 'C']), 'A, B and C');
  assert.equal(words.listed(['A', 'B']), 'A and B');
  assert.equal(words.listed(['A']), 'A');
});

test('the strong end of a palette is bright if it is the lightest, else it has a hue', () => {
  assert.equal(words.endOf(palette([68, 1, 84], [33, 144, 140], [253, 231, 37])), 'Bright');
  assert.equal(words.endOf(palette([48, 18, 59], [164, 252, 60], [122, 4, 3])), 'Red');
  assert.equal(words.endOf(palette([255, 255, 255], [8, 48, 107])), 'Blue');
  assert.equal(words.endOf(palette([255, 255, 255], [0, 68, 27])), 'Green');
  assert.equal(words.endOf(palette([255, 255, 255], [103, 0, 31])), 'Red', 'though it leans to blue');
  assert.equal(words.endOf(palette([255, 255, 255], [0, 0, 0])), 'Dark');
});

// ---- the viewer

const seen = (more, ...how) => whole(words.saying(look(more), ...(how.length ? how : [BRIGHT])));

test('what is seen', () => {
  said(seen({}), 'Bright: what speaks for lion (50 %)');
  said(seen({}, BRIGHT, true), 'Yellow: what speaks for lion (50 %)');
  said(seen({ sign: 'against' }, palette([255, 255, 255], [128, 0, 0])), 'Red: what speaks against lion (50 %)');
  said(seen({ sign: 'both' }), 'Red speaks for lion (50 %), blue against it.');
  said(seen({ method: PATTERN }), 'Bright: the strongest pattern here, the same for every class');
  said(seen({ top: 0 }), 'Nothing here speaks for lion (50 %).');
  const [first, , name] = words.saying(look(), BRIGHT, true);
  assert.deepEqual([first, name], [['Yellow', 'yes'], ['lion', 'name']], 'which words wear a colour');
});

test('what is seen of one class rather than another', () => {
  const at = (more) => seen({ rival: 293, ...more });
  said(at({ band: 'rival' }), 'Bright: what speaks for cheetah (25 %)');
  said(at({ band: 'contrast' }), 'Bright: what speaks for lion rather than cheetah');
  said(at({ band: 'contrast', sign: 'against' }), 'Bright: what speaks for cheetah rather than lion');
  said(at({ band: 'contrast', sign: 'both' }), 'Red speaks for lion, blue for cheetah.');
});

const ZEBRA = { index: 340, label: 'zebra', p: 0.0001, y: 0.3, rank: 307 };

test('a class that the network does not see is said to be so, and its faint map to be faint', () => {
  const more = { target: 340, classes: [LION, CHEETAH, ZEBRA], top: 1, strength: { 'x/Both': 4 } };
  said(seen(more), 'The network does not see a zebra: place 307 of 1000.');
  said(words.second(look(more), LION).text,
    'So the colour is faint, on the same scale as lion. Do not read much into it.');
  said(words.second(look({ ...more, top: 3 }), LION).text, 'Its first guess is lion (50 %).', 'it is not faint');
  const ibex = { ...ZEBRA, label: 'ibex', rank: 2 };
  said(seen({ ...more, classes: [LION, ibex] }), 'The network does not see an ibex: place 2 of 1000.');
  said(seen({ ...more, classes: [{ ...ZEBRA, rank: 1 }] }), 'Bright: what speaks for zebra (0.01 %)');
});

test('how sure the network is', () => {
  const sure = (more, rival) => words.second(look(more), rival ?? { index: 293, label: 'cheetah', p: 0.25 });
  assert.deepEqual({ ...sure({}), text: '' }, { text: '', asks: true });
  said(sure({}).text, 'It is not sure: cheetah comes second (25 %).');
  assert.equal(sure({}, { p: 0.09 }).asks, false, 'nobody asks about what is not likely');
  said(sure({}, { p: 0.09 }).text, 'It is not sure. Maybe it is none of its 1000 classes.');
  const classes = [{ index: 291, label: 'lion', p: 0.6, y: 8, rank: 1 }, { index: 7, label: 'dog', p: 0.1, rank: 2 }];
  said(sure({ classes }).text, 'It is quite sure. Next comes dog, with 10 %.');
  said(sure({ target: 293 }).text, 'Its first guess is lion (50 %).');
  said(sure({ rival: 293, band: 'contrast' }).text, 'What both share cancels out. What tells them apart is left.');
  assert.equal(sure({ model: { head: 'sigmoid' } }).text, '');
});

test('the line on the overlay names layer and method where they are not the usual ones', () => {
  const about = (film, more = {}) => {
    const now = look(more);
    now.grid.row.film = film;
    return words.caption(now);
  };
  assert.equal(about({ target: 'Both' }), 'what speaks for lion');
  assert.equal(about({ target: 'Other' }), 'what speaks for lion · Both · x · 1×2');
  assert.equal(about({ target: 'Both' }, { best: 'y' }), 'what speaks for lion · Both · x · 1×2');
  assert.equal(about({ target: 'Both' }, { sign: 'both' }), 'what speaks for and against lion');
  assert.equal(about({ contrast: 'Both' }, { rival: 293, band: 'contrast' }), 'lion or cheetah');
  assert.equal(about({ target: 'Pattern' }, { method: PATTERN }), 'the strongest pattern');
});

test('of covering each place in turn no more is said than was tried', () => {
  const tried = (fall, done) => whole(words.sayingTried(look(), { fall: Float32Array.of(...fall), done }, true));
  said(tried([0, 0, 0], 1), 'One place after the other is covered: does lion fall?');
  said(tried([0, 0, 0], 3), 'Covering none of these places makes lion less likely.');
  said(tried([0.125, 0.25, 0], 2), 'Yellow: where covering makes lion less likely, by 25 % at most');
  assert.equal(words.caption(look(), { done: 1 }), 'where covering lowers lion', 'not what speaks for it');
});

test('a cell under the pointer is a part of the sum, of what speaks for the class, or of a contrast', () => {
  const cells = [[127, 127, -127, 0]];
  const tip = (cell, sum, more) => plain(words.tip(look({ cells, top: 0.471, ...more }), [0, cell], sum).join(' '));
  assert.equal(tip(0, 7.516), '+0.47 of 7.52');
  assert.equal(tip(0, null), '+0.47 50 % of what speaks for it');
  assert.equal(tip(2, null), '-2 against');
  assert.equal(tip(2, 7.516, { bottom: 0.004 }), '0.00 of 7.52', 'there is no minus nothing');
  assert.equal(tip(2, 1.1, { rival: 293, band: 'contrast' }), '+2.00 for cheetah');
  assert.equal(tip(0, 1.1, { rival: 293, band: 'contrast' }), '+0.47 for lion');
});

test('the cells add up to the score without its fixed start', () => {
  const one = look({ cells: [[127, -127]], top: 9, bottom: 0.96, starts: { target: -0.04 } });
  assert.equal(words.sumOf(one).toFixed(2), '8.04');
  const laid = { minus: [{}], more: 9, less: -0.96, half: 1 }, about = words.aboutScore(one, one.grid, laid, true);
  said(about.before, 'the 2 cells add up:');
  said(about.sum, '8.04');
  said(about.line, 'fixed start -0.04 · score 8.00 · 1 cell brings half of it · 1 takes away 0.96'); // 8.04 - 0.04
  said(words.aboutScore(one, one.grid, laid, false).before, 'the last grid’s sum:');
  // 0.0046 less 0.0009 is 0.0037: two places would say that nothing adds up to nothing
  const lion = { ...LION, y: 0.0037 }, few = look({ cells: [[127, -127]], starts: { target: 0 }, classes: [lion] });
  const small = words.aboutScore(few, few.grid, { minus: [{}], more: 0.0046, less: -0.0009, half: 1 }, true);
  said(small.sum, '0.0037');
  said(small.line, 'score 0.0037 · 1 cell brings half of it · 1 takes away 0.0009');
  const none = { minus: [{}, {}], more: 0.16, less: -0.004, half: 42 }, hardly = look({ starts: { target: 0 } });
  assert.doesNotMatch(words.aboutScore(hardly, hardly.grid, none, true).line, /away/, '0.00 is nothing');
  const two = look({ rival: 293, band: 'contrast', starts: { contrast: 0.5 } });
  assert.equal(words.sumOf(two), 1.5);
  const pair = words.aboutScore(two, two.grid, { minus: [], more: 2, less: -0.5, half: 1 }, true);
  said(pair.sum, '+1.50');
  said(pair.line, 'their fixed starts +0.50 · lion scores 2.00 more than cheetah'); // 1.5 + 0.5, and 8 - 6
});

test('a sum is right as it is printed', () => {
  const lion = { ...LION, y: 1.25 }, one = look({ starts: { target: 0.125 }, classes: [lion] }); // 1.125 + 0.125
  const about = words.aboutScore(one, one.grid, { minus: [], more: 1.125, less: 0, half: 2 }, true);
  said(about.sum, '1.13'); // 1.13 + 0.13 is not 1.25
  said(about.line, 'fixed start +0.12 · score 1.25 · 2 cells bring half of it');
  const cheetah = { ...CHEETAH, y: 9 };
  const two = look({ rival: 293, band: 'contrast', starts: { contrast: 0 }, classes: [LION, cheetah] });
  said(words.aboutScore(two, two.grid, { minus: [], more: 1, less: -2, half: 1 }, true).line,
    'cheetah scores 1.00 more than lion', 'who leads comes first');
});

test('a search that finds no class of that name says so', () => {
  assert.equal(words.unfound('lion', [{ rank: 0 }, { rank: 1 }], 2), '');
  assert.equal(words.unfound('cat', [{ rank: 1 }, { rank: 1 }], 2), 'There is no class “cat”, only these.');
  assert.equal(words.unfound('cat', [{ rank: 1 }], 1), 'There is no class “cat”, only this.');
  assert.equal(words.unfound('c', Array(20).fill({ rank: 3 }), 8),
    'There is no class “c”, only these 8 and 12 more.');
  assert.equal(words.unfound(' xyz ', [], 0), 'There is no class “xyz”.');
  assert.equal(words.unfound(' ', [], 0), '');
});

test('the stages of the film have names where somebody looked', () => {
  assert.equal(words.stageOf('efficientnet_lite0', [28, 28, 40], false), 'textures');
  assert.equal(words.stageOf('efficientnet_lite0', [7, 7, 1280], true), 'last grid');
  assert.equal(words.stageOf('efficientnet_lite0', [56, 56, 40], false, true), 'textures', 'with Detail');
  assert.equal(words.stageOf('vgg16', [28, 28, 512], false), '28×28');
  const now = look({ model: { key: 'efficientnet_lite0' }, best: 'y' });
  now.grid.row.shape = [7, 7, 192];
  assert.match(words.caption(now), / · parts · Both · x · /, 'a plain word beside the name');
});

test('why a map is empty', () => {
  assert.equal(words.emptiness(look()), '');
  assert.equal(words.emptiness(look({ top: 0, bottom: 0 })),
    'The map is empty: for this picture, this layer says nothing at all about the class.');
  assert.equal(words.emptiness(look({ top: 0, bottom: 0, method: PATTERN })),
    'The map is empty: for this picture, nothing is active in this layer.');
  assert.equal(words.emptiness(look({ top: 0 })), 'The map is empty: at this layer every place speaks against the ' +
    'class, and the ReLU sets such places to zero.');
  assert.equal(words.emptiness(look({ top: 0, method: FOR })), 'The map is empty: at this layer every place is below ' +
    'zero, and the ReLU sets such places to zero.');
  assert.equal(words.emptiness(look({ bottom: 0, sign: 'against' })),
    'The map is empty: no place at this layer speaks against the class.');
});

test('weak evidence in strong colours is said to be weak', () => {
  said(words.weakness(look({ top: 0.5, bottom: 10 })),
    'The strongest evidence for is 5.0 % of the strongest evidence against.');
  said(words.weakness(look({ top: 10, bottom: 0.5, sign: 'against' })),
    'The strongest evidence against is 5.0 % of the strongest evidence for.');
  assert.equal(words.weakness(look({ top: 1, bottom: 10 })), '', 'a tenth is enough');
  assert.equal(words.weakness(look({ top: 0.5, bottom: 10, sign: 'both' })), '');
  assert.equal(words.weakness(look({ top: 0, bottom: 10 })), '', 'it is empty');
});

test('what to be careful with', () => {
  const poor = look({ top: 0, bottom: 0, detail: true, twice: [0.015, 0.25, 0.05], rival: 293 });
  poor.grid.row.poor = 'it is only one place';
  assert.deepEqual(words.warnings(poor), [
    'The map is empty.', // and why is said next
    'This is not a good layer to explain with: it is only one place.',
    'This map is made at 224×224, twice the network’s usual side: finer, but there it gives lion 1.5\u00a0%, ' +
    'not 50\u00a0%.',
  ]);
  const same = words.cautions({ ...poor, band: 'rival' }).at(-1);
  assert.match(same, /there it gives cheetah 25\u00a0%, too\.$/);
  assert.deepEqual(words.warnings(look({ method: FOR, rival: 293 })), []);
});

test('methods that give the same map are named, and averages are said to be such', () => {
  const now = look();
  assert.deepEqual(words.notes(now, []), []);
  assert.deepEqual(words.notes(now, [], '{method} is good here, {method}!'), ['Both is good here, Both!']);
  assert.deepEqual(words.notes(look({ rival: 293 }), []), ['All three questions share one scale.']);
  assert.deepEqual(words.notes(now, ['A', 'B']), ['At this layer A and B give the same map: the score’s gradient is ' +
    'the same at every place, as it is where the network only averages over the places after this layer.']);
  now.grid.row.tokens = 'Its cells read from each other.';
  assert.deepEqual(words.notes(now, []), ['Its cells read from each other.']);
  now.grid.row.tokens = '';
  now.grid.cells = [10, 20];
  assert.deepEqual(words.notes(now, []), ['Drawn from 1×2 averages of its 10×20 cells; the figure has them all.']);
});

test('from a method that averages over places it is one click to the one that suits the layer', () => {
  const now = look();
  now.grid.row.film = { target: 'For' };
  now.grid.row.verdicts = { For: 'better' };
  assert.equal(words.better(now, 'mean'), 'For');
  assert.equal(words.better(now, 'worse'), 'For');
  for (const known of ['better', 'alike', 'exact', 'unknown']) assert.equal(words.better(now, known), '');
  assert.equal(words.better({ ...now, covered: {} }, 'mean'), '', 'a covered picture has one method only');
  assert.equal(words.better({ ...now, method: FOR }, 'worse'), '', 'it is that one');
  now.grid.row.verdicts = { For: 'worse' };
  assert.equal(words.better(now, 'worse'), '', 'none at this layer is to be trusted');
});

test('what was measured to mislead is doubted aloud, whichever method the page has chosen', () => {
  const now = look();
  now.grid.row.film = { target: 'For' };
  assert.ok(words.isDoubtful({ ...now, method: FOR }, 'worse'));
  assert.ok(words.isDoubtful(now, 'worse'));
  assert.ok(words.isDoubtful(now, 'mean'));
  assert.ok(!words.isDoubtful({ ...now, method: FOR }, 'mean'), 'it is the one that suits the layer');
  for (const known of ['better', 'alike', 'exact', 'unknown']) assert.ok(!words.isDoubtful(now, known));
  assert.ok(!words.isDoubtful({ ...now, covered: {} }, 'worse'));
});

test('that a map lies elsewhere is said, and what of it cannot be drawn', () => {
  const cropped = look({ placement: [0.5, 0, 0.25, 0, 0.5, 0.25] });
  assert.match(words.notes(cropped, [])[0], /^On its way to this layer the picture is cropped/);
  assert.deepEqual(words.warnings(cropped), []);
  const around = (first, sign = 'for') => look({
    cells: [[first, 127, -127]], top: 127, bottom: 127, placement: [1, 0, 0, 0, 3, -1], sign, // the middle one is in
  });
  assert.deepEqual(words.cautions(around(14)), []);
  assert.deepEqual(words.cautions(around(127)).map(plain),
    ['The network puts a rim round the picture. 50 % of the evidence lies there, and is not drawn.']);
  assert.match(words.cautions(around(0, 'both'))[0], /50/);
});

test('the cell that is read', () => {
  const cells = [[127, 127, -127], [0, -127, -127]];
  said(words.aboutCell(look({ cells }), [0, 1]), 'Row 1, column 2: about 4, 50 % of all evidence for lion');
  said(words.aboutCell(look({ cells }), [1, 1]), 'Row 2, column 2: about -2, 33 % of all evidence against lion');
  const contrast = look({ cells, rival: 293, band: 'contrast' });
  said(words.aboutCell(contrast, [0, 1]),
    'Row 1, column 2: about 4, 50 % of all evidence for lion rather than cheetah');
  said(words.aboutCell(contrast, [1, 1]),
    'Row 2, column 2: about -2, 33 % of all evidence for cheetah rather than lion');
  said(words.aboutCell(look({ cells }), [1, 0]), 'Row 2, column 1: about 0');
  said(words.aboutCell(look({ cells, method: PATTERN }), [0, 0]), 'Row 1, column 1: about 4, 50 % of the pattern');
  said(words.aboutCell(look({ cells, method: FOR }), [0, 2]), 'Row 1, column 3: about -2, set to zero by the ReLU');
});

test('the numbers behind a map', () => {
  const rows = (more, box = null) => words.numbersBehind(look(more), box).map(([name, text]) => [name, plain(text)]);
  assert.deepEqual(rows({}), [
    ['Class', 'lion, number 291'],
    ['Score before softmax (logit)', '8'],
    ['Probability', '50 %'],
    ['Rank', '1 of 1000'],
    ['Smallest and largest value before the ReLU', '-2 … 4'],
    ['Places cut by the ReLU', '25 %'],
    ['Grid, channels', '1×2, 8'],
    ['What the network was given', 'the picture squashed to 224×224'],
    ['Network', 'Net'],
  ]);
  assert.equal(Object.fromEntries(rows({ sign: 'against' }))['Places cut by the ReLU'], '50 %');
  assert.equal(Object.fromEntries(rows({ sign: 'both' }))['Places cut by the ReLU'], undefined);
  assert.equal(Object.fromEntries(rows({}, [1.4, 2.6, 30, 40]))['Box'],
    'left 1, top 3, right 30, bottom 40, in a picture 512 pixels wide and 256 high');
  const two = rows({ rival: 293, band: 'contrast' });
  assert.deepEqual([two[0], two[4], two[8]], [
    ['Class', 'lion, number 291'], ['Rather than', 'cheetah, number 293'],
    ['Difference of the two, the score explained', '2'],
  ]);
  const linear = rows({ model: { head: 'linear', percent: false, title: 'Net', input: [8, 9] } });
  assert.deepEqual(linear[1], ['Output', '8']);
  assert.equal(Object.fromEntries(linear).Probability, undefined);
  assert.equal(Object.fromEntries(linear)['What the network was given'], 'the picture squashed to 8×9');
});

test('the doctor’s verdict', () => {
  assert.equal(words.verdictOf(['x', [7, 9, 32], 'Conv2D', ''], 'x'),
    'chosen; all goes through it, 7×9×32');
  assert.equal(words.verdictOf(['x', [7, 9, 32], 'Conv2D', ''], 'y', ['A', 'B']),
    'all goes through it, 7×9×32; good with A and B');
  assert.equal(words.verdictOf(['x', [7, 9, 32], 'Conv2D', 'too early'], 'y'), 'poor: too early');
  assert.equal(words.verdictOf(['x', [7, 9, 32], 'Conv2D', 'too early'], 'x'), 'chosen; poor: too early');
});

// ---- the steps

const LESSON = {
  layer: 'x', shape: [7, 14, 64], score: 3, tiles: [{}, {}],
  whole: { cells: 98, below: 49, above: 40, min: -4, max: 2 },
};
const TILE = { k: 5, alpha: 0.25, strength: 1.5, total: 24.5, cells: 98 };

test('the classes and their scores, and what is left for all others', () => {
  const classes = [{ label: 'lion', y: 8, p: 0.75 }, { label: 'cheetah', y: 6.5, p: 0.125 }];
  const asked = { classes, count: 12, percent: true };
  const lines = (more) => words.scoreTable({ ...asked, ...more }).map((line) => line.map(plain));
  assert.deepEqual(lines({ head: 'softmax' }), [
    ['Class', 'Score y (logit)', 'After softmax'],
    ['lion', '8', '75.00 %'],
    ['cheetah', '6.50', '12.50 %'],
    ['the other 10', '', '12.50 %'],
  ]);
  const odd = [0.45976, 0.16094, 0.01285, 0.00004].map((p, n) => ({ label: `${n}`, y: n, p }));
  const shares = lines({ head: 'softmax', classes: odd }).slice(1).map((line) => line[2]);
  assert.deepEqual(shares, ['45.98 %', '16.09 %', '1.29 %', 'below 0.01 %', '36.64 %']); // 100 in all
  assert.equal(lines({ head: 'softmax', classes: [{ label: 'a', y: 9, p: 0.99999 }] })[1][2], 'above 99.99 %');
  assert.equal(lines({ head: 'softmax', count: 2 }).length, 3);
  assert.deepEqual(lines({ head: 'sigmoid' }).slice(-1), [['cheetah', '6.50', '12 %']]);
  assert.deepEqual(lines({ head: 'linear', percent: false }).slice(0, 2), [
    ['Class', 'Score y (logit)', 'Output'], ['lion', '8', '0.750'],
  ]);
});

test('the score asks, and the feature maps answer', () => {
  const view = { label: 'lion', classes: [{ y: 3 }, { y: 1 }], unsure: false };
  said(words.aboutQuestion(LESSON, view),
    'The question here: y = 3, the score of “lion”. What in the picture makes it so large?');
  const second = { ...view, classes: [{ y: 3 }, { y: 4 }] };
  for (const modest of [{ ...view, unsure: true }, second]) {
    assert.match(words.aboutQuestion(LESSON, modest), /What in the picture speaks for it, and what against\?$/);
  }
  said(words.aboutMaps(LESSON, TILE, 'lion'),
    'Layer x has 64 feature maps of 7×14 cells. Shown are the 2 that matter most for “lion”.\n' +
    'You follow #5: its mean is 1.50. Click another one to follow it through the next three steps.');
  const all = words.aboutMaps({ ...LESSON, shape: [7, 14, 2] }, TILE, 'lion');
  assert.match(all, /All are shown, those first that matter most for “lion”\.\n/);
});

test('whether the promise of a gradient holds', () => {
  for (const [predicted, found, text] of [
    [0, 0, 'Neither changes anything.'],
    [1, 0.999, 'Here the promise holds: they differ by less than 1 %.'],
    [1, 0.92, 'Here the promise holds: they differ by 8.0 %.'],
    [1e-7, -1e-7, 'They differ by no more than the computer’s rounding; a larger nudge tells more.'],
    [1, -1, 'Here the promise is broken: the score goes the other way.'],
    [1, 0.75, 'Here the promise begins to fail: they differ by 25 %.'],
    [1, 3, 'Here the promise does not hold: the true change is 3 times the predicted one.'],
    [0, 3, 'Here the promise does not hold: the true change is not zero.'],
  ]) said(words.verdict(predicted, found, 1e-6), text);
  const nudge = { steps: [-1, 2], predicted: [-0.5, 1], true: [-0.5, 1.25], g: 0.5 };
  const told = (change, even) => plain(words.aboutNudge({ ...nudge, ...change }, 1, '#5 at row 1', even, 1e-6));
  const numbers = 'Gradient of #5 at row 1: 0.5000.\nPredicted change: 0.5000 × 2 = 1.  True change: ';
  const always = 'The promise holds for every nudge here: after this layer the network only averages and adds.';
  assert.equal(told({}, true), `${numbers}1.25.\nHere the promise begins to fail: they differ by 20 %.`);
  assert.equal(told({ true: [-0.5, 1] }, true), `${numbers}1.\n${always}`);
  assert.equal(told({ true: [-0.5, 1] }, false),
    `${numbers}1.\nHere the promise holds: they differ by less than 1 %.`);
});

test('the weight is a mean, and the terms are added up', () => {
  said(words.aboutPooling(TILE, [7, 14, 64]),
    'Sum of the gradients: 24.50.  Number of cells: 7 × 14 = 98.\nWeight of filter #5: 24.50 / 98 = 0.250.');
  assert.equal(words.firstTerms(1, 64, 5), 'the first of 64 terms, #5');
  assert.equal(words.firstTerms(3, 64, 5), 'the first 3 of 64 terms');
  said(words.aboutSum({ count: 3, share: 0.5, correlation: -0.25 }, 64, TILE, 2),
    'With 3 of 64 feature maps: 50 % of all that is added up, plus and minus counted alike. ' +
    'How much the map is like the whole one: -0.250 (1: the same pattern; 0: nothing in common; -1: the opposite).\n' +
    'The term of #5, which you follow, is number 2 of them: its weight, 0.250, times its feature map.');
});

test('what the switchboard promised', () => {
  const off = [{ k: 5, total: 2 }, { k: 9, total: -0.5 }];
  const told = (terms, score) => plain(words.aboutSwitches(terms, score, 'lion', 1e-5));
  assert.equal(told([], 'running'), 'Switch terms off and the network is run again without those channels.');
  assert.equal(told(off, 'running'), 'Running the network without them …');
  assert.equal(told(off, 'failed'), 'The network could not be run; switch once more.');
  assert.equal(told(off, { before: 8, after: 6.5 }),
    'Score of “lion” with all channels: 8; with #5, #9 switched off: 6.50.\n' +
    'Promised by their sums: -1.50. True change: -1.50. As promised, within 1 %.');
  assert.match(told(off.slice(0, 1), { before: 8, after: 7 }),
    /Promised by its sum: -2\. True change: -1\. Not as promised: a weight is only the mean of the gradients/);
  assert.match(told([{ k: 5, total: 1e-6 }], { before: 8, after: 8 }),
    /As promised, within the rounding of the score\.$/);
});

test('what the ReLU cuts, either way round', () => {
  said(words.aboutRelu(LESSON.whole, false),
    'Below zero and cut: 49 of 98 cells, 50 %.\nSmallest value before: -4; largest: 2.');
  said(words.aboutRelu(LESSON.whole, true),
    'Turned round: what stays now is evidence against the class.\n' +
    'Below zero and cut: 40 of 98 cells, 41 %.\nSmallest value before: -2; largest: 4.');
});

test('scaling up: rows and columns, and what 1 stands for', () => {
  const told = (whole) => plain(words.aboutScaling({ ...LESSON, whole }, [70, 1400]));
  assert.equal(told(LESSON.whole),
    '7×14 numbers become a picture 1400 pixels wide and 70 high: one cell covers about 100 by 10 of them.\n' +
    'Every number is divided by the largest, 2; so 1 is the strongest evidence, 0 none.');
  assert.match(told({ min: -100, max: 2 }), /0 none\. It is weak: 2\.0 % of the strongest evidence against\.$/);
  assert.match(told({ min: 0, max: 2 }), /0 none\.$/);
  assert.match(told({ min: 1, max: 2 }), /0 none\.$/);
  assert.match(told({ min: -4, max: 0 }), /No number is above zero, so the map is empty\.$/);
  const turned = { ...LESSON, placement: [0, 0.5, 0, 0.5, 0, 0] }; // 14 columns over 35 rows, 7 rows over 700 columns
  assert.match(plain(words.aboutScaling(turned, [70, 1400])), /: one cell covers about 100 by 2\.5 of them\.\n/);
  assert.equal(words.few(3.456), 3.5);
  assert.equal(words.few(34.56), 35);
});

test('what the overlay does not say', () => {
  assert.match(words.aboutOverlay(LESSON, 'lion'), /^This map says where layer x found evidence for “lion”\./);
  assert.match(words.aboutOverlay({ ...LESSON, whole: { max: 0 } }, 'lion'), /^The map is empty/);
});

test('averages are said to be such', () => {
  assert.equal(words.averaged([28, 56], [56, 112, 16]), 'Drawn from 28×56 averages of the 56×112 cells, and so are ' +
    'the ends of the colour scales; the numbers in the text are those of all cells.');
});

test('what stands in a cell', () => {
  const cell = (v) => plain(words.digits(v, { unit: 1, places: 1 }));
  assert.deepEqual([0, 0.24, -0.26, -0.04, 0.04].map(cell), ['0', '0.2', '-0.3', '<0', '0.0']);
  assert.equal(words.digits(1200, { unit: 1000, places: 1 }), '1.2');
});
