// How it is made: one step at a time, for the picture, class and layer that the viewer shows. `now`
// is what the server sent for it; `state` is what the visitor follows and plays with.
const steps = props.steps;
const state = { step: 0, tile: 0, cell: null, count: 0, off: new Set(), against: false, size: 12, opacity: 50 };
let asked = null, topic = null, now = null, bytes = null, nudged = null, lines = null;

const view = () => topic; // what `now` is about; window.gradcam may be ahead of it
const keyOf = (v) => v && JSON.stringify(v.request);
const gridOf = (about) => ({ h: about.sent[0], w: about.sent[1], q: bytes.subarray(about.at, about.at + about.sent[0] * about.sent[1]), ...about });
const mapColours = (about) => ({ diverging: about.bottom > 0 });
const tile = () => now.tiles[state.tile];
const cellNow = () => state.cell || [now.shape[0] >> 1, now.shape[1] >> 1];
const averaged = () => now.map.sent[0] < now.shape[0] ? `\nDrawn are ${now.map.sent.join('×')} averages of the ${now.shape[0]}×${now.shape[1]} cells.` : '';
const signed = (x) => (x < 0 ? '−' : '') + number(Math.abs(x));

function values(about) {
  const g = gridOf(about);
  return Float32Array.from(g.q, (_, n) => valueAt(g, n));
}
// A grid as a canvas, a cell a pixel. Diverging: white is zero. Else 0 to the largest.
function picture(about, { diverging = false, reach = 0, side = 260, data = null } = {}) {
  const [h, w] = about.sent, canvas = make('canvas', null, { class: 'gl-cells', width: w, height: h });
  const numbers = data || values(about);
  const top = reach || numbers.reduce((a, b) => Math.max(a, diverging ? Math.abs(b) : b), 0) || 1;
  paint(canvas, numbers.map((v) => diverging ? (v / top + 1) / 2 : Math.max(v, 0) / top), diverging ? props.diverging : props.colours[0]);
  canvas.style.width = `${side}px`; canvas.style.height = `${side * h / w}px`;
  return canvas;
}
function figure(node, text) {
  const f = make('figure', null);
  f.append(node, make('figcaption', text));
  return f;
}
const row = (...nodes) => { const r = make('div', null, { class: 'gl-row' }); r.append(...nodes); return r; };
const say = (text) => { $('.gl-numbers').textContent = text; };
const complain = (text) => { const n = $('.gl-error'); n.textContent = text || ''; n.hidden = !text; };

// What the server answers; null where it could not, and where a newer question has overtaken this.
const latest = {};
async function ask(name, wanted, ...more) {
  const mine = latest[name] = {}, current = () => mine === latest[name] && (name === 'lesson' || wanted === view());
  try {
    const made = await server[name](more.length ? [wanted.request, ...more] : wanted.request);
    if (!current()) return null;
    complain(made.error);
    return made.error ? null : made;
  } catch { if (current()) complain('The server could not be reached; try again in a moment.'); return null; }
}

