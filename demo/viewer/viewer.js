// The viewer: draws the maps that one answer of the server brought. No request but for a new class,
// a layer that was not sent, or the figure. Everything a visitor can change is in `state`.
const state = {
  layer: null, method: props.methods[0].name, colours: props.colours[0], opacity: 50, view: 'side',
  sign: 'for', band: 'a', box: false, threshold: 15, cell: null,
};
const linear = new Set(['Grad-CAM', 'HiResCAM', 'XGrad-CAM']);
let answer = null, maps = null, base = null, playing = null, asked = null;

const classOf = (index) => answer.classes.find((c) => c.index === index);

// ---- numbers ---------------------------------------------------------------------------------

function grid(name = state.layer, method = state.method, band = state.band) {
  const row = answer.layers.find((l) => l.name === name);
  const about = row.maps[`${band}/${method}`];
  const [h, w] = about.sent;
  return { h, w, q: maps.subarray(about.at, about.at + h * w), row, ...about };
}
const bandsHere = () => answer.other < 0 ? ['a'] : ['a', 'b', 'ab'];

// What 1 (or white's far ends) stands for. Two classes and their difference share one scale.
function reach(g, sign = state.sign) {
  const all = linear.has(state.method) ? bandsHere().map((b) => grid(g.row.name, state.method, b)) : [g];
  const most = (key) => Math.max(...all.map((o) => o[key]), 0);
  return sign === 'for' ? most('top') : sign === 'against' ? most('bottom') : Math.max(most('top'), most('bottom'));
}

// The map as 0..1 (on the diverging scale 0.5 is zero), h x w.
function normalised(g, sign = state.sign) {
  const out = new Float32Array(g.h * g.w), top = reach(g, sign);
  for (let i = 0; i < out.length; i++) {
    const v = top > 0 ? valueAt(g, i) / top : 0;
    out[i] = sign === 'for' ? Math.max(v, 0) : sign === 'against' ? Math.max(-v, 0) : (v + 1) / 2;
  }
  return out;
}

const coloursNow = () => state.sign === 'both' ? props.diverging : state.colours;

// The largest connected part at or above the threshold: [left, top, right, bottom] in 0..1.
function boxOf(heat, W, H) {
  const top = heat.reduce((a, b) => Math.max(a, b), 0), limit = top * state.threshold / 100;
  if (!(top > 0)) return null;
  const seen = new Uint8Array(W * H), todo = new Int32Array(W * H);
  let best = null;
  for (let start = 0; start < seen.length; start++) {
    if (seen[start] || heat[start] < limit) continue;
    let n = 0, end = 1, l = W, t = H, r = 0, b = 0;
    todo[0] = start; seen[start] = 1;
    while (n < end) {
      const at = todo[n++], x = at % W, y = (at - x) / W;
      l = Math.min(l, x); r = Math.max(r, x + 1); t = Math.min(t, y); b = Math.max(b, y + 1);
      for (const [near, inside] of [[at - 1, x > 0], [at + 1, x < W - 1], [at - W, y > 0], [at + W, y < H - 1]]) {
        if (inside && !seen[near] && heat[near] >= limit) { seen[near] = 1; todo[end++] = near; }
      }
    }
    if (!best || end > best.size) best = { size: end, box: [l / W, t / H, r / W, b / H] };
  }
  return best.box;
}

// ---- what is on the screen -------------------------------------------------------------------

