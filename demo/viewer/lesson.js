// How it is made: one step at a time, for the picture, class and layer that the viewer shows. `now`
// is what the server sent for it; `state` is what the visitor follows and plays with.
const steps = props.steps;
const state = { step: 0 };
const fresh = () => ({ tile: 0, cell: null, count: 0, off: new Set(), score: null, against: false, size: null, opacity: state.opacity ?? 50 });
let asked = null, topic = null, now = null, bytes = null, nudged = null, lines = null, running = false;

const view = () => topic; // what `now` is about; window.gradcam may be ahead of it
const keyOf = (v) => v && JSON.stringify(v.request);
const shown = (key) => now && steps[state.step].key === key;
const mapColours = (about) => ({ diverging: about.bottom > 0 });
const tile = () => now.tiles[state.tile];
const cellNow = () => state.cell || [now.shape[0] >> 1, now.shape[1] >> 1];
const cellName = () => { const [i, j] = cellNow(); return `row ${i + 1}, column ${j + 1}`; };
const few = (x) => x < 10 ? Number(x.toPrecision(2)) : Math.round(x);
const grids = (shape) => `${shape[0]}×${shape[1]}`;

// ---- pictures --------------------------------------------------------------------------------

// The numbers of a grid: as they are where they are few, else as bytes.
function values(about) {
  if (about.numbers) return Float32Array.from(about.numbers);
  const q = bytes.subarray(about.at, about.at + about.sent[0] * about.sent[1]);
  return Float32Array.from(q, (_, n) => valueAt({ ...about, q }, n));
}
// What is drawn: diverging, white is zero; else from 0 to the largest.
function colours(about, { diverging = false, reach = 0, data = values(about) } = {}) {
  const top = reach || data.reduce((a, b) => Math.max(a, diverging ? Math.abs(b) : b), 0) || 1;
  return { data, top, diverging, unit: data.map((v) => diverging ? (v / top + 1) / 2 : Math.max(v, 0) / top), name: diverging ? props.diverging : props.colours[0] };
}
// A cell a pixel.
function cells(about, drawn) {
  const [h, w] = about.sent, canvas = make('canvas', null, { class: 'gl-cells', width: w, height: h });
  paint(canvas, drawn.unit, drawn.name);
  return canvas;
}
function area(...nodes) {
  const n = make('div', null, { class: 'gl-area' });
  n.append(...nodes);
  return n;
}
// Two digits of the largest number, and as many places in every cell.
function digits({ data, top, unit, name }, w, step) {
  const holder = make('div', null, { class: 'gl-digits' }), places = Math.max(1 - Math.floor(Math.log10(top / step)), 0), p = palettes[name];
  holder.style.cssText = `--w: ${w}; grid-template-columns: repeat(${w}, 1fr)`;
  data.forEach((v, n) => {
    const at = 3 * Math.round(Math.min(Math.max(unit[n], 0), 1) * 255);
    const text = (v / step).toFixed(places), cell = make('span', !v ? '0' : v < 0 && !Number(text) ? '<0' : text.replace('-', '−'));
    cell.style.color = 0.299 * p[at] + 0.587 * p[at + 1] + 0.114 * p[at + 2] > 117 ? '#000' : '#fff';
    holder.append(cell);
  });
  return holder;
}
// The colours and what they stand for.
function scale({ top, diverging, name }) {
  const holder = make('div', null), bar = make('div', null, { class: 'gl-bar' }), ticks = make('div', null, { class: 'gl-ticks' }), p = palettes[name];
  const stops = Array.from({ length: 17 }, (_, n) => `rgb(${p.subarray(3 * Math.round(n * 255 / 16)).slice(0, 3).join()})`);
  bar.style.background = `linear-gradient(to right, ${stops.join()})`;
  for (const v of diverging ? [-top, 0, top] : [0, top]) ticks.append(make('span', number(v)));
  holder.append(bar, ticks);
  return holder;
}
// A grid with its scale; in few cells their numbers. `again` makes another, to be shown by itself.
function sheet(about, options) {
  const drawn = colours(about, options), holder = make('div', null, { class: 'gl-sheet' }), field = area(cells(about, drawn));
  holder.append(field, scale(drawn));
  if (about.numbers && Math.max(...about.sent) <= 8) {
    const power = Math.floor(Math.log10(drawn.top)), step = power < -1 || power > 2 ? Number(`1e${power}`) : 1;
    field.append(digits(drawn, about.sent[1], step));
    if (step !== 1) holder.append(make('div', `In the cells: units of ${step}.`, { class: 'gl-unit' }));
  }
  holder.again = () => sheet(about, options);
  return holder;
}
// As large as the screen, for the last row of a classroom. Esc, the button or a click beside it close.
function enlarge(node, text) {
  const large = $('.gl-large');
  $('.gl-large h3').textContent = text;
  $('.gl-large div').replaceChildren(node);
  large.showModal();
}
// A grid of the layer over the picture, cell by cell or smoothly.
function over(about, smooth, opacity = 0.6, options = {}) {
  const canvas = make('canvas', null), image = make('img', null, { alt: 'Your picture' }), [h, w] = about.sent, [H, W] = view().picture;
  const { unit, name } = colours(about, options);
  image.src = view().base;
  canvas.width = 420; canvas.height = Math.max(Math.round(420 * H / W), 1);
  const heat = smooth ? upsample(unit, h, w, canvas.height, canvas.width)
    : Float32Array.from({ length: canvas.width * canvas.height }, (_, n) => unit[Math.floor(Math.floor(n / canvas.width) * h / canvas.height) * w + Math.floor(n % canvas.width * w / canvas.width)]);
  paint(canvas, heat, name);
  canvas.style.opacity = opacity;
  return area(image, canvas);
}
function figure(node, text, side = 240, more = '') {
  const f = make('figure', null);
  const caption = make('figcaption', text + more);
  f.style.flex = `0 1 ${side}px`;
  f.append(node, caption);
  if (node.again) {
    const b = make('button', 'Enlarge', { type: 'button', class: 'gl-link' });
    b.onclick = () => enlarge(node.again(), text);
    caption.append(' ', b);
  }
  return f;
}
// The whole of it stays on the screen, a portrait too.
function photo(node, text, side = 300, high = 55) {
  const [H, W] = view().picture, f = figure(node, text, 0);
  f.style.flexBasis = node.style.width = `min(${side}px, ${high * W / H}vh)`;
  node.style.maxWidth = '100%';
  f.style.minWidth = '7em';
  return f;
}
const row = (...nodes) => { const r = make('div', null, { class: 'gl-row' }); r.append(...nodes); return r; };
const say = (text) => { $('.gl-numbers').textContent = text; };
const complain = (text) => { const n = $('.gl-error'); n.textContent = text || ''; n.hidden = !text; };

