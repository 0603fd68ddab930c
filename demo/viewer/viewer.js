// The viewer: draws the maps that one answer of the server brought. No request but for a new class,
// a layer that was not sent, or the figure. Everything a visitor can change is in `state`.
const state = {
  layer: null, method: props.methods[0].name, colours: props.colours[0], opacity: 50, view: 'side',
  sign: 'for', band: 'a', box: false, threshold: 15, place: null, // of the cell that is read: [down, right] in 0..1
};
const twoSigned = props.methods.filter((m) => !m.against).map((m) => m.name);
const hint = $('.gv-pointer').textContent;
let answer = null, maps = null, base = null, current = null, playing = null, asked = null, askedOf = null, box = null;

const classOf = (index) => answer.classes.find((c) => c.index === index);
const chosenClass = () => classOf(state.band === 'b' ? answer.other : answer.target);
const methodNow = () => props.methods.find((m) => m.name === state.method);
const signNow = () => methodNow().against ? 'for' : state.sign;
const chance = (c) => answer.model.head === 'linear' ? number(c.p) : percent(c.p);

// Whether the picture that the answer is about is there.
const ready = () => Boolean(answer && base && base.dataset.url === current.base.url);

// ---- numbers ---------------------------------------------------------------------------------

function grid(name = state.layer, method = state.method, band = state.band) {
  const row = answer.layers.find((l) => l.name === name);
  const about = row.maps[`${band}/${method}`];
  const [h, w] = about.sent;
  return { h, w, q: maps.subarray(about.at, about.at + h * w), row, ...about };
}
const bandsHere = () => answer.other < 0 ? ['a'] : ['a', 'b', 'ab'];

// What 1 (or white's far ends) stands for. Two classes and their difference share one scale.
// ends: a map -> its largest for and against; of what was sent, which may be averages of its cells.
function reach(g, sign = signNow(), ends = (o) => [o.top, o.bottom]) {
  const all = twoSigned.includes(state.method) ? bandsHere().map((b) => grid(g.row.name, state.method, b)) : [g];
  const [up, down] = [0, 1].map((end) => Math.max(...all.map((o) => ends(o)[end]), 0));
  return sign === 'for' ? up : sign === 'against' ? down : Math.max(up, down);
}

// The map as 0..1 (on the diverging scale 0.5 is zero), h x w.
function normalised(g, sign = signNow()) {
  const out = new Float32Array(g.h * g.w), top = reach(g, sign);
  for (let i = 0; i < out.length; i++) {
    const v = top > 0 ? valueAt(g, i) / top : 0;
    out[i] = sign === 'for' ? Math.max(v, 0) : sign === 'against' ? Math.max(-v, 0) : (v + 1) / 2;
  }
  return out;
}