function draw() {
  if (!answer || !base) return;
  const g = grid(), canvas = $('.gv-heat');
  const [H, W] = answer.picture, shrink = Math.min(1, 720 / Math.max(H, W));
  canvas.width = Math.round(W * shrink); canvas.height = Math.round(H * shrink);
  const heat = upsample(normalised(g), g.h, g.w, canvas.height, canvas.width);
  paint(canvas, heat, coloursNow());
  canvas.style.opacity = state.opacity / 100;
  const alone = state.sign === 'both' ? upsample(normalised(g, 'for'), g.h, g.w, canvas.height, canvas.width) : heat;
  const box = state.box ? boxOf(alone, canvas.width, canvas.height) : null;
  place($('.gv-box'), box);
  if (box) $('.gv-box').title = `left ${Math.round(box[0] * W)}, top ${Math.round(box[1] * H)}, right ${Math.round(box[2] * W)}, bottom ${Math.round(box[3] * H)}`;
  $('.gv-stage').dataset.view = state.view;
  $('.gv-swipe').hidden = state.view !== 'swipe';
  swipe();
  element.dataset.layer = state.layer;
  element.dataset.drawn = Number(element.dataset.drawn || 0) + 1;
}
function swipe() {
  const at = Number($('[name=swipe]').value), edge = $('.gv-edge');
  $('.gv-heat').style.clipPath = state.view === 'swipe' ? `inset(0 0 0 ${at}%)` : '';
  edge.hidden = state.view !== 'swipe';
  edge.style.left = `${at}%`;
}
function place(node, box) {
  node.hidden = !box;
  if (!box) return;
  const [l, t, r, b] = box.map((v) => 100 * v);
  Object.assign(node.style, { left: `${l}%`, top: `${t}%`, width: `${r - l}%`, height: `${b - t}%` });
}

function words(g) {
  const a = classOf(answer.target), b = answer.other < 0 ? null : classOf(answer.other);
  const who = state.band === 'b' ? b : a;
  const named = `${who.label} (${percent(who.p)})`;
  const seen = `as seen by layer ${g.row.name}, a grid of ${g.row.shape[0]}×${g.row.shape[1]} cells`;
  if (state.method === 'Eigen-CAM') return `The strongest pattern in layer ${g.row.name}, whatever the class: Eigen-CAM does not ask for one.`;
  if (state.band === 'ab') {
    const [x, y] = state.sign === 'against' ? [b, a] : [a, b];
    return state.sign === 'both' ? `Red speaks for ${a.label} rather than ${b.label}, blue the other way round, ${seen}.`
      : `What speaks for ${x.label} rather than ${y.label}, ${seen}.`;
  }
  if (state.sign === 'both') return `Red is evidence for ${named}, blue is evidence against it, white is neither, ${seen}.`;
  return `Where evidence ${state.sign} ${named} is found, ${seen}.`;
}
function emptiness(g) {
  if (reach(g) > 0 && (state.sign === 'both' || (state.sign === 'for' ? g.top : g.bottom) > 0)) return '';
  if (g.top === 0 && g.bottom === 0) return 'The map is empty: for this picture, this layer says nothing at all about the class.';
  return state.sign === 'for' ? 'The map is empty: at this layer every place speaks against the class, and the ReLU sets such places to zero.'
    : 'The map is empty: no place at this layer speaks against the class.';
}
function same(g) {
  if (!linear.has(state.method)) return false;
  return ['Grad-CAM', 'HiResCAM', 'XGrad-CAM'].every((m) => {
    const o = grid(g.row.name, m);
    const top = Math.max(o.top, o.bottom) || 1, mine = Math.max(g.top, g.bottom) || 1;
    for (let i = 0; i < g.q.length; i++) if (Math.abs(valueAt(o, i) / top - valueAt(g, i) / mine) > 0.02) return false;
    return true;
  });
}

