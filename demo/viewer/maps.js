// Numbers to numbers: which map is shown, what its bytes stand for, which colours it gets. No page and no state: all
// that a function needs is handed to it. Maps and heats are row by row; h, w is a layer's grid, H, W a picture.

/** @import { Answer, ClassRow, MethodRow, Nudge, Row, StepMap } from './wire.js' */

/**
 * A map of an answer with its bytes.
 * @typedef {object} Grid
 * @property {Row} row the layer
 * @property {number} h
 * @property {number} w
 * @property {number[]} cells h, w as it was made; fewer are sent where they are many
 * @property {Int8Array} q (h w,)
 * @property {number} top
 * @property {number} bottom
 * @property {number} min
 * @property {number} max
 * @property {{ for: number, against: number }} cut
 * @property {number[] | null} placement as of a Lattice
 */

/**
 * Where a grid lies in the picture: over all of it; or by its placement, six numbers, a to f. A place u, v of the grid,
 * in 0..1, is then in row a u + b v + c and column d u + e v + f, both as shares of the picture's sides.
 * @typedef {{ h: number, w: number, placement?: number[] | null }} Lattice
 */

/** @typedef {{ at: number, v: number }} Piece a cell: where it is in its map, and its value */
/** @typedef {'for' | 'against' | 'both'} Sign */
/** @typedef {'target' | 'rival' | 'contrast'} Band the class, the one it is held against, the one rather than it */
/** @typedef {[number, number, number, number]} Box left, top, right, bottom */

// ---- what is in an answer --------------------------------------------------------------------

/** Base64 -> bytes. */
export const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
export const signedBytesOf = (text) => new Int8Array(bytesOf(text).buffer);

/** @param {{ top: number, bottom: number, q: Int8Array }} map */
export const valueAt = (map, i) => map.q[i] * (map.q[i] > 0 ? map.top : map.bottom) / 127;

/**
 * @param {Answer} answer
 * @returns {Row | undefined}
 */
export const rowOf = (answer, layer) => answer.layers.find((row) => row.name === layer);

/**
 * @param {Answer} answer
 * @returns {ClassRow | undefined}
 */
export const classOf = (answer, index) => answer.classes.find((c) => c.index === index);

/**
 * The class that is explained; of a comparison of two the first.
 * @param {Answer} answer
 * @param {Band} band
 */
export const shownClass = (answer, band) => classOf(answer, band === 'rival' ? answer.rival : answer.target);

/**
 * @param {Answer} answer
 * @returns {Band[]}
 */
export const bandsOf = (answer) => answer.rival === null ? ['target'] : ['target', 'rival', 'contrast'];

/**
 * @param {Row} row
 * @param {Int8Array} bytes of the answer
 * @param {Band} band
 * @returns {Grid}
 */
export function gridOf(row, bytes, method, band) {
  const map = row.maps[`${band}/${method}`], [h, w] = map.sent;
  return { ...map, row, h, w, q: bytes.subarray(map.at, map.at + h * w) };
}

/**
 * Which layer of a new answer to show, and which one to ask for because it was not sent.
 * @param {Answer | null} before
 * @param {Answer} answer
 * @param {string | null} shown the layer in view
 * @param {string} [wanted] a layer that was on its way
 * @returns {{ layer: string, missing: string | null }}
 */
export function layerAfter(before, answer, shown, wanted = shown) {
  const isKnown = before?.model.key === answer.model.key && answer.doctor.some(([name]) => name === wanted);
  if (rowOf(answer, wanted)) return { layer: wanted, missing: null };
  return { layer: rowOf(answer, shown) ? shown : answer.best, missing: isKnown ? wanted : null };
}

/** Two classes and their difference share one scale, where a method knows both signs. @param {MethodRow} method */
export const sharesScale = (answer, method) => answer.rival !== null && !method.against;

/**
 * The class that the one in view is held against: the one that was chosen, else the likeliest of the others.
 * @param {Answer} answer
 * @returns {ClassRow | null}
 */
export function rivalOf(answer) {
  if (answer.rival !== null) return classOf(answer, answer.rival);
  if (answer.model.head !== 'softmax') return null;
  return answer.classes.filter((c) => c.index !== answer.target).sort((a, b) => b.p - a.p)[0] ?? null;
}