// Curves over x on common axes: [{y, colour, dash, name}], or stems, one of them marked.
function plot(x, curves, label, at = null) {
  const W = Math.min(560, $('.gl-play').clientWidth || 560), H = 200, [L, R, T, B] = [88, 34, 44, 26], all = curves.flatMap((c) => c.y);
  const [x0, x1] = [Math.min(...x), Math.max(...x)], y0 = Math.min(...all, 0), y1 = Math.max(...all, 0) || (y0 ? 0 : 1);
  const X = (v) => L + (v - x0) / (x1 - x0 || 1) * (W - L - R), Y = (v) => H - B - (v - y0) / (y1 - y0) * (H - T - B);
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  for (const [k, v] of Object.entries({ viewBox: `0 0 ${W} ${H}`, width: W, height: H, class: 'gl-plot', role: 'img', 'aria-label': label })) svg.setAttribute(k, v);
  const add = (tag, attributes, text) => {
    const n = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [k, v] of Object.entries(attributes)) n.setAttribute(k, v);
    if (text !== undefined) n.textContent = text;
    svg.append(n);
  };
  add('line', { x1: L, x2: W - R, y1: Y(0), y2: Y(0), stroke: 'currentColor', 'stroke-opacity': 0.6 });
  if (x0 < 0) add('line', { x1: X(0), x2: X(0), y1: T, y2: H - B, stroke: 'currentColor', 'stroke-opacity': 0.3 });
  for (const v of new Set([y1, y0])) add('text', { x: L - 8, y: Y(v) + 4, 'text-anchor': 'end' }, number(v));
  for (const v of x0 < 0 ? [x0, 0, x1] : [x0, x1]) add('text', { x: X(v), y: H - 6, 'text-anchor': 'middle' }, number(v));
  curves.forEach((c, n) => {
    if (c.stems) c.y.forEach((v, i) => {
      const on = i === c.marked, colour = on ? 'var(--gl-predicted)' : v < 0 ? 'var(--gl-against)' : 'var(--gl-for)';
      add('line', { x1: X(x[i]), x2: X(x[i]), y1: Y(0), y2: Y(v), style: `stroke: ${colour}`, 'stroke-width': on ? 5 : 1.3 });
      if (on) add('text', { x: X(x[i]), y: v < 0 ? Y(0) - 6 : Y(0) + 16, 'text-anchor': 'middle', style: `fill: ${colour}; font-weight: 700` }, c.name);
    });
    else {
      add('polyline', { points: c.y.map((v, i) => `${X(x[i])},${Y(v)}`).join(' '), fill: 'none', style: `stroke: ${c.colour}`, 'stroke-width': 2.5, 'stroke-dasharray': c.dash || '' });
      if (!c.dash) c.y.forEach((v, i) => add('circle', { cx: X(x[i]), cy: Y(v), r: 2.5, style: `fill: ${c.colour}` }));
      add('circle', { cx: X(x[at]), cy: Y(c.y[at]), r: 5.5, style: `fill: ${c.colour}` });
      add('text', { x: 4, y: 14 + 17 * n, style: `fill: ${c.colour}` }, `${c.dash ? '- - ' : '— '}${c.name}`);
    }
  });
  return svg;
}

