// A picture from the camera or the clipboard. It goes in as a file that was chosen, so until then none is lost.

import { $ } from './dom.js';
import { say } from './acts.js';
import { handOver } from './gradio.js';
import { CAMERA_REFUSED, NO_CAMERA, NO_PASTE } from './words.js';

/** A phone has an app for it, which opens over http, too; elsewhere the camera is shown in a dialog. */
export async function openCamera() {
  if (matchMedia('(pointer: coarse)').matches) return askPhone();
  if (!navigator.mediaDevices) return say(NO_CAMERA);
  try {
    $('.gv-shoot video').srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } } });
    $('.gv-shoot').showModal();
  } catch {
    say(CAMERA_REFUSED);
  }
}

function askPhone() {
  const box = document.createElement('input');
  Object.assign(box, { type: 'file', accept: 'image/*', capture: 'environment', onchange: () => handOver(box.files) });
  box.click();
}

export function takePhoto() {
  const video = $('.gv-shoot video'), canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext('2d').drawImage(video, 0, 0);
  canvas.toBlob((blob) => {
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
  $('.gv-shoot').addEventListener('close', () => {
    $('.gv-shoot video').srcObject?.getTracks().forEach((track) => track.stop());
    $('.gv-shoot video').srcObject = null;
  });
}