/** Whether no class is likely. @param {Answer} answer */
export function isUnsure(answer) {
  return answer.model.head === 'softmax' && Math.max(...answer.classes.map((c) => c.p)) < 0.2;
}

// ---- scales ----------------------------------------------------------------------------------

/**
 * What 1 (or the far ends round white) stands for.
 * @param {Grid[]} grids that share the scale
 * @param {Sign} sign
 * @param {(grid: Grid) => number[]} ends a map -> its largest for and against; else of what was sent, maybe averages
 */
export function reach(grids, sign, ends = (grid) => [grid.top, grid.bottom]) {
  const [up, down] = [0, 1].map((end) => Math.max(...grids.map((grid) => ends(grid)[end]), 0));
  return sign === 'for' ? up : sign === 'against' ? down : Math.max(up, down);
}

/** The grids that share a scale with one. @returns {Grid[]} */
export function sharing(answer, bytes, row, method, band) {
  const bands = sharesScale(answer, method) ? bandsOf(answer) : [band];
  return bands.map((b) => gridOf(row, bytes, method.name, b));
}

/**
 * What the end of the colours stands for: a picture has one scale, that of its likeliest class, which only a map that
 * is stronger still makes longer. So what is faint is seen to be faint.
 * @param {Answer} answer
 * @param {Int8Array} bytes
 * @param {Row} row
 * @param {MethodRow} method
 * @param {Band} band
 * @param {Sign} sign
 * @param {(grid: Grid) => number[]} [ends] as of `reach`
 */
export function scaleEnd(answer, bytes, row, method, band, sign, ends) {
  const own = reach(sharing(answer, bytes, row, method, band), sign, ends);
  const alone = band === 'contrast' && !sharesScale(answer, method);
  return alone ? own : Math.max(own, answer.strength[`${row.name}/${method.name}`] ?? 0);
}

/**
 * A map -> 0..1 (h w,); of both signs 0.5 is zero.
 * @param {Grid} grid
 * @param {Sign} sign
 * @param {number} top
 */
export function toUnit(grid, sign, top) {
  const out = new Float32Array(grid.h * grid.w);
  for (let i = 0; i < out.length; i++) {
    const v = top > 0 ? valueAt(grid, i) / top : 0;
    out[i] = sign === 'for' ? Math.max(v, 0) : sign === 'against' ? Math.max(-v, 0) : (v + 1) / 2;
  }
  return out;
}

/**
 * The layers of the film: of each size of grid the last one, and of a size with three or more the middle one too.
 * @param {Row[]} layers from early to late
 * @param {string} best comes for the last of its size
 * @returns {Row[]}
 */
export function filmOf(layers, best) {
  const groups = [];
  for (const row of layers.filter((r) => r.suggested)) {
    const size = String(row.shape.slice(0, 2));
    if (groups.at(-1)?.size !== size) groups.push({ size, rows: [] });
    groups.at(-1).rows.push(row);
  }
  return groups.flatMap(({ rows }) => {
    const last = rows.find((row) => row.name === best) ?? rows.at(-1), at = rows.indexOf(last);
    return rows.length < 3 || at < 2 ? [last] : [rows[at >> 1], last];
  });
}

/**
 * One map of the film, on the scale that it has when it is in view.
 * @param {Answer} answer
 * @param {Int8Array} bytes
 * @param {Row} row
 * @param {MethodRow} method
 * @param {Band} band
 * @param {Sign} sign
 * @returns {Grid & { unit: Float32Array }}
 */
export function frameMap(answer, bytes, row, method, band, sign) {
  const grid = gridOf(row, bytes, method.name, band);
  return { ...grid, unit: toUnit(grid, sign, scaleEnd(answer, bytes, row, method, band, sign)) };
}

/**
 * The cells of a map laid end to end: those above zero, the strongest first, then those below, the weakest first.
 * @param {Grid} grid
 * @returns {{ plus: Piece[], minus: Piece[], more: number, less: number, half: number }} more, less: their sums; half:
 *   how many of the first bring half of what is above zero
 */