// A grid over which a cell can be chosen, by pointer or arrow keys.
function choosable(canvas, h, w, chosen) {
  const holder = make('div', null, { class: 'gl-picture', tabindex: 0, role: 'application', 'aria-label': `Grid of ${h} rows and ${w} columns; arrow keys choose a cell` });
  holder.style.width = canvas.style.width;
  const mark = make('div', null, { class: 'gl-mark' });
  const show = () => {
    const [i, j] = cellNow();
    Object.assign(mark.style, { left: `${100 * j / w}%`, top: `${100 * i / h}%`, width: `${100 / w}%`, height: `${100 / h}%` });
  };
  const go = (i, j) => { state.cell = [Math.min(Math.max(i, 0), h - 1), Math.min(Math.max(j, 0), w - 1)]; show(); chosen(); };
  canvas.style.cssText += 'position:static';
  holder.append(canvas, mark);
  holder.onclick = (e) => {
    const r = holder.getBoundingClientRect();
    go(Math.floor((e.clientY - r.top) / r.height * h), Math.floor((e.clientX - r.left) / r.width * w));
  };
  holder.onkeydown = (e) => {
    const by = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[e.key];
    if (by) { e.preventDefault(); const [i, j] = cellNow(); go(i + by[0], j + by[1]); }
  };
  show();
  return holder;
}
// Curves over x on common axes: [{y, style, name}].
function plot(x, curves, label, at = null) {
  const W = 560, H = 250, P = 62, all = curves.flatMap((c) => c.y);
  const [x0, x1] = [Math.min(...x), Math.max(...x)], y0 = Math.min(...all, 0), y1 = Math.max(...all, 0) || 1;
  const X = (v) => P + (v - x0) / (x1 - x0 || 1) * (W - 2 * P), Y = (v) => H - P - (v - y0) / (y1 - y0 || 1) * (H - 2 * P);
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', `0 0 ${W} ${H}`); svg.setAttribute('class', 'gl-plot'); svg.setAttribute('role', 'img'); svg.setAttribute('aria-label', label);
  const add = (tag, attributes, text) => {
    const n = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [k, v] of Object.entries(attributes)) n.setAttribute(k, v);
    if (text !== undefined) n.textContent = text;
    svg.append(n);
  };
  add('line', { x1: P, x2: W - P, y1: Y(0), y2: Y(0), stroke: 'currentColor', 'stroke-opacity': 0.5 });
  for (const [v, place] of [[y1, Y(y1)], [y0, Y(y0)]]) add('text', { x: P - 6, y: place + 4, 'text-anchor': 'end' }, signed(v));
  for (const v of [x0, x1]) add('text', { x: X(v), y: H - P + 18, 'text-anchor': 'middle' }, signed(v));
  curves.forEach((c, n) => {
    if (c.stems) c.y.forEach((v, i) => add('line', { x1: X(x[i]), x2: X(x[i]), y1: Y(0), y2: Y(v), stroke: i === c.marked ? 'var(--color-accent)' : v < 0 ? '#2f6fb3' : '#c0392b', 'stroke-width': i === c.marked ? 4 : 1, 'stroke-opacity': i === c.marked ? 1 : 0.6 }));
    else add('polyline', { points: c.y.map((v, i) => `${X(x[i])},${Y(v)}`).join(' '), fill: 'none', stroke: c.colour, 'stroke-width': 2.5, 'stroke-dasharray': c.dash || '' });
    if (c.name) add('text', { x: P + 8, y: 18 + 16 * n, style: `fill:${c.colour}` }, `${c.dash ? '- - ' : '— '}${c.name}`);
    if (at !== null) add('circle', { cx: X(x[at]), cy: Y(c.y[at]), r: 5, fill: c.colour });
  });
  return svg;
}
function tiles(list, act, draw, label) {
  const holder = make('div', null, { class: 'gl-tiles' });
  list.forEach((t, n) => {
    const b = make('button', null, { type: 'button', 'aria-label': label(t) });
    b.append(draw(t), make('span', `#${t.k}`));
    b.onclick = () => act(t, n, b);
    holder.append(b);
  });
  return holder;
}
function slider(text, attributes, move) {
  const label = make('label', text), input = make('input', null, { type: 'range', ...attributes });
  input.value = attributes.value;
  input.oninput = () => move(Number(input.value));
  label.append(input);
  return label;
}
// The picture under a grid of the layer, drawn cell by cell or smoothly.
function over(about, smooth, data = null, opacity = 0.6) {
  const holder = make('div', null, { class: 'gl-picture' }), canvas = make('canvas', null), image = make('img', null, { alt: 'Your picture' });
  image.src = view().base;
  const [h, w] = about.sent, [H, W] = view().picture, numbers = data || values(about);
  const top = numbers.reduce((a, b) => Math.max(a, b), 0) || 1, unit = numbers.map((v) => Math.max(v, 0) / top);
  canvas.width = 420; canvas.height = Math.round(420 * H / W);
  const heat = smooth ? upsample(unit, h, w, canvas.height, canvas.width)
    : Float32Array.from({ length: canvas.width * canvas.height }, (_, n) => unit[Math.floor(Math.floor(n / canvas.width) * h / canvas.height) * w + Math.floor(n % canvas.width * w / canvas.width)]);
  paint(canvas, heat, props.colours[0]);
  canvas.style.opacity = opacity;
  holder.append(image, canvas);
  return holder;
}