function tell() {
  if (!answer || !base) return;
  const g = grid(), c = classOf(state.band === 'b' ? answer.other : answer.target);
  $('.gv-say').textContent = words(g);
  $('.gv-over .gv-frame').setAttribute('aria-label', words(g));
  $('.gv-caption').textContent = `${state.method} · ${g.row.name}`;
  const method = props.methods.find((m) => m.name === state.method);
  const line = clear($('.gv-method'));
  line.append(`${method.name}: ${method.line} Cost: ${method.cost}. `, Object.assign(make('a', 'The paper', { target: '_blank', rel: 'noopener noreferrer' }), { href: method.paper }));
  const notes = [];
  const empty = emptiness(g);
  if (empty) notes.push(empty);
  if (g.row.poor) notes.push(`This is not a good layer to explain with: ${g.row.poor}.`);
  if (same(g)) notes.push('At this layer Grad-CAM, HiResCAM and XGrad-CAM give the same map: after it comes only an average over all places, so the gradient is the same everywhere.');
  if (g.h < g.row.shape[0]) notes.push(`Drawn from ${g.h}×${g.w} averages of its ${g.row.shape[0]}×${g.row.shape[1]} cells; the figure has them all.`);
  if (answer.detail) notes.push(`The network runs at ${answer.model.side}×${answer.model.side}, twice the side it was trained for: a finer map, but less trustworthy probabilities.`);
  const note = clear($('.gv-note'));
  note.hidden = !notes.length;
  note.append(notes.join(' '));
  if (empty) {
    const way = g.top === 0 && g.bottom === 0 && g.row.name !== answer.best;
    const button = make('button', way ? `Go to ${answer.best}` : 'Show both signs', { type: 'button' });
    button.onclick = () => way ? choose(answer.best) : set('sign', 'both');
    note.append(' ', button);
  }
  const top = reach(g);
  const ticks = clear($('.gv-ticks'));
  for (const t of state.sign === 'both' ? [-top, 0, top] : [0, top / 2, top]) ticks.append(make('span', number(state.sign === 'against' ? -t : t)));
  const scale = $('.gv-scale canvas');
  paint(scale, Float32Array.from({ length: 256 * 12 }, (_, i) => (i % 256) / 255), coloursNow());
  const rows = [
    ['Class', `${c.label}, number ${c.index}`],
    ['Score before softmax (logit)', number(c.y)],
    [answer.model.head === 'linear' ? 'Output' : 'Probability', answer.model.head === 'linear' ? number(c.p) : percent(c.p)],
    ['Rank', `${c.rank} of ${answer.count}`],
    ['Smallest and largest value of the map', `${number(g.min)} … ${number(g.max)}`],
    ['Places cut by the ReLU', percent(g.cut)],
    ['Grid, channels', `${g.row.shape[0]}×${g.row.shape[1]}, ${g.row.shape[2]}`],
    ['What the network was given', `the picture squashed to ${answer.model.side}×${answer.model.side}`],
    ['Network', answer.model.title],
  ];
  const list = clear($('.gv-numbers dl'));
  for (const [k, v] of rows) list.append(make('dt', k), make('dd', v));
  $$('.gv-classes button').forEach((n) => n.setAttribute('aria-pressed', String(Number(n.dataset.index) === answer.target)));
  $$('.gv-strip button').forEach((n) => {
    const on = n.dataset.layer === state.layer;
    n.setAttribute('aria-checked', String(on)); n.tabIndex = on ? 0 : -1;
    if (on) { const s = $('.gv-strip'); s.scrollLeft = n.offsetLeft - s.offsetLeft - s.clientWidth / 2 + n.clientWidth / 2; }
  });
  $('[name=layer]').value = state.layer;
  showCell();
  announce();
}
// Every layer of the network, good or poor, in the order in which they run.
function examine() {
  const panel = $('.gv-doctor');
  if (!panel.open || !answer || panel.dataset.for === answer.model.key + answer.detail) return;
  panel.dataset.for = answer.model.key + answer.detail;
  $('.gv-found').textContent = answer.found;
  const body = clear($('.gv-doctor tbody'));
  for (const [name, shape, kind, poor] of answer.doctor) {
    const row = make('tr', null), cell = make('td', null);
    const place = shape[0] * shape[1] > 1;
    const verdict = name === answer.best ? `best: the last feature map before the answer, ${shape.join('×')}` : poor ? `poor: ${poor}` : `good, ${shape.join('×')}`;
    cell.append(place ? make('button', name, { type: 'button', 'data-go': name }) : name);
    row.append(cell, make('td', kind), make('td', verdict));
    row.className = name === answer.best ? 'gv-best' : poor ? 'gv-poor' : '';
    body.append(row);
  }
}
function showCell() {
  const cell = $('.gv-cell'), g = grid();
  if (!state.cell || state.cell[0] >= g.h || state.cell[1] >= g.w) { state.cell = null; cell.hidden = true; return; }
  const [i, j] = state.cell, v = valueAt(g, i * g.w + j);
  let total = 0;
  for (let n = 0; n < g.q.length; n++) { const x = valueAt(g, n); if (v >= 0 ? x > 0 : x < 0) total += x; }
  place(cell, [j / g.w, i / g.h, (j + 1) / g.w, (i + 1) / g.h]);
  $('.gv-pointer').textContent = `Row ${i + 1}, column ${j + 1}: ${number(v)}` + (total && v ? `, ${percent(v / total)} of all evidence ${v > 0 ? 'for' : 'against'}` : '');
}
function strip() {
  if (!answer || !base) return;
  const [H, W] = answer.picture, h = 54, w = Math.round(Math.min(Math.max(h * W / H, 36), 96));
  const holder = $('.gv-strip');
  const buttons = $$('.gv-strip button');
  const label = (row) => `${row.name}, ${row.shape.join('×')}`;
  const fresh = buttons.length !== answer.layers.length || buttons.some((b, n) => b.ariaLabel !== label(answer.layers[n]));
  if (fresh) {
    clear(holder);
    for (const row of answer.layers) {
      const b = make('button', null, { type: 'button', role: 'radio', 'aria-label': label(row), 'data-layer': row.name });
      b.append(make('canvas', null), make('span', row.name, { class: 'gv-name' }), make('span', `${row.shape[0]}×${row.shape[1]}${row.name === answer.best ? ' ★' : ''}`, { class: 'gv-grid' }));
      holder.append(b);
    }
  }
  $$('.gv-strip button').forEach((b, n) => {
    const row = answer.layers[n], g = grid(row.name), canvas = b.querySelector('canvas');
    const heat = document.createElement('canvas');
    canvas.width = heat.width = 2 * w; canvas.height = heat.height = 2 * h;
    canvas.style.width = `${w}px`;
    paint(heat, upsample(normalised(g), g.h, g.w, 2 * h, 2 * w), coloursNow());
    const pen = canvas.getContext('2d');
    pen.drawImage(base, 0, 0, 2 * w, 2 * h);
    pen.globalAlpha = 0.6;
    pen.drawImage(heat, 0, 0);
  });
}