export function endToEnd(grid) {
  const cells = Array.from(grid.q, (_, at) => ({ at, v: valueAt(grid, at) })).sort((a, b) => b.v - a.v);
  const plus = cells.filter((c) => c.v > 0), minus = cells.filter((c) => c.v < 0);
  const sum = (list) => list.reduce((all, c) => all + c.v, 0), more = sum(plus);
  let half = 0;
  for (let all = 0; plus.length && all < more / 2; half++) all += plus[half].v;
  return { plus, minus, more, less: sum(minus), half };
}

/** The numbers below the colours. What speaks against is below zero. @param {Sign} sign */
export function ticksOf(top, sign) {
  if (sign === 'both') return [-top, 0, top];
  return [0, top / 2, top].map((v) => v && sign === 'against' ? -v : v);
}

/**
 * Whether nothing of this sign is there to be shown.
 * @param {Grid} grid
 * @param {Sign} sign
 * @param {number} top
 */
export function isEmpty(grid, sign, top) {
  return !(top > 0) || (sign === 'for' && grid.top === 0) || (sign === 'against' && grid.bottom === 0);
}

/**
 * Whether two maps are the same but for their scale, within two hundredths.
 * @param {Grid} one
 * @param {Grid} other
 */
export function alike(one, other) {
  const [top, mine] = [other, one].map((grid) => Math.max(grid.top, grid.bottom) || 1);
  const near = (_, i) => Math.abs(valueAt(other, i) / top - valueAt(one, i) / mine) <= 0.02;
  return one.h === other.h && one.w === other.w && one.q.every(near);
}

/**
 * The methods that know both signs and give the map of this one, itself among them; none where no other does.
 * @param {MethodRow[]} methods
 * @param {Row} row
 * @param {Int8Array} bytes
 * @param {MethodRow} method
 * @param {Band} band
 * @returns {string[]} in the order of the table
 */
export function twinsOf(methods, row, bytes, method, band) {
  if (method.against) return [];
  const grid = gridOf(row, bytes, method.name, band), made = methods.filter((m) => row.maps[`${band}/${m.name}`]);
  const same = made.filter((m) => !m.against && alike(grid, gridOf(row, bytes, m.name, band)));
  return same.length > 1 ? same.map((m) => m.name) : [];
}

// ---- one cell, one box -----------------------------------------------------------------------

const clamp = (v, low, high) => Math.min(Math.max(v, low), high);

/** The cell [row, column] nearest to one that may lie outside. */
export const inside = ([i, j], h, w) => [clamp(i, 0, h - 1), clamp(j, 0, w - 1)];

/** A place of the grid in the picture. */
const moved = ([u, v], [a, b, c, d, e, f]) => [a * u + b * v + c, d * u + e * v + f];

/** A placement the other way round: from the picture into the grid. */
function backwards([a, b, c, d, e, f]) {
  const det = a * e - b * d;
  return [e / det, -b / det, (b * f - c * e) / det, -d / det, a / det, (c * d - a * f) / det];
}

const isInside = ([down, right]) => Math.min(down, right) >= 0 && Math.max(down, right) <= 1;

/**
 * The cell at a place [down, right] of the picture, in 0..1; null where no cell lies.
 * @param {Lattice} lattice
 */
export function cellAt(place, { h, w, placement }) {
  const [u, v] = placement ? moved(place, backwards(placement)) : place;
  return placement && !isInside([u, v]) ? null : inside([Math.floor(u * h), Math.floor(v * w)], h, w);
}

/** The middle of a cell, as a place of the picture. @param {Lattice} lattice */
export function middleOf([i, j], { h, w, placement }) {
  const place = [(i + 0.5) / h, (j + 0.5) / w];
  return placement ? moved(place, placement) : place;
}

/** Round a part of a grid, given by two corners in 0..1 of it; in the picture, and maybe beyond. @returns {Box} */
function bounds([u, v], [lastU, lastV], placement) {
  if (!placement) return [v, u, lastV, lastU];
  const corners = [[u, v], [u, lastV], [lastU, v], [lastU, lastV]].map((corner) => moved(corner, placement));
  const [rows, columns] = [0, 1].map((n) => corners.map((corner) => corner[n]));
  return [Math.min(...columns), Math.min(...rows), Math.max(...columns), Math.max(...rows)];
}