// ---- what can be moved -----------------------------------------------------------------------

// A cell of the grid can be chosen in this area, by pointer or arrow keys; others mark it, too.
function choosable(field, chosen, ...others) {
  const [h, w] = now.shape, marks = [field, ...others].map((area) => {
    const mark = make('div', null, { class: 'gl-mark' });
    area.append(mark);
    return mark;
  });
  const put = () => {
    const [i, j] = cellNow();
    for (const mark of marks) Object.assign(mark.style, { left: `${100 * j / w}%`, top: `${100 * i / h}%`, width: `${100 / w}%`, height: `${100 / h}%` });
    field.setAttribute('aria-label', `Grid of ${h} rows and ${w} columns; arrow keys choose a cell. Chosen: ${cellName()}`);
  };
  const go = (i, j) => { state.cell = [Math.min(Math.max(i, 0), h - 1), Math.min(Math.max(j, 0), w - 1)]; put(); chosen(); };
  field.tabIndex = 0;
  field.setAttribute('role', 'application');
  field.onclick = (e) => {
    const r = field.getBoundingClientRect();
    go(Math.floor((e.clientY - r.top) / r.height * h), Math.floor((e.clientX - r.left) / r.width * w));
  };
  field.onkeydown = (e) => {
    const by = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[e.key];
    if (by) { e.preventDefault(); const [i, j] = cellNow(); go(i + by[0], j + by[1]); }
  };
  put();
}
function tiles(list, act, draw, label) {
  const holder = make('div', null, { class: 'gl-tiles' });
  list.forEach((t, n) => {
    const b = make('button', null, { type: 'button', 'aria-label': label(t) });
    b.append(draw(t), make('span', `#${t.k}`));
    b.onclick = () => act(t, n);
    holder.append(b);
  });
  return holder;
}
function slider(text, attributes, move) {
  const label = make('label', null), input = make('input', null, { type: 'range', ...attributes });
  input.value = attributes.value;
  input.oninput = () => move(Number(input.value));
  label.append(make('span', text), input);
  return label;
}
const layersHere = () => window.gradcam?.layers || [];
const goLayer = (name) => document.dispatchEvent(new CustomEvent('gradcam-layer', { detail: name }));
// Where the gradient is one number all over, an earlier layer shows more: one with a finer grid.
function tryEarlier() {
  const all = layersHere(), at = all.findIndex((l) => l.name === now.layer), before = at < 0 ? all : all.slice(0, at);
  const layer = before.findLast((l) => l.shape[0] > now.shape[0]) || all[at - 1];
  if (!tile().even || !layer) return '';
  const b = make('button', `Try ${layer.name}`, { type: 'button' });
  b.onclick = () => goLayer(layer.name);
  return row(make('p', 'Every cell has the same gradient here.'), b);
}

// ---- the steps: each fills the right half and says its numbers -------------------------------

