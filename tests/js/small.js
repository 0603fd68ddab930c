// A small answer of the server, by hand: two layers of 2x3 and 1x2 cells, two classes, two methods.

export const BOTH = { name: 'Both', line: 'Adds.', cost: 'little', paper: '', against: '', class_agnostic: false };
export const TWIN = { ...BOTH, name: 'Twin' };
export const FOR = { ...BOTH, name: 'For', against: 'It cannot show what speaks against the class.' };
export const PATTERN = { ...FOR, name: 'Pattern', class_agnostic: true };

/** Maps one after another: { 'layer band/method': [cells, top, bottom, placement] } -> rows of the answer, bytes. */
export function packed(maps) {
  const rows = {}, bytes = [];
  for (const [key, [cells, top, bottom, placement = null]] of Object.entries(maps)) {
    const [name, which] = key.split(' '), sent = [cells.length, cells[0].length];
    rows[name] ??= { name, shape: [...sent, 8], poor: '', suggested: true, tokens: '', film: {}, maps: {} };
    const cut = { for: 0.25, against: 0.5 };
    const numbers = { top, bottom, min: -bottom, max: top };
    rows[name].maps[which] = { at: bytes.length, sent, cells: sent, ...numbers, cut, placement };
    bytes.push(...cells.flat());
  }
  return { layers: Object.values(rows), bytes: Int8Array.from(bytes) };
}

export const LION = { index: 291, label: 'lion', p: 0.5, y: 8, rank: 1 };
export const CHEETAH = { index: 293, label: 'cheetah', p: 0.25, y: 6, rank: 2 };
export const HYENA = { index: 276, label: 'hyena', p: 0.05, y: 3, rank: 3 };

export function answerOf(layers, more = {}) {
  return {
    layers, classes: [LION, CHEETAH, HYENA], target: 291, rival: null, detail: false, count: 1000,
    model: { key: 'net', title: 'Net', head: 'softmax', percent: true, input: [224, 224] },
    picture: [256, 512], best: layers[0]?.name, strength: {}, starts: { target: null }, ...more,
  };
}