/** The sides of a cell, in the picture. @param {Lattice} lattice @returns {Box} */
export function frameOf([i, j], { h, w, placement }) {
  return bounds([i / h, j / w], [(i + 1) / h, (j + 1) / w], placement).map((v) => clamp(v, 0, 1));
}

/** Whether the rows of a grid are columns of the picture. */
const isTurned = (placement) => {
  const [a, b, , d, e] = placement ?? [1, 0, 0, 0, 1, 0];
  return Math.abs(a * e) < Math.abs(b * d);
};

/**
 * How a grid is drawn by its lines: round it, maybe beyond the picture, and how many columns and rows are seen.
 * @param {Lattice} lattice
 * @returns {{ box: Box, columns: number, rows: number }}
 */
export function linesOf({ h, w, placement }) {
  const [columns, rows] = isTurned(placement) ? [h, w] : [w, h];
  return { box: bounds([0, 0], [1, 1], placement), columns, rows };
}

/**
 * The cell so many steps down and right of another in the picture, or the last before the end of grid or picture.
 * @param {Lattice} lattice
 */
export function cellBeside([i, j], [down, right], { h, w, placement }) {
  const [a, b, , d, e] = placement ?? [1, 0, 0, 0, 1, 0];
  const [m, n] = isTurned(placement) ? [right * Math.sign(d), down * Math.sign(b)]
    : [down * Math.sign(a), right * Math.sign(e)];
  let [row, column] = inside([i + m, j + n], h, w);
  while ((row !== i || column !== j) && !isInside(middleOf([row, column], { h, w, placement }))) {
    [row, column] = [row - Math.sign(m), column - Math.sign(n)];
  }
  return [row, column];
}

/**
 * How much of a map's evidence is in cells that lie beyond the picture, in 0..1.
 * @param {Grid} grid
 * @param {Sign} sign
 */
export function shareBeyond(grid, sign) {
  let all = 0, beyond = 0;
  for (let n = 0; n < grid.q.length; n++) {
    const v = valueAt(grid, n), part = sign === 'both' ? Math.abs(v) : Math.max(sign === 'for' ? v : -v, 0);
    all += part;
    if (!isInside(middleOf([Math.floor(n / grid.w), n % grid.w], grid))) beyond += part;
  }
  return all && beyond / all;
}

/** A cell's share of all evidence of its own sign; 0 for an empty cell. @param {Grid} grid */
export function shareOf(grid, [i, j]) {
  const v = valueAt(grid, i * grid.w + j);
  let total = 0;
  for (let n = 0; n < grid.q.length; n++) {
    const other = valueAt(grid, n);
    if (other * v > 0) total += other;
  }
  return v ? v / total : 0;
}

/**
 * Round the largest connected part at or above a share of the maximum; null for an empty heat. Grad-CAM, section 3.2,
 * as `heatmap.box` in Python.
 * @param {Float32Array} heat (H W,)
 * @returns {Box | null} in 0..1
 */
export function boxOf(heat, H, W, share) {
  const top = heat.reduce((a, b) => Math.max(a, b), 0), limit = Math.fround(top * share);
  if (!(top > 0)) return null;
  const seen = new Uint8Array(W * H), todo = new Int32Array(W * H);
  let best = null;
  for (let start = 0; start < seen.length; start++) {
    if (seen[start] || heat[start] < limit) continue;
    let n = 0, end = 1, l = W, t = H, r = 0, b = 0;
    todo[0] = start;
    seen[start] = 1;
    while (n < end) {
      const at = todo[n++], x = at % W, y = (at - x) / W;
      l = Math.min(l, x); r = Math.max(r, x + 1); t = Math.min(t, y); b = Math.max(b, y + 1);
      for (const [near, there] of [[at - 1, x > 0], [at + 1, x < W - 1], [at - W, y > 0], [at + W, y < H - 1]]) {
        if (there && !seen[near] && heat[near] >= limit) { seen[near] = 1; todo[end++] = near; }
      }
    }
    if (!best || end > best.size) best = { size: end, box: [l / W, t / H, r / W, b / H] };
  }
  return best.box;
}

