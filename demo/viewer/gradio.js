// The few places that touch Gradio's own widgets. They may come later than this script, and Gradio makes them anew as
// it likes: so their events are caught at the document.

const PICTURE = '#picture', LISTS = '#asks', LIST = '#asks [role=combobox]';

const within = (event, selector) => Boolean(event.target.closest?.(selector));
const listen = (name, act) => document.addEventListener(name, act, true);

/** A function that tells whether what was touched last is in the lists. */
export function followLists() {
  let inLists = false;
  for (const name of ['pointerdown', 'keydown']) listen(name, (e) => { inLists = within(e, LISTS); });
  return () => inLists;
}

/**
 * Files that are too large go no further. Gradio says of one only that it is, and takes the picture before away.
 * @param {number} heaviest in bytes
 * @param {() => void} refused
 */
export function refuseHeavy(heaviest, refused) {
  function check(e, files) {
    if (!within(e, PICTURE) || ![...files ?? []].some((file) => file.size > heaviest)) return;
    e.preventDefault();
    e.stopPropagation();
    if (e.type === 'change') e.target.value = '';
    else e.target.dispatchEvent(new DragEvent('dragleave', { bubbles: true })); // or its box stays marked
    refused();
  }
  listen('change', (e) => check(e, e.target.files));
  listen('drop', (e) => check(e, e.dataTransfer?.files));
}

/**
 * The lists are searched by typing: a click selects what stands there, once the browser has put its mark. The key Tab
 * would open the list that it leaves once more, and stop at its box, which scrolls.
 */
export function easeLists() {
  listen('click', (e) => { if (within(e, LIST)) setTimeout(() => e.target.select()); });
  listen('keydown', (e) => {
    if (e.key !== 'Tab' || !within(e, LIST)) return;
    e.stopPropagation();
    document.querySelectorAll(`${LISTS} [role=listbox]`).forEach((n) => { n.tabIndex = -1; });
  });
}

/** Whether an answer is on its way to the viewer. */
export const isPending = () => Boolean(document.querySelector('#viewer .pending'));

/** Calls when anything beside a part of the page, in the same tabs, is shown, hidden or pending. */
export function watchBeside(part, changed) {
  const watcher = new MutationObserver((changes) => {
    if (changes.some((change) => !part.contains(change.target))) changed();
  });
  watcher.observe(part.closest('#look'), { subtree: true, attributes: true, attributeFilter: ['class', 'hidden'] });
}