const coloursNow = () => signNow() === 'both' ? props.diverging : state.colours;

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
  if (!ready()) return;
  const g = grid(), canvas = $('.gv-heat');
  const [H, W] = answer.picture, shrink = Math.min(1, 720 / Math.max(H, W));
  canvas.width = Math.round(W * shrink); canvas.height = Math.round(H * shrink);
  const heat = upsample(normalised(g), g.h, g.w, canvas.height, canvas.width);
  paint(canvas, heat, coloursNow());
  canvas.style.opacity = state.opacity / 100;
  const alone = signNow() === 'both' ? upsample(normalised(g, 'for'), g.h, g.w, canvas.height, canvas.width) : heat;
  box = state.box ? boxOf(alone, canvas.width, canvas.height) : null;
  place($('.gv-box'), box);
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
  const a = classOf(answer.target), b = classOf(answer.other), c = chosenClass(), sign = signNow();
  if (state.view === 'original') return 'Your picture as it is, without a map.';
  const layer = `layer ${g.row.name} (${g.row.shape[0]}×${g.row.shape[1]} cells)`;
  const hot = ['turbo', 'jet'].includes(state.colours) ? 'Red' : 'Bright';
  if (methodNow().classless) return `${hot}: the strongest pattern in ${layer}, the same for every class.`;
  const [x, y] = sign === 'against' ? [b, a] : [a, b];
  const what = state.band === 'ab' ? `for ${x.label} rather than ${y.label}` : `${sign} ${c.label} (${chance(c)})`;
  if (sign === 'both' && state.band === 'ab') return `Red is evidence for ${a.label} rather than ${b.label}, blue the other way round, white is neither, in ${layer}.`;
  if (sign === 'both') return `Red is evidence for ${c.label} (${chance(c)}), blue is evidence against it, white is neither, in ${layer}.`;
  return isEmpty(g) ? `In ${layer} there is no evidence ${what}.` : `${hot}: where ${layer} finds evidence ${what}.`;
}
function isEmpty(g) {
  const sign = signNow();
  return !(reach(g) > 0) || (sign === 'for' ? g.top === 0 : sign === 'against' && g.bottom === 0);
}
function emptiness(g) {
  if (!isEmpty(g)) return '';
  if (g.top === 0 && g.bottom === 0) return `The map is empty: for this picture, ${methodNow().classless ? 'nothing is active in this layer' : 'this layer says nothing at all about the class'}.`;
  if (signNow() === 'against') return 'The map is empty: no place at this layer speaks against the class.';
  return `The map is empty: at this layer every place ${methodNow().against ? 'is below zero' : 'speaks against the class'}, and the ReLU sets such places to zero.`;
}
// The strongest colour stands for the strongest evidence of the sign that is shown, however weak.
function weakness(g) {
  const sign = signNow(), [shown, hidden, other] = sign === 'for' ? [g.top, g.bottom, 'against'] : [g.bottom, g.top, 'for'];
  if (sign === 'both' || methodNow().against || !(shown > 0) || shown >= 0.1 * hidden) return '';
  return `The strongest evidence ${sign} is ${percent(shown / hidden)} of the strongest evidence ${other}.`;
}
function same(g) {
  if (!twoSigned.includes(state.method) || isEmpty(g)) return false;
  return twoSigned.every((m) => {
    const o = grid(g.row.name, m);
    const top = Math.max(o.top, o.bottom) || 1, mine = Math.max(g.top, g.bottom) || 1;
    for (let i = 0; i < g.q.length; i++) if (Math.abs(valueAt(o, i) / top - valueAt(g, i) / mine) > 0.02) return false;
    return true;
  });
}

// What to be careful with, whatever method and sign are shown.
function cautions(g) {
  return [
    g.row.poor && `This is not a good layer to explain with: ${g.row.poor}.`,
    answer.detail && `The network runs at ${answer.model.input.join('×')}, twice its usual side: a finer map, but less trustworthy probabilities.`,
  ].filter(Boolean);
}
const unsure = () => answer.model.head === 'softmax' && Math.max(...answer.classes.map((c) => c.p)) < 0.2;
// The likeliest of the other classes, if both are likely at all.
function rival() {
  const [best] = answer.classes.filter((c) => c.index !== answer.target).sort((a, b) => b.p - a.p);
  return answer.other < 0 && answer.model.head === 'softmax' && Math.min(classOf(answer.target).p, best?.p ?? 0) >= 0.1 ? best : null;
}