/**
 * A box in 0..1 -> in pixels, not rounded.
 * @param {Box} box
 * @returns {Box}
 */
export const inPixels = (box, H, W) => box.map((v, n) => v * (n % 2 ? H : W));

/**
 * A box of a size round a place, inside the picture.
 * @param {number[]} place down, right in 0..1
 * @param {number[]} size high, wide in 0..1
 * @returns {Box}
 */
export function boxRound([down, right], [high, wide]) {
  const l = clamp(right - wide / 2, 0, 1 - wide), t = clamp(down - high / 2, 0, 1 - high);
  return [l, t, l + wide, t + high];
}

/** The place of a box, its middle, and its size. @param {Box} box */
export const middleOfBox = ([l, t, r, b]) => [(t + b) / 2, (l + r) / 2];
export const sizeOfBox = ([l, t, r, b]) => [b - t, r - l];

/** The strongest cell of a map, [row, column]. @param {Grid} grid */
export function strongest(grid) {
  const at = grid.q.indexOf(grid.q.reduce((a, b) => Math.max(a, b)));
  return [Math.floor(at / grid.w), at % grid.w];
}

// ---- sizes -----------------------------------------------------------------------------------

/** A picture's sides, made smaller where the longer one is above a limit: [H, W]. */
export function fitted(H, W, limit) {
  const shrink = Math.min(1, limit / Math.max(H, W));
  return [Math.round(H * shrink), Math.round(W * shrink)];
}

/** Bilinear with half-pixel centres, as `heatmap.upsample` in Python: (h w,) -> (H W,). */
export function upsample(values, h, w, H, W) {
  const out = new Float32Array(H * W), X = axis(w, W), Y = axis(h, H), line = new Float32Array(w);
  for (let y = 0; y < H; y++) {
    const a = Y.low[y] * w, b = Y.high[y] * w, t = Y.part[y];
    for (let x = 0; x < w; x++) line[x] = values[a + x] * (1 - t) + values[b + x] * t;
    for (let x = 0; x < W; x++) {
      const low = line[X.low[x]];
      out[y * W + x] = low + (line[X.high[x]] - low) * X.part[x];
    }
  }
  return out;
}

/** N places along n cells: the cell before, the cell after, and how far it is from the one to the other. */
function axis(n, N) {
  const low = new Int32Array(N), high = new Int32Array(N), part = new Float32Array(N);
  for (let x = 0; x < N; x++) {
    const at = clamp((x + 0.5) * n / N - 0.5, 0, n - 1);
    low[x] = Math.floor(at);
    high[x] = Math.min(low[x] + 1, n - 1);
    part[x] = at - low[x];
  }
  return { low, high, part };
}

/** Each cell over the part of the picture it stands for: (h w,) -> (H W,). */
export function nearest(values, h, w, H, W) {
  return Float32Array.from({ length: H * W }, (_, n) => {
    const y = Math.floor(n / W), x = n % W;
    return values[Math.floor(y * h / H) * w + Math.floor(x * w / W)];
  });
}

/**
 * The values of a grid where its cells lie, as `heatmap.project` in Python: (h w,) -> (H W,).
 * @param {Lattice} lattice
 * @param {number} outside for the pixels that no cell covers; NaN: there is no map, and the photograph is seen
 * @param {boolean} smooth bilinear; else each cell as it is
 */
export function project(values, { h, w, placement }, H, W, outside = 0, smooth = true) {
  if (!placement) return (smooth ? upsample : nearest)(values, h, w, H, W);
  const [a, b, c, d, e, f] = backwards(placement), out = new Float32Array(H * W).fill(outside);
  for (let n = 0; n < out.length; n++) {
    const right = (n % W + 0.5) / W, down = (Math.floor(n / W) + 0.5) / H;
    const u = a * down + b * right + c, v = d * down + e * right + f;
    if (u < 0 || u > 1 || v < 0 || v > 1) continue;
    const y = clamp(u * h - 0.5, 0, h - 1), z = clamp(v * w - 0.5, 0, w - 1);
    if (!smooth) {
      out[n] = values[Math.round(y) * w + Math.round(z)];
      continue;
    }
    const i = Math.floor(y), j = Math.floor(z), next = Math.min(j + 1, w - 1), below = Math.min(i + 1, h - 1) * w;
    const upper = values[i * w + j] + (values[i * w + next] - values[i * w + j]) * (z - j);
    const lower = values[below + j] + (values[below + next] - values[below + j]) * (z - j);
    out[n] = upper + (lower - upper) * (y - i);
  }
  return out;
}