// Whether the promise of the gradient holds for one nudge. A network that is run again gives the same
// scores but for its rounding, some float32 steps of the largest.
const rounding = () => 2e-6 * Math.max(...view().classes.map((c) => Math.abs(c.y)));
function verdict(predicted, found) {
  const size = Math.max(Math.abs(predicted), Math.abs(found)), apart = Math.abs(predicted - found) / (size || 1);
  if (!size) return 'Neither changes anything.';
  if (apart <= 0.1) return `Here the promise holds: they differ by ${apart < 0.01 ? 'less than 1\u00a0%' : percent(apart)}.`;
  if (apart * size < rounding()) return 'They differ by no more than the computer’s rounding; a larger nudge tells more.';
  if (predicted * found < 0) return 'Here the promise is broken: the score goes the other way.';
  if (apart < 0.5) return `Here the promise begins to fail: they differ by ${percent(apart)}.`;
  return `Here the promise does not hold: the true change is ${predicted ? `${number(found / predicted, 2)} times the predicted one` : 'not zero'}.`;
}
// The smallest nudge up whose promise is well above the rounding.
function telling({ steps, predicted }) {
  const first = (steps.length >> 1) + 1, at = predicted.findIndex((v, i) => i >= first && Math.abs(v) > 2 * rounding());
  return at < 0 ? first : at;
}
function tellScore() {
  const report = $('.gl-score'), off = [...state.off];
  if (!report) return;
  if (!off.length) report.textContent = 'Switch terms off and the network is run again without those channels.';
  else if (!state.score) report.textContent = 'Running the network without them …';
  else {
    const { before, after } = state.score;
    const sum = now.switches.filter((t) => state.off.has(t.k)).reduce((all, t) => all + t.total, 0), change = after - before;
    const missed = Math.abs(change + sum);
    report.textContent = `Score of “${view().label}” with all channels: ${number(before)}; with ${off.map((k) => `#${k}`).join(', ')} switched off: ${number(after)}.\nPromised by ${off.length > 1 ? 'their sums' : 'its sum'}: ${signed(-sum)}. True change: ${signed(change)}. ` +
      (missed <= 0.01 * Math.abs(sum) ? 'As promised, within 1\u00a0%.' : missed <= rounding() ? 'As promised, within the rounding of the score.' : 'Not as promised: a weight is only the mean of the gradients, and a gradient speaks of small changes.');
  }
}
function tellGuided() {
  const button = $('.gl-run');
  if (!button) return;
  button.hidden = Boolean(lines);
  button.textContent = running ? 'Running …' : 'Run guided backpropagation (one more pass)';
  button.setAttribute('aria-disabled', String(running));
  const image = (src, alt) => { const n = make('img', null, { alt }); n.src = src; return n; };
  if (lines) clear($('.gl-lines')).append(figure(image(lines.guided, 'Guided backpropagation'), 'Guided backpropagation, on the squashed picture: fine lines, hardly different from class to class.', 280), figure(image(lines.both, 'Guided Grad-CAM'), now.whole.max > 0 ? 'Times the Grad-CAM map: only where the map is bright.' : 'Times the Grad-CAM map, which is empty here: nothing is left.', 280));
}