// ---- the steps: each fills the right half and says its numbers -------------------------------

const show = {
  question(play) {
    const v = view(), [low, high] = now.range;
    const picture = (src, alt) => { const n = make('img', null, { alt, width: 230, height: 230 }); n.src = src; return n; };
    play.append(row(
      figure(picture(now.input, 'Your picture, squashed to a square'), `What the network gets: your picture squashed to ${v.side}×${v.side} pixels.`),
      figure(picture(now.after, 'The same after preprocessing'), `After preprocessing: the same numbers, moved to the range ${signed(low)} to ${signed(high)} (drawn from dark to bright).`),
    ));
    const table = make('table', null), head = make('tr', null);
    for (const t of ['Class', 'Score y (logit)', { softmax: 'After softmax', sigmoid: 'After sigmoid', linear: 'Output' }[v.head]]) head.append(make('th', t, { scope: 'col' }));
    table.append(head);
    for (const c of v.classes) {
      const line = make('tr', null);
      line.append(make('td', c.label), make('td', signed(c.y)), make('td', v.head === 'linear' ? signed(c.p) : percent(c.p)));
      if (c.index === v.target) line.style.fontWeight = 700;
      table.append(line);
    }
    play.append(table);
    say(`The question here: y = ${signed(now.score)}, the score of “${v.label}”. What in the picture makes it so large?`);
  },
  maps(play) {
    play.append(tiles(now.tiles, (_, n) => { state.tile = n; state.off.clear(); nudged = null; refresh(); }, (t) => picture(t.a, { side: 72, ...mapColours(t.a) }), (t) => `Feature map ${t.k}, weight ${signed(t.alpha)}`));
    [...play.querySelectorAll('button')].forEach((b, n) => b.setAttribute('aria-pressed', String(n === state.tile)));
    play.append(figure(picture(tile().a, { side: 260, ...mapColours(tile().a) }), `Feature map #${tile().k}. ${tile().a.bottom > 0 ? 'Red: above zero, blue: below; this layer has both.' : 'Bright: the filter reacted strongly.'}`));
    say(`Layer ${now.layer} has K = ${now.shape[2]} feature maps of ${now.shape[0]}×${now.shape[1]} cells. Shown are the ${now.tiles.length} that matter most for “${view().label}”.\nYou follow #${tile().k}: its mean is ${signed(tile().strength)}. Click another one to follow it through the next steps.`);
  },
  gradient(play) {
    const [h, w] = now.shape, report = make('div', null);
    const grid = choosable(picture(tile().g, { diverging: true, side: 260 }), h, w, () => run());
    play.append(row(figure(grid, `The gradient of feature map #${tile().k}. Red: more of it here raises the score; blue: lowers it. Click a cell.`), figure(picture(tile().a, { side: 160, ...mapColours(tile().a) }), `The feature map #${tile().k} itself.`)), report);
    const drawing = make('div', null);
    let control = null;
    const tell = () => {
      const n = nudged, s = state.size, [i, j] = cellNow();
      if (!control) {
        control = slider('', { min: 0, max: n.steps.length - 1, value: s }, (v) => { state.size = v; tell(); });
        control.prepend(make('span', null));
        report.append(control, drawing);
      }
      control.firstChild.textContent = `Nudge this number by ${signed(n.steps[s])} (it is ${signed(n.a)} now)`;
      control.querySelector('input').setAttribute('aria-valuetext', signed(n.steps[s]));
      clear(drawing).append(plot(n.steps, [{ y: n.predicted, colour: 'var(--color-accent)', name: 'predicted: gradient × nudge', dash: '6 5' }, { y: n.true, colour: '#d2691e', name: 'true: the network, really run again' }], 'Predicted and true change of the score over the size of the nudge', s));
      const apart = Math.max(...n.true.map((t, k) => Math.abs(t - n.predicted[k]))), size = Math.max(...n.predicted.map(Math.abs), 1e-12);
      say(`Cell (${i + 1}, ${j + 1}) of #${tile().k}: gradient ${signed(n.g)}.\nPredicted change: ${signed(n.g)} × ${signed(n.steps[s])} = ${signed(n.predicted[s])}.  True change: ${signed(n.true[s])}.\n` +
        (apart < 0.01 * size ? 'Predicted and true agree for every nudge: after this layer the network only averages and adds, so the gradient stays true. Choose an earlier layer to see it fail.' : Math.abs(n.true[s] - n.predicted[s]) <= 0.1 * Math.abs(n.predicted[s]) + 1e-5 ? 'At this size predicted and true nearly agree; drag further to see them part.' : 'At this size the truth has left the straight line: the gradient is a promise for tiny changes only.'));
    };
    const run = async () => {
      const got = await ask('nudge', view(), tile().k, ...cellNow());
      if (got && steps[state.step].key === 'gradient') { nudged = got; tell(); }
    };
    say('Running the network’s tail …');
    run();
  },
  pooling(play) {
    const t = tile(), sorted = now.alphas.map((v, k) => [v, k]).sort((a, b) => b[0] - a[0]);
    play.append(row(figure(picture(t.g, { diverging: true, side: 200 }), `All ${t.cells} gradients of #${t.k}.`)),
      figure(plot(sorted.map((_, n) => n + 1), [{ y: sorted.map((s) => s[0]), stems: true, marked: sorted.findIndex((s) => s[1] === t.k), colour: 'currentColor' }], `All ${sorted.length} weights, sorted, largest first`), `All K = ${sorted.length} weights, sorted: red raises the score, blue lowers it. The thick line is #${t.k}.`));
    say(`Sum of the gradients: ${signed(t.total)}.  Number of cells: ${now.shape[0]} × ${now.shape[1]} = ${t.cells}.\nα of #${t.k} = ${signed(t.total)} / ${t.cells} = ${signed(t.alpha)}.`);
  },
  sum(play) {
    const stage = make('div', null, { class: 'gl-row' }), reach = Math.max(now.map.top, now.map.bottom);
    const most = Math.max(...now.switches.flatMap((t) => [t.map.top, t.map.bottom]));
    const tell = () => {
      const b = now.build[state.count];
      clear(stage).append(figure(picture(b.map, { diverging: true, reach, side: 230 }), `The first ${b.count} of ${now.shape[2]} terms`), figure(picture(now.map, { diverging: true, reach, side: 230 }), 'All terms: the whole sum'));
      say(`With ${b.count} of ${now.shape[2]} feature maps: ${percent(b.share)} of all weight is in, and the map agrees with the whole one by r = ${b.correlation.toFixed(3)}.\nTerm of #${tile().k}: α · A = ${signed(tile().alpha)} × its feature map.`);
    };
    state.count = Math.min(state.count, now.build.length - 1);
    play.append(slider('Add the terms one by one, the heaviest first', { min: 0, max: now.build.length - 1, value: state.count }, (v) => { state.count = v; tell(); }), stage);
    const report = make('p', 'Switch terms off and the network is run again without those channels.', { role: 'status' });
    const left = make('div', null, { class: 'gl-row' });
    const drawLeft = () => {
      const data = values(now.map), off = now.switches.filter((t) => state.off.has(t.k));
      for (const t of off) values(t.map).forEach((v, n) => { data[n] -= v; });
      clear(left).append(figure(picture(now.map, { diverging: true, reach, data, side: 230 }), off.length ? `The sum without ${off.map((t) => `#${t.k}`).join(', ')}` : 'The sum with all terms on'), report);
    };
    play.append(make('h3', 'Switchboard: the strongest terms for and against'), tiles(now.switches, async (t, _, b) => {
      state.off.has(t.k) ? state.off.delete(t.k) : state.off.add(t.k);
      const on = !state.off.has(t.k);
      b.setAttribute('aria-pressed', String(on)); b.classList.toggle('off', !on);
      drawLeft();
      report.textContent = 'Running the network without them …';
      const got = await ask('without', view(), [...state.off]);
      if (got) report.textContent = `Score of “${view().label}” with all channels: ${signed(got.before)}. With ${state.off.size} switched off: ${signed(got.after)} (${got.after > got.before ? '+' : ''}${signed(got.after - got.before)}).`;
    }, (t) => picture(t.map, { diverging: true, reach: most, side: 72 }), (t) => `Term of channel ${t.k}, sum ${signed(t.total)}`), left);
    [...play.querySelectorAll('.gl-tiles button')].forEach((b, n) => {
      const off = state.off.has(now.switches[n].k);
      b.setAttribute('aria-pressed', String(!off)); b.classList.toggle('off', off);
      b.append(make('span', signed(now.switches[n].total)));
    });
    drawLeft();
    tell();
  },
  relu(play) {
    const before = values(now.map).map((v) => state.against ? -v : v), after = before.map((v) => Math.max(v, 0));
    const reach = Math.max(now.map.top, now.map.bottom), label = make('label', null, { class: 'gl-check' }), box = make('input', null, { type: 'checkbox' });
    box.checked = state.against;
    box.onchange = () => { state.against = box.checked; refresh(); };
    label.append(box, 'Evidence against the class instead (the gradients negated)');
    play.append(row(figure(picture(now.map, { diverging: true, reach, data: before }), 'Before: the signed sum'), figure(picture(now.map, { diverging: true, reach, data: after }), 'After: only what is above zero')), label);
    const { cells, below, above, min, max } = now.whole, cut = state.against ? above : below;
    const [low, high] = state.against ? [-max, -min] : [min, max];
    say(`${cut} of ${cells} cells were below zero and are cut: ${percent(cut / cells)}.\nSmallest value before: ${signed(low)}; largest: ${signed(high)}.${averaged()}`);
  },
  scaling(play) {
    play.append(row(figure(over(now.map, false), `Nearest: the ${now.shape[0]}×${now.shape[1]} cells, each over the part of the picture it stands for.`), figure(over(now.map, true), 'Bilinear: the same numbers, smooth between the middles of the cells.')));
    const [H, W] = view().picture;
    say(`${now.shape[0]}×${now.shape[1]} numbers become ${H}×${W} pixels: one cell covers about ${Math.round(H / now.shape[0])}×${Math.round(W / now.shape[1])} of them.\nEvery number is divided by the largest, ${signed(now.whole.max)}; so 1 is the strongest evidence, 0 none.${averaged()}`);
  },
  overlay(play) {
    const report = make('div', null), [h, w] = now.shape;
    const done = over(now.map, true, null, state.opacity / 100), [H, W] = view().picture;
    done.style.width = '420px';
    const grid = choosable(done.querySelector('canvas'), h, w, () => run());
    grid.prepend(done.querySelector('img'));
    grid.style.width = 'min(420px, 100%)';
    grid.style.aspectRatio = `${W} / ${H}`;
    const canvas = grid.querySelector('canvas');
    canvas.style.position = 'absolute';
    const run = async () => {
      const [i, j] = cellNow(), got = await ask('cell', view(), i, j);
      if (!got || steps[state.step].key !== 'overlay') return;
      clear(report).append(make('h3', `The sum that made cell (${i + 1}, ${j + 1})`));
      const table = make('table', null), head = make('tr', null);
      for (const t of ['Feature map', 'α', '× A', '= term']) head.append(make('th', t, { scope: 'col' }));
      table.append(head);
      const line = (...cells) => { const r = make('tr', null); cells.forEach((c) => r.append(make('td', c))); table.append(r); return r; };
      got.terms.forEach((t) => line(`#${t.k}`, signed(t.alpha), signed(t.a), signed(t.value)));
      line(`the other ${got.others}`, '', '', signed(got.rest));
      line('together', '', '', signed(got.total)).style.fontWeight = 700;
      report.append(table);
    };
    play.append(figure(grid, 'Click any cell to see the sum that made it.'), slider('Opacity', { min: 0, max: 100, value: state.opacity }, (v) => { state.opacity = v; canvas.style.opacity = v / 100; }), report);
    say(`This map says where layer ${now.layer} found evidence for “${view().label}”. It does not say that the answer is right, nor that the network needs those places: to know that, hide them and look again.`);
    run();
  },
  guided(play) {
    const holder = make('div', null, { class: 'gl-row' }), b = make('button', 'Run guided backpropagation (one more pass)', { type: 'button' });
    const fill = () => {
      const image = (src, alt) => { const n = make('img', null, { alt, width: 280, height: 280 }); n.src = src; return n; };
      clear(holder).append(figure(image(lines.guided, 'Guided backpropagation'), 'Guided backpropagation: fine lines, hardly different from class to class.'), figure(image(lines.both, 'Guided Grad-CAM'), 'Times the Grad-CAM map: only where the map is bright.'));
    };
    b.onclick = async () => {
      b.disabled = true;
      lines = await ask('guided', view()) || lines;
      b.disabled = false;
      if (lines && steps[state.step].key === 'guided') fill();
    };
    play.append(b, holder);
    if (lines) fill();
    say('');
  },
};

function refresh() {
  if (!now) return;
  const step = steps[state.step], v = view();
  $$('.gl-nav button').forEach((b, n) => n === state.step ? b.setAttribute('aria-current', 'step') : b.removeAttribute('aria-current'));
  $('.gl-about').textContent = `Step ${state.step + 1} of ${steps.length} · ${v.label} · ${now.layer} · ${v.model}`;
  $('.gl-title').textContent = step.title;
  $('.gl-formula').innerHTML = step.formula; // made by the program itself, when the page is built
  $('.gl-formula').setAttribute('aria-label', step.latex);
  $('.gl-text').textContent = step.words;
  $('.gl-source code').textContent = step.code;
  $('.gl-back').disabled = state.step === 0;
  $('.gl-next').disabled = state.step === steps.length - 1;
  show[step.key](clear($('.gl-play')));
  element.dataset.step = step.key;
}
function go(step) {
  state.step = Math.min(Math.max(step, 0), steps.length - 1);
  refresh();
  $('.gl-title').focus();
}
async function renew() {
  const wanted = window.gradcam, key = keyOf(wanted);
  if (!wanted || !element.offsetParent || asked === key) return;
  asked = key;
  const got = await ask('lesson', wanted);
  if (!got) { if (asked === key) asked = null; return; }
  [now, topic] = [got, wanted];
  bytes = new Int8Array(bytesOf(got.bytes).buffer);
  Object.assign(state, { tile: 0, cell: null, count: 0, against: false, size: 12 });
  state.off.clear();
  nudged = lines = null;
  element.dataset.lesson = key;
  refresh();
}
steps.forEach((s, n) => {
  const b = make('button', `${n + 1} ${s.title}`, { type: 'button' });
  b.onclick = () => go(n);
  $('.gl-nav').append(b);
});
$('.gl-back').onclick = () => go(state.step - 1);
$('.gl-next').onclick = () => go(state.step + 1);
document.addEventListener('gradcam', renew);
new IntersectionObserver(renew).observe(element);