// ---- colours: a palette is 256 x red, green, blue --------------------------------------------

/** Which of the 256 colours stands for a value in 0..1. */
export const toneOf = (v) => Math.round(clamp(v, 0, 1) * 255);

/** How light a colour of a palette is, 0..255. */
export function lightness(palette, tone) {
  const [r, g, b] = palette.subarray(3 * tone, 3 * tone + 3);
  return 0.299 * r + 0.587 * g + 0.114 * b;
}

/**
 * Values in 0..1 -> red, green, blue, opaque; NaN -> nothing at all: (n,) -> (4 n,) bytes. As `heatmap.paint` in
 * Python.
 */
export function coloured(heat, palette) {
  const opaque = new Uint8Array(4 * 256).fill(255);
  for (let tone = 0; tone < 256; tone++) opaque.set(palette.subarray(3 * tone, 3 * tone + 3), 4 * tone);
  const table = new Uint32Array(opaque.buffer), pixels = new Uint32Array(heat.length);
  for (let i = 0; i < pixels.length; i++) pixels[i] = Number.isNaN(heat[i]) ? 0 : table[toneOf(heat[i])];
  return new Uint8ClampedArray(pixels.buffer);
}

/**
 * The look "light": the photograph muted, and over it a colour, the more of it the more evidence there is. Where
 * there is no map it is muted too: what is bright would be taken for evidence. As `heatmap.lit` in Python.
 * @param {Uint8ClampedArray} photo (4 n,) red, green, blue, opaque
 * @param {Float32Array} heat (n,) in 0..1, or NaN
 * @param {Uint8Array} palette
 * @param {number} opacity
 * @param {boolean} round whether 0.5 is zero
 * @returns {Uint8ClampedArray} (4 n,)
 */
export function lit(photo, heat, palette, opacity, round) {
  const pixels = new Uint32Array(heat.length), none = round ? 128 : 0;
  const amount = (n) => round ? Math.abs(2 * n / 255 - 1) : n / 255;
  const cover = Float32Array.from({ length: 256 }, (_, n) => opacity * amount(n) ** 0.7);
  const [R, G, B] = [0, 1, 2].map((c) => cover.map((a, n) => a * palette[3 * n + c]));
  const [shadeR, shadeG, shadeB] = WARM.map((power) => shadeOf(round ? 1 : power));
  const [tintR, tintG, tintB] = round ? [0.92, 0.92, 0.92] : [0.86, 0.92, 1.08]; // with both signs blue is evidence
  for (let i = 0; i < pixels.length; i++) {
    const v = heat[i], n = v > 1 ? 255 : v >= 0 ? v * 255 + 0.5 | 0 : v < 0 ? 0 : none, rest = 1 - cover[n];
    const r = photo[4 * i], g = photo[4 * i + 1], b = photo[4 * i + 2];
    const grey = 0.2126 * r + 0.7152 * g + 0.0722 * b, muted = 8.925 + 0.42 * grey, shade = grey + 0.5 | 0;
    pixels[i] = 255 << 24
      | (muted + 0.105 * b) * tintB * rest + B[n] * shadeB[shade] + 0.5 << 16
      | (muted + 0.105 * g) * tintG * rest + G[n] * shadeG[shade] + 0.5 << 8
      | (muted + 0.105 * r) * tintR * rest + R[n] * shadeR[shade] + 0.5;
  }
  return new Uint8ClampedArray(pixels.buffer);
}

const WARM = [0.8, 1.15, 1.7]; // in shadows yellow turns to amber, not to olive