const show = {
  question(play) {
    const v = view(), [low, high] = now.range;
    const picture = (src, alt) => { const n = make('img', null, { alt }); n.src = src; return n; };
    play.append(row(
      figure(picture(now.input, 'Your picture as the network gets it'), `Your picture, squashed to the network’s ${grids(v.input)} pixels.`, 200),
      figure(picture(now.after, 'The same after preprocessing'), `What the network gets: the same numbers, moved to the range ${number(low)} to ${number(high)} (drawn from dark to bright, so it looks alike).`, 200),
    ));
    const table = make('table', null), head = make('tr', null);
    for (const t of ['Class', 'Score y (logit)', { softmax: 'After softmax', sigmoid: 'After sigmoid', linear: 'Output' }[v.head]]) head.append(make('th', t, { scope: 'col' }));
    table.append(head);
    for (const c of v.classes) {
      const line = make('tr', null);
      line.append(make('td', c.label), make('td', number(c.y)), make('td', v.head === 'linear' ? number(c.p) : percent(c.p)));
      if (c.index === v.target) line.style.fontWeight = 700;
      table.append(line);
    }
    const rest = 1 - v.classes.reduce((sum, c) => sum + c.p, 0);
    if (v.head === 'softmax' && v.count > v.classes.length) {
      const line = make('tr', null);
      line.append(make('td', `the other ${v.count - v.classes.length}`), make('td', ''), make('td', percent(Math.max(rest, 0))));
      table.append(line);
    }
    play.append(table);
    say(`The question here: y = ${number(now.score)}, the score of “${v.label}”. What in the picture ${v.unsure || v.classes.some((c) => c.y > now.score) ? 'speaks for it, and what against' : 'makes it so large'}?`);
  },
  maps(play) {
    const stage = row(), all = tiles(now.tiles, (_, n) => { state.tile = n; nudged = null; draw(); }, (t) => cells(t.a, colours(t.a, mapColours(t.a))), (t) => `Feature map ${t.k}, weight ${number(t.alpha)}`);
    const draw = () => {
      const t = tile(), options = mapColours(t.a);
      [...all.children].forEach((b, n) => b.setAttribute('aria-pressed', String(n === state.tile)));
      clear(stage).append(figure(sheet(t.a, options), `Feature map #${t.k}. ${t.a.bottom > 0 ? 'Red: above zero, blue: below; this layer has both.' : 'Bright: the filter reacted strongly.'}`, 230), photo(over(t.a, false, 0.55, options), 'The same, cell by cell over your picture.', 260, 32));
      say(`Layer ${now.layer} has K = ${now.shape[2]} feature maps of ${grids(now.shape)} cells. ${now.tiles.length < now.shape[2] ? `Shown are the ${now.tiles.length} that matter most for “${view().label}”.` : `All are shown, those first that matter most for “${view().label}”.`}\nYou follow #${t.k}: its mean is ${number(t.strength)}. Click another one to follow it through the next three steps.`);
    };
    play.append(stage, all);
    draw();
  },
  gradient(play) {
    const grid = sheet(tile().g, { diverging: true }), itself = sheet(tile().a, mapColours(tile().a)), lab = make('div', null), curves = make('div', null);
    const nudge = slider('', { min: 0, max: 1, value: 0 }, (v) => { state.size = v; tell(); }), input = nudge.querySelector('input');
    lab.hidden = true;
    lab.append(nudge, curves);
    choosable(grid.querySelector('.gl-area'), () => run(), itself.querySelector('.gl-area'));
    play.append(row(figure(grid, `The gradient of #${tile().k}: red raises the score, blue lowers it.`, 220, ' Click a cell.'), figure(itself, `The feature map #${tile().k} itself.`, 220)), tryEarlier(), lab);
    const tell = () => {
      if (!nudged) return;
      const n = nudged, s = state.size ??= telling(n), [size, predicted, found] = [n.steps[s], n.predicted[s], n.true[s]];
      lab.hidden = false;
      input.max = n.steps.length - 1;
      input.value = s;
      input.setAttribute('aria-valuetext', number(size));
      nudge.querySelector('span').textContent = `Nudge this number by ${number(size)} (it is ${number(n.a)} now)`;
      curves.replaceChildren(plot(n.steps, [{ y: n.predicted, colour: 'var(--gl-predicted)', name: 'predicted: gradient × nudge', dash: '6 5' }, { y: n.true, colour: 'var(--gl-true)', name: 'true: the network, really run again' }], 'Predicted and true change of the score over the size of the nudge', s));
      const always = n.true.every((t, k) => Math.abs(t - n.predicted[k]) <= 0.01 * Math.max(...n.predicted.map(Math.abs)));
      say(`Gradient of #${tile().k} at ${cellName()}: ${number(n.g, 4)}.\nPredicted change: ${number(n.g, 4)} × ${number(size, 4)} = ${number(predicted)}.  True change: ${number(found)}.\n` +
        (always && tile().even ? 'The promise holds for every nudge here: after this layer the network only averages and adds.' : verdict(predicted, found)));
    };
    const run = async () => {
      nudged = null;
      say('Running the network’s tail …');
      const got = await ask('nudge', view(), tile().k, ...cellNow());
      if (got === undefined || !shown('gradient')) return;
      nudged = got;
      if (got) tell(); else say('');
    };
    run();
  },
  pooling(play) {
    const t = tile(), sorted = now.alphas.map((v, k) => [v, k]).sort((a, b) => b[0] - a[0]);
    const curve = figure(plot(sorted.map((_, n) => n + 1), [{ y: sorted.map((s) => s[0]), stems: true, marked: sorted.findIndex((s) => s[1] === t.k), name: `#${t.k}` }], `All ${sorted.length} weights, sorted, largest first`), `All K = ${sorted.length} weights, sorted: red raises the score, blue lowers it. The thick line is #${t.k}.`, 560);
    play.append(row(figure(sheet(t.g, { diverging: true }), `All ${t.cells} gradients of #${t.k}.`, 230)), tryEarlier(), row(curve));
    say(`Sum of the gradients: ${number(t.total, 4)}.  Number of cells: ${now.shape[0]} × ${now.shape[1]} = ${t.cells}.\nα of #${t.k} = ${number(t.total, 4)} / ${t.cells} = ${number(t.alpha)}.`);
  },
  sum(play) {
    const stage = row(), left = row(), channels = now.shape[2], reach = Math.max(now.map.top, now.map.bottom);
    const most = Math.max(...now.switches.flatMap((t) => [t.map.top, t.map.bottom]));
    const first = (b) => b.count === 1 ? `the first of ${channels} terms, #${now.tiles[0].k}` : `the first ${b.count} of ${channels} terms`;
    const build = slider('Add up more and more terms, the heaviest first', { min: 0, max: now.build.length - 1, value: state.count }, (v) => { state.count = v; tell(); });
    const tell = () => {
      const b = now.build[state.count], text = first(b);
      build.querySelector('input').setAttribute('aria-valuetext', text);
      clear(stage).append(figure(sheet(b.map, { diverging: true, reach }), `${text[0].toUpperCase()}${text.slice(1)}`), figure(sheet(now.map, { diverging: true, reach }), 'All terms: the whole sum'));
      say(`With ${b.count} of ${channels} feature maps: ${percent(b.share)} of all that is added up, plus and minus counted alike. The map is like the whole one by r = ${b.correlation.toFixed(3).replace('-', '−')} (1: the same pattern; 0: nothing in common; −1: the opposite).\nThe term of #${tile().k}, which you follow, is number ${state.tile + 1} of them: α · A = ${number(tile().alpha)} × its feature map.`);
    };
    const board = tiles(now.switches, async (t) => {
      state.off.has(t.k) ? state.off.delete(t.k) : state.off.add(t.k);
      state.score = null;
      drawLeft();
      const got = await ask('without', view(), [...state.off]);
      if (got === undefined) return;
      if (got) { state.score = got; tellScore(); }
      else if ($('.gl-score')) $('.gl-score').textContent = 'The network could not be run; switch once more.';
    }, (t) => cells(t.map, colours(t.map, { diverging: true, reach: most })), (t) => `Term of channel ${t.k}, sum ${number(t.total)}`);
    board.classList.add('gl-board');
    [...board.children].forEach((b, n) => b.append(make('span', signed(now.switches[n].total))));
    const drawLeft = () => {
      const data = values(now.map), off = now.switches.filter((t) => state.off.has(t.k));
      for (const t of off) values(t.map).forEach((v, n) => { data[n] -= v; });
      [...board.children].forEach((b, n) => {
        const gone = state.off.has(now.switches[n].k);
        b.setAttribute('aria-pressed', String(!gone)); b.classList.toggle('off', gone);
      });
      clear(left).append(figure(sheet(now.map, { diverging: true, reach, data }), off.length ? `The sum without ${off.map((t) => `#${t.k}`).join(', ')}` : 'The sum with all terms on'));
      tellScore();
    };
    play.append(build, stage, make('h3', 'Switchboard: strongest terms for and against'), make('p', 'Below each term: the sum of its cells, which is what it promises to add to the score.'), row(left, make('p', '', { class: 'gl-score', role: 'status' })), board);
    left.parentNode.classList.add('gl-report');
    drawLeft();
    tell();
  },
  relu(play) {
    const stage = row(), label = make('label', null, { class: 'gl-check' }), box = make('input', null, { type: 'checkbox' });
    const draw = () => {
      const m = now.map, all = now.whole, turned = state.against, reach = Math.max(m.top, m.bottom), before = values(m).map((v) => turned ? -v : v);
      const [cut, low, high] = turned ? [all.above, -all.max, -all.min] : [all.below, all.min, all.max];
      clear(stage).append(figure(sheet(m, { diverging: true, reach, data: before }), 'Before: the signed sum', 260), figure(sheet(m, { diverging: true, reach, data: before.map((v) => Math.max(v, 0)) }), 'After: only what is above zero', 260));
      say(`${turned ? 'Turned round: what stays now is evidence against the class.\n' : ''}Below zero and cut: ${cut} of ${all.cells} cells, ${percent(cut / all.cells)}.\nSmallest value before: ${number(low)}; largest: ${number(high)}.`);
    };
    box.checked = state.against;
    box.onchange = () => { state.against = box.checked; draw(); };
    label.append(box, 'Evidence against the class instead (the gradients negated)');
    play.append(stage, label);
    draw();
  },
  scaling(play) {
    const [H, W] = view().picture, top = now.whole.max, against = -now.whole.min;
    play.append(row(photo(over(now.map, false), `Nearest: the ${grids(now.map.sent)} cells as they are, each over the part of the picture it stands for.`), photo(over(now.map, true), 'Bilinear: the same numbers, smooth between the middles of the cells.')));
    say(`${grids(now.shape)} numbers become a picture ${W} pixels wide and ${H} high: one cell covers about ${few(W / now.shape[1])} by ${few(H / now.shape[0])} of them.\n` +
      (top > 0 ? `Every number is divided by the largest, ${number(top)}; so 1 is the strongest evidence, 0 none.${top < 0.1 * against ? ` It is weak: ${percent(top / against)} of the strongest evidence against.` : ''}` : 'No number is above zero, so the map is empty.'));
  },
  overlay(play) {
    const report = make('div', null), field = over(now.map, true, state.opacity / 100), canvas = field.querySelector('canvas');
    choosable(field, () => run());
    const run = async () => {
      const [i, j] = cellNow(), got = await ask('cell', view(), i, j);
      if (!got || !shown('overlay')) return;
      clear(report).append(make('h3', `The sum that made the cell at row ${i + 1}, column ${j + 1}`));
      const table = make('table', null), head = make('tr', null);
      for (const t of ['Feature map', 'α', '× A', '= term']) head.append(make('th', t, { scope: 'col' }));
      table.append(head);
      const line = (...cells) => { const r = make('tr', null); cells.forEach((c) => r.append(make('td', c))); table.append(r); return r; };
      got.terms.forEach((t) => line(`#${t.k}`, number(t.alpha), number(t.a), number(t.value)));
      line(`the other ${got.others}`, '', '', number(got.rest));
      line('together', '', '', number(got.total)).style.fontWeight = 700;
      report.append(table);
    };
    play.append(row(photo(field, 'Click any cell to see the sum that made it.', 420)), slider('Opacity', { min: 0, max: 100, value: state.opacity }, (v) => { state.opacity = v; canvas.style.opacity = v / 100; }), report);
    say(now.whole.max <= 0 ? 'The map is empty: this layer found no evidence for the class, so the overlay shows the lowest colour all over.' : `This map says where layer ${now.layer} found evidence for “${view().label}”. It does not say that the answer is right, nor that the network needs those places: to know that, cover them in the picture and look again.`);
    run();
  },
  guided(play) {
    const button = make('button', '', { type: 'button', class: 'gl-run' });
    button.onclick = async () => {
      if (running) return;
      running = true;
      tellGuided();
      lines = await ask('guided', view()) || lines;
      running = false;
      tellGuided();
    };
    play.append(button, make('div', null, { class: 'gl-row gl-lines' }));
    tellGuided();
    say('');
  },
};

// ---- what the server answers, and what is in view --------------------------------------------

// null where the server could not; undefined where a newer question has overtaken this.
const latest = {};
async function ask(name, wanted, ...more) {
  const mine = latest[name] = {}, current = () => mine === latest[name] && (name === 'lesson' || wanted === view());
  try {
    const made = await server[name](more.length ? [wanted.request, ...more] : wanted.request);
    if (!current()) return undefined;
    complain(made.error);
    return made.error ? null : made;
  } catch {
    if (!current()) return undefined;
    complain('The server could not be reached; try again in a moment.');
    return null;
  }
}
// Above the steps: what they take apart, and what is still on its way.
function where() {
  const wanted = window.gradcam, parts = { path: 'picture', model: 'network', detail: 'grid', target: 'class', layer: 'layer' };
  const failed = document.querySelector('#viewer :is(.gv-error, .gv-hint):not([hidden])')?.textContent;
  const old = document.querySelector('#viewer .gv-stale');
  const looking = document.querySelector('#viewer .pending'), behind = now && keyOf(wanted) !== keyOf(topic), wait = $('.gl-wait');
  $('.gl-all').hidden = !now;
  $('.gl-all').classList.toggle('gl-stale', Boolean(now && (looking || behind || old)));
  wait.hidden = now ? !looking && !(behind && asked) && !failed : !$('.gl-error').hidden;
  if (!now) wait.textContent = failed || 'The network is loading …';
  else if (failed && !looking) wait.textContent = `${failed}${old ? ' Below: the steps of the answer before.' : ''}`;
  else wait.textContent = `Working on the new ${behind ? parts[Object.keys(parts).find((k) => wanted.request[k] !== topic.request[k])] : 'choice'} …`;
  if (!now) return;

  $('.gl-about').textContent = `Step ${state.step + 1} of ${steps.length} · Grad-CAM for ${topic.label} (${topic.chance}) · ${now.layer} · ${topic.model}`;
  const others = [...wanted.cautions, ...(wanted.unsure ? ['The network is not sure.'] : [])];
  if (wanted.method && wanted.method !== 'Grad-CAM') others.push(`The method ${wanted.method} is not taken apart here, only Grad-CAM.`);
  if (wanted.other) others.push(`What speaks for it rather than for ${wanted.other} is not taken apart here.`);
  if (wanted.sign !== 'for' && steps[state.step].key !== 'relu') others.push('Evidence against the class comes in step 6.');
  $('.gl-other').textContent = others.join(' ');
  $('.gl-other').hidden = !others.length;
  const select = $('.gl-layer select'), layers = layersHere(), name = wanted.request.layer;
  const offered = layers.some((l) => l.name === name) ? layers : [...layers, { name, shape: now.layer === name ? now.shape : null }];
  const key = JSON.stringify(offered);
  if (select.dataset.offered !== key) {
    clear(select).append(...offered.map((l) => make('option', `${l.name}${l.shape ? ` · ${grids(l.shape)}` : ''}${l.best ? ' ★ best' : ''}`, { value: l.name })));
    select.dataset.offered = key;
  }
  select.value = name;
}
function refresh() {
  if (!now) return;
  const step = steps[state.step], inside = $('.gl-play').contains(document.activeElement), small = now.map.sent[0] < now.shape[0];
  $$('.gl-nav button').forEach((b, n) => n === state.step ? b.setAttribute('aria-current', 'step') : b.removeAttribute('aria-current'));
  $('.gl-title').textContent = step.title;
  $('.gl-formula').innerHTML = step.formula; // made by the program itself, when the page is built
  $('.gl-formula').setAttribute('aria-label', step.aloud);
  $('.gl-text').textContent = step.words;
  $('.gl-source code').textContent = step.code;
  $('.gl-note').textContent = `Drawn from ${grids(now.map.sent)} averages of the ${grids(now.shape)} cells, and so are the ends of the colour scales; the numbers in the text are those of all cells.`;
  $('.gl-note').hidden = !small || ['question', 'guided'].includes(step.key);
  $$('.gl-back').forEach((b) => { b.disabled = state.step === 0; });
  $$('.gl-next').forEach((b) => { b.disabled = state.step === steps.length - 1; });
  where();
  show[step.key](clear($('.gl-play')));
  if (inside) $('.gl-title').focus({ preventScroll: true });
  element.dataset.step = step.key;
}
function go(step) {
  state.step = Math.min(Math.max(step, 0), steps.length - 1);
  document.dispatchEvent(new Event('gradcam-on'));
  refresh();
  $('.gl-title').focus();
}
async function renew() {
  const wanted = window.gradcam, key = keyOf(wanted);
  where();
  if (!wanted || !element.offsetParent || asked === key) return;
  asked = key;
  where();
  const got = await ask('lesson', wanted);
  if (!got) { if (asked === key) asked = null; where(); return; }
  [now, topic] = [got, wanted];
  bytes = new Int8Array(bytesOf(got.bytes).buffer);
  Object.assign(state, fresh());
  nudged = lines = null;
  running = false;
  element.dataset.lesson = key;
  refresh();
}
steps.forEach((s, n) => {
  const b = make('button', `${n + 1}`, { type: 'button', title: s.title });
  b.append(make('span', ` ${s.title}`));
  b.onclick = () => go(n);
  $('.gl-nav').append(b);
});
$$('.gl-back').forEach((b) => { b.onclick = () => go(state.step - 1); });
$$('.gl-next').forEach((b) => { b.onclick = () => go(state.step + 1); });
$('.gl-large').onclick = (e) => { if (!e.target.closest('.gl-sheet')) e.currentTarget.close(); };
$('.gl-layer select').onchange = (e) => goLayer(e.target.value);
document.addEventListener('gradcam', renew);
new IntersectionObserver(renew).observe(element);
// The viewer is "pending", a class of Gradio's, while an answer is on its way to it; and it may complain.
new MutationObserver((changes) => { if (changes.some((c) => !element.contains(c.target))) where(); }).observe(element.closest('#look'), { subtree: true, attributes: true, attributeFilter: ['class', 'hidden'] });