// Tells the rest of the page what is in view.
function announce() {
  const c = classOf(answer.target);
  window.gradcam = {
    request: { path: props.value.base?.path ?? window.gradcam?.request.path, model: answer.model.key, target: answer.target, detail: answer.detail, layer: state.layer },
    base: base.src, picture: answer.picture, classes: answer.classes, target: answer.target, label: c.label, model: answer.model.title, side: answer.model.side, head: answer.model.head,
  };
  document.dispatchEvent(new Event('gradcam'));
}

// ---- what a visitor does ---------------------------------------------------------------------

function set(key, value) {
  state[key] = value;
  const control = { view: 'gv-view', sign: 'gv-sign', band: 'gv-band' }[key];
  if (control) $$(`[name=${control}]`).forEach((n) => { n.checked = n.value === value; });
  draw(); tell();
  if (['method', 'colours', 'sign', 'band'].includes(key)) strip();
}
function choose(name) {
  if (answer.layers.some((l) => l.name === name)) set('layer', name);
  else { asked = name; trigger('layer', { name }); }
}
function step(by, wrap = false) {
  const n = answer.layers.findIndex((l) => l.name === state.layer), size = answer.layers.length;
  set('layer', answer.layers[wrap ? (n + by + size) % size : Math.min(Math.max(n + by, 0), size - 1)].name);
}
function play(on) {
  clearInterval(playing);
  playing = on ? setInterval(() => step(1, true), 700) : null;
  $('.gv-play').textContent = on ? '❚❚ Pause' : '▶ Play';
  $('.gv-play').setAttribute('aria-pressed', String(on));
}
function save(name, blob) {
  const link = make('a', '', { download: name });
  link.href = URL.createObjectURL(blob);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
const fileName = (what) => `gradcam-${answer.model.key}-${state.layer.replaceAll('/', '-')}-${answer.target}-${what}.png`;
function saveOverlay() {
  const [H, W] = answer.picture, out = make('canvas', null), heat = make('canvas', null), g = grid();
  out.width = heat.width = W; out.height = heat.height = H;
  paint(heat, upsample(normalised(g), g.h, g.w, H, W), coloursNow());
  const pen = out.getContext('2d');
  pen.fillStyle = '#fff'; pen.fillRect(0, 0, W, H);
  pen.drawImage(base, 0, 0, W, H);
  pen.globalAlpha = state.opacity / 100;
  pen.drawImage(heat, 0, 0);
  out.toBlob((blob) => save(fileName('overlay'), blob));
}
async function saveFigure(button) {
  button.disabled = true;
  const text = button.textContent;
  button.textContent = 'Drawing the figure …';
  try {
    const made = await server.figure({
      path: window.gradcam.request.path, model: answer.model.key, target: state.band === 'b' ? answer.other : answer.target, layer: state.layer,
      other: state.band === 'ab' ? answer.other : -1, method: state.method, sign: state.sign, colours: state.colours, opacity: state.opacity / 100, detail: answer.detail,
      top: answer.other < 0 ? 0 : reach(grid()),
    });
    if (made.png) save(fileName('figure'), new Blob([bytesOf(made.png)], { type: 'image/png' }));
    else complain(made.error);
  } catch { complain('The server could not be reached; try again in a moment.'); }
  button.disabled = false;
  button.textContent = text;
}
function complain(sentence) {
  const node = $('.gv-error');
  node.textContent = sentence;
  node.hidden = !sentence;
}

element.addEventListener('change', (e) => {
  const { name, value, checked } = e.target;
  if (name === 'layer') { play(false); choose(value); }
  else if (name === 'method' || name === 'colours') set(name, value);
  else if (name === 'box') set('box', checked);
  else if (name.startsWith('gv-')) set(name.slice(3), value);
});
element.addEventListener('input', (e) => {
  const { name, value } = e.target;
  if (name === 'opacity') {
    state.opacity = Number(value);
    $('[name=opacity-out]').textContent = `${value} %`;
    $('.gv-heat').style.opacity = value / 100;
  } else if (name === 'swipe') swipe();
  else if (name === 'threshold') {
    state.threshold = Number(value); state.box = true;
    $('[name=thr-out]').textContent = `${value} %${value === '15' ? ' (as in the paper)' : ''}`;
    $('[name=box]').checked = true;
    draw();
  }
});
element.addEventListener('click', (e) => {
  const button = e.target.closest('button');
  if (!button || !answer) return;
  if (button.dataset.index) trigger('choose', { index: Number(button.dataset.index) });
  else if (button.dataset.layer) { play(false); set('layer', button.dataset.layer); }
  else if (button.dataset.go) { play(false); choose(button.dataset.go); }
  else if (button.matches('.gv-play')) play(!playing);
  else if (button.matches('.gv-save-overlay')) saveOverlay();
  else if (button.matches('.gv-save-figure')) saveFigure(button);
});
$('.gv-doctor').addEventListener('toggle', examine);
element.addEventListener('keydown', (e) => {
  const by = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[e.key];
  if (!by || !answer) return;
  if (e.target.closest('.gv-strip')) {
    e.preventDefault(); play(false); step(by[0] + by[1]);
    $('.gv-strip [aria-checked=true]').focus();
  } else if (e.target.closest('.gv-over .gv-frame')) {
    e.preventDefault();
    const g = grid(), [i, j] = state.cell || [g.h >> 1, g.w >> 1];
    state.cell = [Math.min(Math.max(i + by[0], 0), g.h - 1), Math.min(Math.max(j + by[1], 0), g.w - 1)];
    showCell();
  }
});
$('.gv-over .gv-frame').addEventListener('pointermove', (e) => {
  if (!answer) return;
  const r = e.currentTarget.getBoundingClientRect(), g = grid();
  const cell = [Math.floor((e.clientY - r.top) / r.height * g.h), Math.floor((e.clientX - r.left) / r.width * g.w)];
  if (cell[0] < 0 || cell[1] < 0 || (state.cell && cell.join() === state.cell.join())) return;
  state.cell = cell;
  showCell();
});
$('.gv-over .gv-frame').addEventListener('pointerleave', () => { state.cell = null; if (answer) showCell(); });

// ---- what the server sends -------------------------------------------------------------------

function fillChoices() {
  const select = clear($('[name=layer]'));
  const sent = make('optgroup', null, { label: 'Suggested' }), rest = make('optgroup', null, { label: 'All other layers' });
  for (const row of answer.layers) sent.append(make('option', `${row.name} · ${row.shape.join('×')}${row.name === answer.best ? ' ★ best' : ''}`, { value: row.name }));
  const others = answer.doctor.filter(([name, shape]) => shape[0] * shape[1] > 1 && !answer.layers.some((l) => l.name === name));
  for (const [name, shape] of others) rest.append(make('option', `${name} · ${shape.join('×')}`, { value: name }));
  select.append(sent);
  if (others.length) select.append(rest);
  const list = clear($('.gv-classes'));
  for (const c of answer.classes) {
    const b = make('button', null, { type: 'button', 'data-index': c.index, title: 'Explain this class' });
    b.append(make('span', c.label, { class: 'gv-label' }), make('span', answer.model.head === 'linear' ? number(c.p) : percent(c.p), { class: 'gv-p' }));
    b.style.setProperty('--p', `${100 * Math.min(Math.max(c.p, 0), 1)}%`);
    list.append(b);
  }
  const bands = $('.gv-bands');
  bands.hidden = answer.other < 0;
  while (bands.children.length > 1) bands.lastChild.remove();
  if (answer.other >= 0) {
    const [a, b] = [classOf(answer.target).label, classOf(answer.other).label];
    for (const [value, text] of [['a', a], ['b', b], ['ab', `${a} rather than ${b}`]]) {
      const label = make('label', null), input = make('input', null, { type: 'radio', name: 'gv-band', value });
      input.checked = value === state.band;
      label.append(input, text);
      bands.append(label);
    }
  }
}
function receive() {
  const value = props.value;
  if (!value) return;
  complain(value.error || '');
  element.classList.toggle('gv-stale', Boolean(value.error));
  if (value.notice) $('.gv-say').textContent = value.notice;
  if (!value.answer) return;
  const before = answer;
  answer = value.answer;
  maps = new Int8Array(bytesOf(answer.bytes).buffer);
  const have = (name) => answer.layers.some((l) => l.name === name);
  if (asked && have(asked)) { state.layer = asked; asked = null; }
  const wanted = state.layer;
  if (!have(wanted)) state.layer = answer.best;
  const newQuestion = !before || before.target !== answer.target || before.other !== answer.other;
  if (newQuestion) state.band = answer.other < 0 ? 'a' : 'ab';
  state.cell = null;
  fillChoices();
  const url = value.base.url;
  element.dataset.answer = `${answer.model.key}/${answer.target}/${answer.other}`;
  examine();
  if (base && base.dataset.url === url) { draw(); strip(); tell(); }
  else {
    const image = new Image();
    image.dataset.url = url;
    image.onload = () => {
      base = image;
      $$('.gv-frame img').forEach((n) => { n.src = url; });
      $$('.gv-frame').forEach((n) => { n.style.setProperty('--ratio', answer.picture[1] / answer.picture[0]); });
      draw(); strip(); tell();
    };
    image.onerror = () => complain('The picture could not be shown by this browser; save it as JPEG or PNG and try again.');
    image.src = url;
  }
  if (before && before.model.key === answer.model.key && wanted && !have(wanted) && answer.doctor.some(([n]) => n === wanted)) {
    asked = wanted;
    trigger('layer', { name: wanted });
  }
}
for (const m of props.methods) $('[name=method]').append(make('option', m.name, { value: m.name }));
for (const c of props.colours) $('[name=colours]').append(make('option', c, { value: c }));
watch('value', receive);
receive();