/** How much of a colour is left over each of 256 greys. */
const shadeOf = (power) => Float32Array.from({ length: 256 }, (_, n) => (0.6 + 0.4 * Math.sqrt(n / 255)) ** power);

// ---- the arrangement of the page ---------------------------------------------------------------

/**
 * Which arrangement makes the pictures largest, and how high they then are, in pixels: "std" (the answer beside them),
 * "wide" (below them), "tall" (all beside them); on a narrow window "stack". Only for 18 % more it is not "std".
 * @param {number} W of the window
 * @param {number} H of the window
 * @param {number} ratio width of a picture by its height
 * @param {boolean} pair whether there are two
 * @returns {{ arr: 'std' | 'wide' | 'tall' | 'stack', high: number }}
 */
export function arrange(W, H, ratio, pair) {
  if (W < 960) return { arr: 'stack', high: W < 640 ? Math.floor(0.52 * H) : Math.max(H - 715, 240) };
  const large = H >= 800, side = W >= 1360 ? 24 : 20, count = pair ? 2 : 1, between = pair ? 10 : 0;
  const [top, head, river, gap] = barsOf(W, H), wraps = W < 1100 ? 16 : 0; // of the line under the sum
  const fit = (w, h) => Math.floor(Math.min(h, (w - between) / count / ratio));
  const high = {
    std: fit(W - 2 * side - 20 - (W < 1100 ? 252 : 272), H - top - head - river - wraps - 3 * gap - (large ? 12 : 6)),
    wide: fit(W - 2 * side, H - top - head - (large ? 326 : 284) - 3 * gap),
    tall: H < 700 ? 0 : fit(W - 2 * side - 20 - (W >= 1360 ? 400 : 372), H - top - (large ? 36 : 24)),
  };
  const arr = ['wide', 'tall'].reduce((best, name) => high[name] > 1.18 * high[best] ? name : best, 'std');
  return { arr, high: high[arr] };
}

/** Heights in pixels: the page's head, the sentence, the film, a gap. A caveat takes three lines where it is narrow. */
function barsOf(W, H) {
  const head = W < 1240 && H >= 700 ? 78 : H >= 800 ? 64 : 52;
  return H >= 800 ? [56, head, 176, 14] : [52, head, 146, 8];
}

/**
 * How many classes have room in an arrangement without scrolling: five to seven, beside all of it or a guess fewer.
 * @param {{ arr: string, high: number }} arranged as `arrange` gives it
 * @param {number} W of the window
 * @param {number} H of the window
 * @param {number} ratio width of a picture by its height
 * @param {boolean} fine whether a mouse points: then rows may be lower; a finger's may be fewer
 * @param {boolean} pair whether there are two pictures
 * @param {boolean} guess whether something about the network is a guess, which is said below the classes
 */
export function rowsIn({ arr, high }, W, H, ratio, fine, pair = true, guess = false) {
  if (arr === 'tall') { // all is larger from a height of 800 on
    const most = H >= 890 ? 5 : H >= 820 || (H < 800 && W >= 1200) ? 4 : 3;
    return most - Number(guess) - Number(!fine && H < 800);
  }
  const row = !fine || H >= 800 || arr === 'stack' ? 44 : H >= 700 ? 36 : 34;
  const [top, head, , gap] = barsOf(W, H), below = H - top - head - 3 * gap - high;
  const shown = pair ? (W - 50) / 2 / ratio : Math.min((W - 40) / ratio, high);
  const room = arr === 'stack' ? 5 * row + high - shown
    : (arr === 'wide' ? below - 106 : high - 158) - (!guess && hasCard({ arr, high }, W, H) ? CARD : 0);
  const least = guess || (!fine && arr !== 'stack') ? 3 : 5;
  return W < 640 ? 7 : Math.min(Math.max(Math.floor((room - (guess ? GUESS : 0)) / row), least), 7);
}

const CARD = 61, GUESS = 66; // pixels of the first thing to do, and of what is a guess

/** Whether there is room for a first thing to do: below five classes, or on a tablet beside them. */
export const hasCard = ({ arr, high }, W, H) => arr === 'stack' ? W >= 640
  : arr !== 'tall' && W >= 1200 && H >= 860 && (arr !== 'wide' || H - 162 - high - 106 - CARD >= 5 * 44);

