// The live camera: the newest frame goes to the server, one at a time, and is shown with its map. Fetched when a camera
// opens.

import { make, painted, write } from './dom.js';
import { fitted, lit, project, signedBytesOf, toUnit } from './maps.js';

/** @import { LiveAnswer, Refusal } from './wire.js' */

const SENT = 384, SHOWN = 640; // pixels of the longer side, of what is sent and of what is shown
const QUALITY = 0.8;
const AGAIN = 2000, STALLED = 500; // milliseconds
const NAMED = 3; // classes
const ME = crypto.getRandomValues(new Uint32Array(2)).join('-'); // randomUUID wants https

let runs = 0; // a loop that waits while the camera is closed and opened is not the one that goes on

const wait = (time) => new Promise((go) => { setTimeout(go, time); });

/** @param {HTMLCanvasElement} canvas @param {HTMLCanvasElement | HTMLVideoElement} from */
function copy(canvas, from, width, height) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.getContext('2d').drawImage(from, 0, 0, width, height);
  return canvas;
}

/** A function that waits for a frame that is newer than at its last call, or a while; whether there is one. */
function framesOf(video) {
  if (!video.requestVideoFrameCallback) return () => new Promise(requestAnimationFrame); // an old browser
  let isNew = false, told = () => {};
  const come = () => {
    isNew = true;
    told();
    if (video.srcObject) video.requestVideoFrameCallback(come);
  };
  video.requestVideoFrameCallback(come);
  return async () => {
    if (!isNew) await Promise.race([new Promise((go) => { told = go; }), wait(STALLED)]);
    const was = isNew;
    isNew = false;
    return was;
  };
}

/**
 * The frame's map over it, in the colours of the page.
 * @param {HTMLCanvasElement} over
 * @param {HTMLCanvasElement} frame
 * @param {LiveAnswer} answer
 */
function show(over, frame, { map, bytes }, { palette, lights, opacity }) {
  const [H, W] = fitted(frame.height, frame.width, SHOWN), [h, w] = map.sent;
  const grid = { ...map, h, w, q: signedBytesOf(bytes) }, pen = copy(over, frame, W, H).getContext('2d');
  const heat = project(toUnit(grid, 'for', map.top), grid, H, W, NaN);
  if (lights) {
    const { data } = pen.getImageData(0, 0, W, H);
    pen.putImageData(new ImageData(lit(data, heat, palette, opacity, false), W, H), 0, 0);
    return;
  }
  pen.globalAlpha = opacity;
  pen.drawImage(painted(heat, palette, H, W), 0, 0);
  pen.globalAlpha = 1;
}

/**
 * Until the dialog is closed.
 * @param {HTMLDialogElement} dialog with a video that plays, a canvas, and a line for what is said
 * @param {{ model: string, named: (classes: object[]) => string, unreached: string, palette: Uint8Array,
 *   lights: boolean, opacity: number }} page
 * @returns {() => HTMLCanvasElement | null} the frame that is shown, whole
 */
export function goLive(dialog, page) {
  const run = ++runs, [video, over, line] = ['video', 'canvas', 'p'].map((name) => dialog.querySelector(name));
  const frames = [make('canvas', null), make('canvas', null)], small = make('canvas', null); // shown, asked about
  const isOn = () => run === runs && dialog.open, newFrame = framesOf(video);
  const address = `${location.origin}${location.pathname}live?${new URLSearchParams({ who: ME, model: page.model })}`;
  let shown = null;

  /** @returns {Promise<LiveAnswer | Refusal>} */
  async function asked() {
    const whole = copy(frames[1], video, video.videoWidth, video.videoHeight);
    const [H, W] = fitted(whole.height, whole.width, SENT);
    const body = await new Promise((done) => { copy(small, whole, W, H).toBlob(done, 'image/jpeg', QUALITY); });
    return (await fetch(address, { method: 'POST', body })).json();
  }

  async function go() {
    while (isOn()) {
      if (document.hidden) {
        await new Promise((seen) => { document.addEventListener('visibilitychange', seen, { once: true }); });
        continue;
      }
      if (!await newFrame() || !isOn() || document.hidden) continue;
      const answer = await asked().catch(() => ({ error: page.unreached }));
      if (!isOn()) return;
      if (answer.error) {
        write(line, answer.error);
        await wait(AGAIN);
        continue;
      }
      shown = frames.reverse()[0];
      show(over, shown, answer, page);
      write(line, page.named(answer.classes.slice(0, NAMED)));
      over.dataset.frames = Number(over.dataset.frames || 0) + 1;
    }
  }
  go();
  return () => shown;
}
