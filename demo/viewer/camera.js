// A picture from the camera or the clipboard. It goes in as a file that was chosen, so until then none is lost.

import { $, $$, write } from './dom.js';
import { say } from './acts.js';
import { fetched } from './fetched.js';
import { handOver } from './gradio.js';
import { isLit, plainPalette, state } from './shown.js';
import { CAMERA_REFUSED, NO_CAMERA, NO_PASTE, UNREACHED, chance } from './words.js';

let frameShown = () => null; // the frame that is live
let isOpening = false;

/** Live where a browser gives the camera; elsewhere a phone has an app for it, which opens over http, too. */
export async function openCamera() {
  const isPhone = matchMedia('(pointer: coarse)').matches, { mediaDevices } = navigator;
  if (isPhone && !(mediaDevices && props.cameras)) askPhone();
  else if (mediaDevices && !isOpening) await openDialog(mediaDevices);
  if (!mediaDevices && (props.cameras || !isPhone)) say(NO_CAMERA, isPhone);
}

async function openDialog(mediaDevices) {
  const wanted = { width: { ideal: 1280 }, facingMode: 'environment' };
  isOpening = true;
  try {
    $('.gv-shoot video').srcObject = await mediaDevices.getUserMedia({ video: wanted });
    $('.gv-shoot').showModal();
  } catch {
    say(CAMERA_REFUSED);
  }
  isOpening = false;
  const { answer, opacity } = state;
  if (!props.cameras || !answer || !$('.gv-shoot').open) return;
  const { goLive } = await fetched('live'), { key, percent } = answer.model;
  frameShown = goLive($('.gv-shoot'), {
    model: key, named: (classes) => classes.map((c) => `${c.label} ${chance(c, percent)}`).join(' · '),
    unreached: UNREACHED, palette: plainPalette(), lights: isLit(), opacity: opacity / 100,
  });
}

function askPhone() {
  const box = document.createElement('input');
  Object.assign(box, { type: 'file', accept: 'image/*', capture: 'environment', onchange: () => handOver(box.files) });
  box.click();
}

export function takePhoto() {
  const video = $('.gv-shoot video'), now = document.createElement('canvas');
  [now.width, now.height] = [video.videoWidth, video.videoHeight];
  now.getContext('2d').drawImage(video, 0, 0);
  (frameShown() ?? now).toBlob((blob) => {
    if (blob) handOver([new File([blob], 'camera.jpg', { type: blob.type })]);
    closeCamera();
  }, 'image/jpeg', 0.92);
}

export const closeCamera = () => $('.gv-shoot').close();

/** A browser gives the clipboard to a page only over https or on its own machine; its keys work everywhere. */
export async function pastePhoto() {
  try {
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((name) => name.startsWith('image/'));
      if (type) return void handOver([new File([await item.getType(type)], `pasted.${type.slice(6)}`, { type })]);
    }
  } catch { /* as if there were none */ }
  say(NO_PASTE, true);
}

export function setCamera() {
  const live = Boolean(props.cameras);
  $$('.gv-shoot :is(canvas, p)').forEach((n) => { n.hidden = !live; });
  write($('.gv-take'), live ? 'Hold this frame' : 'Take the photo');
  $('.gv-source .gv-camera').title = live ? 'Live camera' : 'Take a photo';
  write($('.gv-source .gv-camera span'), $('.gv-source .gv-camera').title);
  $('.gv-shoot').addEventListener('close', () => {
    $('.gv-shoot video').srcObject?.getTracks().forEach((track) => track.stop());
    $('.gv-shoot video').srcObject = null;
    frameShown = () => null;
  });
}