function tell() {
  if (!ready()) return;
  const g = grid(), method = methodNow(), sign = signNow(), sentence = words(g);
  if ($('.gv-say').textContent !== sentence) $('.gv-say').textContent = sentence;
  $('.gv-over .gv-frame').setAttribute('aria-label', sentence);
  const what = method.classless ? '' : state.band === 'ab' ? ` for ${classOf(answer.target).label} rather than ${classOf(answer.other).label}` : ` for ${chosenClass().label}`;
  $('.gv-caption').textContent = `${state.method}${what} · ${g.row.name}`;
  $$('[name=gv-sign]').forEach((n) => { n.disabled = Boolean(method.against) && n.value !== 'for'; n.checked = n.value === sign; });
  const line = clear($('.gv-method'));
  const about = [`${method.name}:`, method.line, method.against, `Cost: ${method.cost}.`].filter(Boolean).join(' ');
  line.append(about, ' ', Object.assign(make('a', 'The paper', { target: '_blank', rel: 'noopener noreferrer' }), { href: method.paper }));
  const notes = [], empty = emptiness(g);
  const warnings = [empty, weakness(g), ...cautions(g)];
  if (answer.other >= 0 && twoSigned.includes(state.method)) warnings.push('All three questions share one scale.');
  if (same(g)) notes.push('At this layer Grad-CAM, HiResCAM and XGrad-CAM give the same map: the score’s gradient is the same at every place, as it is where the network only averages over the places after this layer.');
  if (g.h < g.row.shape[0]) notes.push(`Drawn from ${g.h}×${g.w} averages of its ${g.row.shape[0]}×${g.row.shape[1]} cells; the figure has them all.`);
  for (const [node, sentences] of [[$('.gv-warn'), warnings.filter(Boolean)], [$('.gv-note'), notes]]) {
    clear(node).append(sentences.join(' '));
    node.hidden = !sentences.length;
  }
  if (empty) {
    const nothing = g.top === 0 && g.bottom === 0;
    const [text, go] = nothing && g.row.name !== answer.best ? [`Go to ${answer.best}`, () => choose(answer.best)]
      : method.against ? [`Show ${twoSigned[0]}`, () => set('method', twoSigned[0])] : ['Show both signs', () => set('sign', 'both')];
    const button = make('button', text, { type: 'button' });
    button.onclick = go;
    $('.gv-warn').append(' ', button);
  }
  const why = $('.gv-why'), other = rival();
  why.hidden = !other || Boolean(method.classless);
  if (other) { why.textContent = `Why ${classOf(answer.target).label} rather than ${other.label}?`; why.dataset.rival = other.index; }
  const top = reach(g);
  const ticks = clear($('.gv-ticks'));
  $('.gv-scale').style.visibility = top > 0 ? '' : 'hidden';
  for (const t of sign === 'both' ? [-top, 0, top] : [0, top / 2, top]) ticks.append(make('span', number(sign === 'against' ? -t : t)));
  paint($('.gv-scale canvas'), Float32Array.from({ length: 256 * 12 }, (_, i) => (i % 256) / 255), coloursNow());
  listNumbers();
  $$('.gv-classes button').forEach((n) => n.setAttribute('aria-pressed', String(Number(n.dataset.index) === chosenClass().index)));
  $$('.gv-strip button').forEach((n) => {
    const on = n.dataset.layer === state.layer;
    n.setAttribute('aria-checked', String(on)); n.tabIndex = on ? 0 : -1;
  });
  centre();
  for (const name of ['layer', 'method']) $(`[name=${name}]`).value = state[name];
  showCell();
  announce();
}
// The layer that is shown in the middle of the filmstrip.
function centre() {
  const s = $('.gv-strip'), n = s.querySelector('[aria-checked=true]');
  if (n) s.scrollLeft = n.offsetLeft - s.offsetLeft - s.clientWidth / 2 + n.clientWidth / 2;
}
function listNumbers() {
  const g = grid(), [H, W] = answer.picture, { head, input, title } = answer.model;
  const a = classOf(answer.target), b = classOf(answer.other);
  const score = { softmax: 'Score before softmax (logit)', sigmoid: 'Score before sigmoid', linear: 'Output' }[head];
  const about = (what, c) => [
    [what, `${c.label}, number ${c.index}`],
    [score, number(c.y)],
    ...(head === 'linear' ? [] : [['Probability', percent(c.p)]]),
    ['Rank', `${c.rank} of ${answer.count}`],
  ];
  const rows = [
    ...(state.band === 'ab' ? [...about('Class', a), ...about('Rather than', b), ['Difference of the two, the score explained', number(a.y - b.y)]] : about('Class', chosenClass())),
    ['Smallest and largest value before the ReLU', `${number(g.min)} … ${number(g.max)}`],
    ...(signNow() === 'both' ? [] : [['Places cut by the ReLU', percent(g.cut[signNow()])]]),
    ...(box ? [['Box', ['left', 'top', 'right', 'bottom'].map((edge, n) => `${edge} ${Math.round(box[n] * (n % 2 ? H : W))}`).join(', ') + `, in a picture ${W} pixels wide and ${H} high`]] : []),
    ['Grid, channels', `${g.row.shape[0]}×${g.row.shape[1]}, ${g.row.shape[2]}`],
    ['What the network was given', `the picture squashed to ${input.join('×')}`],
    ['Network', title],
  ];
  const list = clear($('.gv-numbers dl'));
  for (const [k, v] of rows) list.append(make('dt', k), make('dd', v));
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
    const holder = place ? make('button', null, { type: 'button', 'data-go': name }) : cell;
    holder.append(breakable(name));
    if (place) cell.append(holder);
    row.append(cell, make('td', kind), make('td', verdict));
    row.className = name === answer.best ? 'gv-best' : poor ? 'gv-poor' : '';
    body.append(row);
  }
}
// The cell at the place that was chosen, in this layer's grid.
const cellAt = (g) => state.place && [g.h, g.w].map((n, axis) => Math.min(Math.floor(state.place[axis] * n), n - 1));
function showCell() {
  const cell = $('.gv-cell'), g = grid(), at = cellAt(g);
  if (!at) { cell.hidden = true; $('.gv-pointer').textContent = hint; return; }
  const [i, j] = at, v = valueAt(g, i * g.w + j);
  let total = 0;
  for (let n = 0; n < g.q.length; n++) { const x = valueAt(g, n); if (v >= 0 ? x > 0 : x < 0) total += x; }
  place(cell, [j / g.w, i / g.h, (j + 1) / g.w, (i + 1) / g.h]);
  const what = methodNow().classless ? 'the pattern' : `all evidence ${v > 0 ? 'for' : 'against'}`;
  const share = v < 0 && methodNow().against ? ', set to zero by the ReLU' : v && total ? `, ${percent(v / total)} of ${what}` : '';
  $('.gv-pointer').textContent = `Row ${i + 1}, column ${j + 1}: about ${number(v, 2)}${share}`;
}
// A layer's name, which may go on in the next line after "_" and "/".
function breakable(name) {
  const node = make('span', null, { class: 'gv-name' });
  for (const piece of name.split(/(?<=[_/])/)) node.append(piece, make('wbr', null));
  return node;
}
function strip() {
  if (!ready()) return;
  const [H, W] = answer.picture, h = 54, w = Math.round(Math.min(Math.max(h * W / H, 36), 96));
  const holder = $('.gv-strip');
  const buttons = $$('.gv-strip button');
  const label = (row) => `${row.name}, ${row.shape.join('×')}`;
  const fresh = buttons.length !== answer.layers.length || buttons.some((b, n) => b.ariaLabel !== label(answer.layers[n]));
  if (fresh) {
    clear(holder);
    for (const row of answer.layers) {
      const b = make('button', null, { type: 'button', role: 'radio', 'aria-label': label(row), title: row.name, 'data-layer': row.name });
      b.append(make('canvas', null), breakable(row.name), make('span', `${row.shape[0]}×${row.shape[1]}${row.name === answer.best ? ' ★' : ''}`, { class: 'gv-grid' }));
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
  const c = chosenClass();
  window.gradcam = {
    layers: answer.layers.filter((l) => l.suggested).map((l) => ({ name: l.name, shape: l.shape, best: l.name === answer.best })),
    method: state.method, sign: signNow(), other: state.band === 'ab' ? classOf(answer.other).label : '',
    cautions: cautions(grid()), unsure: unsure(), chance: chance(c),
    request: { path: answer.path, model: answer.model.key, target: c.index, detail: answer.detail, layer: state.layer },
    base: base.src, picture: answer.picture, classes: answer.classes, target: c.index, label: c.label, model: answer.model.title, input: answer.model.input, head: answer.model.head, count: answer.count,
  };
  document.dispatchEvent(new Event('gradcam'));
}

// ---- what a visitor does ---------------------------------------------------------------------

// Whoever goes on with an answer that stands has read what was said.
function goOn() {
  if (!$('.gv').classList.contains('gv-stale')) complain('');
}
function set(key, value) {
  goOn();
  state[key] = value;
  if (key === 'layer') asked = null; // one that is still on its way is no longer wanted
  const control = { view: 'gv-view', sign: 'gv-sign', band: 'gv-band' }[key];
  if (control) $$(`[name=${control}]`).forEach((n) => { n.checked = n.value === value; });
  draw(); tell();
  if (['method', 'colours', 'sign', 'band'].includes(key)) strip();
}
function choose(name) {
  if (answer.layers.some((l) => l.name === name)) set('layer', name);
  else fetchLayer(name);
}
function fetchLayer(name) {
  [asked, askedOf] = [name, answer];
  trigger('layer', { name });
}
function step(by, wrap = false) {
  const n = answer.layers.findIndex((l) => l.name === state.layer), size = answer.layers.length;
  set('layer', answer.layers[wrap ? (n + by + size) % size : Math.min(Math.max(n + by, 0), size - 1)].name);
}
function play(on) {
  clearInterval(playing);
  playing = on ? setInterval(() => element.checkVisibility() ? step(1, true) : play(false), 700) : null;
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
  if (box) {
    const [l, t, r, b] = box.map((v, n) => v * (n % 2 ? H : W)), line = Math.max(2, Math.max(H, W) / 200);
    pen.globalAlpha = 1;
    for (const [colour, width] of [['#000', 2 * line], ['#fff', line]]) {
      pen.strokeStyle = colour; pen.lineWidth = width;
      pen.strokeRect(l, t, r - l, b - t);
    }
  }
  out.toBlob((blob) => save(fileName('overlay'), blob));
}
async function saveFigure(button) {
  button.disabled = true;
  const text = button.textContent;
  button.textContent = 'Drawing the figure …';
  try {
    const made = await server.figure({
      path: answer.path, model: answer.model.key, target: chosenClass().index, layer: state.layer,
      other: state.band === 'ab' ? answer.other : -1, method: state.method, sign: signNow(), colours: state.colours, opacity: state.opacity / 100, detail: answer.detail,
      top: answer.other < 0 || !twoSigned.includes(state.method) ? 0 : reach(grid(), signNow(), (o) => [o.max, -o.min]), box,
    });
    if (made.png) save(fileName('figure'), new Blob([bytesOf(made.png)], { type: 'image/png' }));
    else complain(made.error);
  } catch { complain('The server could not be reached; try again in a moment.'); }
  button.disabled = false;
  button.textContent = text;
}
function complain(sentence, mild = false) {
  for (const [node, text] of [[$('.gv-error'), mild ? '' : sentence], [$('.gv-hint'), mild ? sentence : '']]) {
    node.textContent = text;
    node.hidden = !text;
  }
  if (sentence && !mild) $('.gv-error').scrollIntoView({ block: 'nearest' });
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
    draw(); listNumbers();
  }
});
element.addEventListener('click', (e) => {
  const button = e.target.closest('button');
  if (!button || !answer) return;
  const index = Number(button.dataset.index ?? -1);
  if (index >= 0 && answer.other >= 0 && index === answer.other) set('band', 'b');
  else if (index >= 0 && answer.other >= 0 && index === answer.target) set('band', 'a');
  else if (index >= 0) trigger('choose', { index, rival: false });
  else if (button.matches('.gv-why')) trigger('choose', { index: Number(button.dataset.rival), rival: true });
  else if (button.dataset.layer) { play(false); set('layer', button.dataset.layer); }
  else if (button.dataset.go) { play(false); choose(button.dataset.go); }
  else if (button.matches('.gv-play')) play(!playing);
  else if (button.matches('.gv-save-overlay')) saveOverlay();
  else if (button.matches('.gv-save-figure')) saveFigure(button);
});
$('.gv-doctor').addEventListener('toggle', examine);
new ResizeObserver(centre).observe($('.gv-strip'));
element.addEventListener('keydown', (e) => {
  const by = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0], Home: [0, -Infinity], End: [0, Infinity] }[e.key];
  if (!by || !answer) return;
  if (e.target.closest('.gv-strip')) {
    e.preventDefault(); play(false); step(by[0] + by[1]);
    $('.gv-strip [aria-checked=true]').focus();
  } else if (e.target.closest('.gv-over .gv-frame')) {
    e.preventDefault();
    const g = grid(), size = [g.h, g.w], at = cellAt(g) || size.map((n) => n >> 1);
    state.place = size.map((n, axis) => (Math.min(Math.max(at[axis] + by[axis], 0), n - 1) + 0.5) / n);
    showCell();
  }
});
function pointAt(e) {
  if (!answer) return;
  const r = e.currentTarget.getBoundingClientRect(), g = grid(), before = String(cellAt(g));
  const place = [(e.clientY - r.top) / r.height, (e.clientX - r.left) / r.width];
  if (place.some((x) => x < 0)) return;
  state.place = place;
  if (String(cellAt(g)) !== before) showCell();
}
for (const name of ['pointermove', 'pointerdown']) $('.gv-over .gv-frame').addEventListener(name, pointAt);
$('.gv-over .gv-frame').addEventListener('pointerleave', (e) => {
  if (e.pointerType === 'touch') return; // the finger is lifted, what it chose stays
  state.place = null;
  if (answer) showCell();
});
document.addEventListener('gradcam-on', goOn);
document.addEventListener('gradcam-layer', (e) => { if (answer) choose(e.detail); });

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
    const b = make('button', null, { type: 'button', 'data-index': c.index, title: `Explain ${c.label}` });
    b.append(make('span', c.label, { class: 'gv-label' }), make('span', chance(c), { class: 'gv-p' }));
    b.style.setProperty('--p', answer.model.head === 'linear' ? '0%' : `${100 * c.p}%`);
    list.append(b);
  }
  $('.gv-unsure').hidden = !unsure();
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
// One more layer is asked for beside the other questions: when it comes, another may be in view.
function overtaken({ base: picture, answer: next }) {
  const about = (a, of) => JSON.stringify([of.url, a.model.key, a.target, a.other, a.detail]);
  if (!next?.extra || !answer || about(next, picture) === about(answer, current.base)) return false;
  if (asked && answer !== askedOf) fetchLayer(asked);
  return true;
}
function receive() {
  const value = props.value;
  if (!value || overtaken(value)) return;
  const old = Boolean(value.error) && (!value.stands || $('.gv').classList.contains('gv-stale'));
  complain(value.error || value.note, !value.error || value.error === props.no_picture); // which is no mistake
  $('.gv').classList.toggle('gv-stale', old);
  $('.gv-before').hidden = !old || !answer;
  if (!value.answer) return;
  const before = answer;
  [current, answer] = [value, value.answer];
  maps = new Int8Array(bytesOf(answer.bytes).buffer);
  const have = (name) => answer.layers.some((l) => l.name === name);
  if (asked && have(asked)) { state.layer = asked; asked = null; }
  const wanted = asked ?? state.layer, here = before && before.model.key === answer.model.key && answer.doctor.some(([n]) => n === wanted);
  asked = null;
  if (!have(state.layer)) state.layer = answer.best;
  const newQuestion = !before || before.target !== answer.target || before.other !== answer.other;
  if (newQuestion) state.band = answer.other < 0 ? 'a' : 'ab';
  fillChoices();
  if (document.activeElement === $('.gv-why') && answer.other >= 0) $('[name=gv-band]:checked').focus({ preventScroll: true }); // the link goes
  const url = value.base.url;
  if (base?.dataset.url !== url) state.place = null;
  if (before && (newQuestion || before.model.key !== answer.model.key)) comeBack();
  element.dataset.answer = `${answer.model.key}/${answer.target}/${answer.other}`;
  examine();
  if (base && base.dataset.url === url) { draw(); strip(); tell(); }
  else {
    const image = new Image(), mine = answer;
    image.dataset.url = url;
    image.onload = () => {
      if (answer !== mine) return;
      base = image;
      $$('.gv-frame img').forEach((n) => { n.src = url; });
      const ratio = answer.picture[1] / answer.picture[0];
      $('.gv-stage').dataset.shape = ratio > 3.5 ? 'panorama' : ratio > 1.35 ? 'wide' : 'ordinary';
      $('.gv-stage').style.setProperty('--ratio', ratio);
      draw(); strip(); tell();
    };
    image.onerror = () => answer === mine && complain('The picture could not be shown by this browser; save it as JPEG or PNG and try again.');
    image.src = url;
  }
  if (here && !have(wanted)) fetchLayer(wanted);
}
// The rest of the page may come later than this script: its events are caught at the document.
const within = (e, where) => Boolean(e.target.closest?.(where));
// Whoever chose in the lists, which are below where all is in one column, sees what that did.
function comeBack() {
  const shown = element.checkVisibility() ? $('.gv-words') : document.querySelector('#lesson .gl-about');
  const top = shown?.getBoundingClientRect().top;
  if (inLists && matchMedia('(max-width: 900px)').matches && (top < 0 || top > innerHeight)) shown.scrollIntoView();
}
let inLists = false; // what was touched last
for (const event of ['pointerdown', 'keydown']) document.addEventListener(event, (e) => { inLists = within(e, '#asks'); }, true);
// On a phone what a cell says stands below the overlay, which stays in sight.
const phone = matchMedia('(max-width: 600px)');
phone.onchange = () => (phone.matches ? $('.gv-over') : $('.gv-side')).append($('.gv-pointer'));
phone.onchange();
// Gradio says of a file that is too large only that it is, and takes the picture before away.
for (const [event, given] of [['change', (e) => e.target.files], ['drop', (e) => e.dataTransfer?.files]]) {
  document.addEventListener(event, (e) => {
    if (!within(e, '#picture') || ![...given(e) ?? []].some((file) => file.size > props.heaviest)) return;
    e.preventDefault();
    e.stopPropagation();
    if (event === 'change') e.target.value = '';
    else e.target.dispatchEvent(new DragEvent('dragleave', { bubbles: true })); // or its box stays marked
    complain(props.heavy);
  }, true);
}
// Gradio's lists are searched by typing: a click selects what stands there, once the browser has put
// its mark. The key Tab would open the list that it leaves once more, and stop at its box, which
// scrolls.
const LIST = '#asks [role=combobox]';
document.addEventListener('click', (e) => { if (within(e, LIST)) setTimeout(() => e.target.select()); }, true);
document.addEventListener('keydown', (e) => {
  if (e.key !== 'Tab' || !within(e, LIST)) return;
  e.stopPropagation();
  document.querySelectorAll('#asks [role=listbox]').forEach((n) => { n.tabIndex = -1; });
}, true);
for (const m of props.methods) $('[name=method]').append(make('option', m.name, { value: m.name }));
for (const c of props.colours) $('[name=colours]').append(make('option', c, { value: c }));
watch('value', receive);
receive();