/**
 * Those of the classes that are shown: what was asked about, and of the others the likeliest.
 * @param {ClassRow[]} classes the likeliest first
 * @param {number} room for so many
 * @param {number[]} asked numbers of classes
 */
export function rowsShown(classes, room, asked) {
  const others = classes.filter((c) => !asked.includes(c.index));
  const rest = others.slice(0, Math.max(room - (classes.length - others.length), 0));
  return classes.filter((c) => asked.includes(c.index) || rest.includes(c));
}

/**
 * The classes that a word finds: those that have it whole, then those with a word that begins so, then all that have it
 * anywhere.
 * @param {string[]} labels
 * @param {string} text
 * @returns {{ index: number, rank: number }[]} rank 0: the label is the word
 */
export function findClasses(labels, text) {
  const word = text.trim().toLowerCase();
  if (!word) return [];
  const whole = new RegExp(`(^|[^\\p{L}])${escaped(word)}($|[^\\p{L}])`, 'u');
  const begins = new RegExp(`(^|[^\\p{L}])${escaped(word)}`, 'u');
  const rank = (low) => low === word ? 0 : whole.test(low) ? 1 : begins.test(low) ? 2 : low.includes(word) ? 3 : 4;
  return labels.map((label, index) => ({ index, rank: rank(label.toLowerCase()) })).filter((hit) => hit.rank < 4)
    .sort((a, b) => a.rank - b.rank || a.index - b.index);
}

const escaped = (word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

// ---- the steps -------------------------------------------------------------------------------

/** The numbers of a grid: as they are where they are few, else out of the bytes. @param {StepMap} map */
export function valuesOf(map, bytes) {
  if (map.numbers) return Float32Array.from(map.numbers);
  const q = bytes.subarray(map.at, map.at + map.sent[0] * map.sent[1]);
  return Float32Array.from(q, (_, n) => valueAt({ ...map, q }, n));
}

/** Numbers in 0..1: from 0 to `top`, or round 0 from -top to top. No top: the largest of them. */
export function scaled(data, round, top = 0) {
  const end = top || data.reduce((a, b) => Math.max(a, round ? Math.abs(b) : b), 0) || 1;
  return { top: end, unit: data.map((v) => round ? (v / end + 1) / 2 : Math.max(v, 0) / end) };
}

/** The unit that numbers up to `top` are printed in, a power of ten or 1, and its decimal places: two digits. */
export function printed(top) {
  const power = Math.floor(Math.log10(top)), unit = power < -1 || power > 2 ? Number(`1e${power}`) : 1;
  return { unit, places: Math.max(1 - Math.floor(Math.log10(top / unit)), 0) };
}

/** A sum without some of its terms. */
export const without = (sum, terms) => sum.map((v, n) => terms.reduce((left, term) => left - term[n], v));

/**
 * Where the gradient is one number all over, an earlier layer shows more: the last with a finer grid, or the last.
 */
export function earlier(layers, name, rows) {
  const at = layers.findIndex((l) => l.name === name), before = at < 0 ? layers : layers.slice(0, at);
  return before.findLast((l) => l.shape[0] > rows) || layers[at - 1] || null;
}

/** A network that is run again gives the same scores but for some float32 steps of the largest. */
export const roundingOf = (classes) => 2e-6 * Math.max(...classes.map((c) => Math.abs(c.y)));

/**
 * Which of the nudges to begin with: the smallest up whose promise is well above the rounding.
 * @param {Nudge} nudge
 */
export function tellingNudge({ steps, predicted }, rounding) {
  const first = (steps.length >> 1) + 1;
  const at = predicted.findIndex((v, i) => i >= first && Math.abs(v) > 2 * rounding);
  return at < 0 ? first : at;
}

/** Whether the promise of the gradient holds for every nudge. @param {Nudge} nudge */
export function alwaysHolds(nudge) {
  const most = Math.max(...nudge.predicted.map(Math.abs));
  return nudge.true.every((change, n) => Math.abs(change - nudge.predicted[n]) <= 0.01 * most);
}
