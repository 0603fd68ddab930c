// Once, at the start: the cells light up, fly into the sum, and the number counts. Any key or press ends it.

import { $, $$, make } from './dom.js';
import { frameOf } from './maps.js';
import { addsUp, sumNow } from './shown.js';

const LENGTH = 1800, FLIGHT = 700; // milliseconds, of all and of one cell

/** Where a cell of the overlay is, and where its piece of the sum is: two rectangles of the window. */
function way(piece, grid) {
  const at = Number(piece.dataset.cell), [l, t, r, b] = frameOf([Math.floor(at / grid.w), at % grid.w], grid);
  const frame = $('.gv-over').getBoundingClientRect(), to = piece.getBoundingClientRect();
  const from = { left: frame.left + l * frame.width, top: frame.top + t * frame.height };
  return [{ ...from, width: (r - l) * frame.width, height: (b - t) * frame.height }, to];
}

const place = ({ left, top, width, height }) => {
  return { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` };
};

export function openOnce() {
  const grid = sumNow(), pieces = $$('.gv-piece'), number = $('.gv-total b');
  if (!grid || !addsUp() || !pieces.length || matchMedia('(prefers-reduced-motion: reduce)').matches) return;
  const sum = number.textContent, sky = make('div', null, { class: 'gv-sky', 'aria-hidden': 'true' });
  element.dataset.opening = 'on';
  $('.gv').append(sky);
  const flights = pieces.flatMap((piece, n) => {
    const delay = (LENGTH - FLIGHT) * n / pieces.length, [from, to] = way(piece, grid), cell = make('i', null);
    cell.style.background = getComputedStyle(piece).backgroundColor;
    sky.append(cell);
    return [
      cell.animate([
        { ...place(from), opacity: 0 }, { ...place(from), opacity: 0.9, offset: 0.35 }, { ...place(to), opacity: 1 },
      ], { duration: FLIGHT, delay, fill: 'both', easing: 'cubic-bezier(.2,.7,.2,1)' }),
      piece.animate([{ opacity: 0 }, { opacity: 0 }], { duration: delay + FLIGHT }),
    ];
  });
  const start = performance.now();
  let running = true;
  const count = (now) => {
    if (!running) return;
    const part = Math.min((now - start) / LENGTH, 1);
    number.textContent = (part * Number(sum.replace('−', '-'))).toFixed(2);
    if (part < 1) requestAnimationFrame(count);
    else end();
  };
  const gate = new AbortController();
  function end() {
    running = false;
    gate.abort();
    flights.forEach((flight) => flight.cancel());
    sky.remove();
    if (number.isConnected) number.textContent = sum;
    delete element.dataset.opening;
  }
  for (const name of ['keydown', 'pointerdown', 'wheel', 'resize']) {
    window.addEventListener(name, end, { signal: gate.signal, capture: true, passive: true });
  }
  requestAnimationFrame(count);
}
