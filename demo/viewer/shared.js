// Numbers, colours and nodes: what every part of the page that runs in the browser needs.
const $ = (s) => element.querySelector(s);
const $$ = (s) => [...element.querySelectorAll(s)];
const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const palettes = Object.fromEntries(Object.entries(props.palettes).map(([n, t]) => [n, bytesOf(t)]));
const percent = (p) => p > 0.9999 && p < 1 ? 'above 99.99\u00a0%' : p >= 0.995 && p < 1 ? `${(100 * p).toFixed(2)}\u00a0%` : p >= 0.0995 ? `${Math.round(100 * p)}\u00a0%` : p >= 0.01 ? `${(100 * p).toFixed(1)}\u00a0%` : p >= 0.0001 ? `${(100 * p).toFixed(2)}\u00a0%` : p > 0 ? 'below 0.01\u00a0%' : '0\u00a0%';
function number(x, digits = 3) {
  const size = Math.abs(x), plain = Number.isInteger(size) && size < 1e6;
  const text = plain ? String(size) : size >= 1000 ? size.toExponential(digits - 1) : size < 1e-6 ? size.toExponential(digits - 1) : size < 0.001 ? size.toFixed(digits - 1 - Math.floor(Math.log10(size))) : size.toPrecision(digits);
  return (x < 0 ? '−' : '') + text;
}
const signed = (x) => (x > 0 ? '+' : '') + number(x);
const clear = (node) => { while (node.firstChild) node.firstChild.remove(); return node; };
const make = (tag, text, attributes = {}) => {
  const node = document.createElement(tag);
  if (text !== null) node.textContent = text;
  for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v);
  return node;
};
const valueAt = (g, i) => g.q[i] * (g.q[i] > 0 ? g.top : g.bottom) / 127;

// Bilinear with half-pixel centres, as in Python's heatmap.upsample: (h, w) -> (H, W).
function axis(n, N) {
  const low = new Int32Array(N), high = new Int32Array(N), part = new Float32Array(N);
  for (let x = 0; x < N; x++) {
    const at = Math.min(Math.max((x + 0.5) * n / N - 0.5, 0), n - 1);
    low[x] = Math.floor(at); high[x] = Math.min(low[x] + 1, n - 1); part[x] = at - low[x];
  }
  return { low, high, part };
}
function upsample(values, h, w, H, W) {
  const out = new Float32Array(H * W), X = axis(w, W), Y = axis(h, H), line = new Float32Array(w);
  for (let y = 0; y < H; y++) {
    const a = Y.low[y] * w, b = Y.high[y] * w, t = Y.part[y];
    for (let x = 0; x < w; x++) line[x] = values[a + x] * (1 - t) + values[b + x] * t;
    for (let x = 0; x < W; x++) out[y * W + x] = line[X.low[x]] + (line[X.high[x]] - line[X.low[x]]) * X.part[x];
  }
  return out;
}
function paint(canvas, heat, name) {
  const { width: W, height: H } = canvas, image = new ImageData(W, H), p = palettes[name];
  const pixels = new Uint32Array(image.data.buffer), table = new Uint32Array(256);
  for (let i = 0; i < 256; i++) table[i] = (255 << 24 | p[3 * i + 2] << 16 | p[3 * i + 1] << 8 | p[3 * i]) >>> 0;
  for (let i = 0; i < pixels.length; i++) pixels[i] = table[Math.round(Math.min(Math.max(heat[i], 0), 1) * 255)];
  canvas.getContext('2d').putImageData(image, 0, 0);
}
