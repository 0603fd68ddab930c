// The few places that touch Gradio's own widgets. They may come later than this script, and Gradio makes them anew as
// it likes: so their events are caught at the document.

const PICTURE = '#picture', LISTS = '#asks', LIST = '#asks [role=combobox], #model [role=combobox]';
const EXAMPLES = '#examples button.thumbnail-item';

const find = (selector) => document.querySelector(selector);
const within = (event, selector) => Boolean(event.target.closest?.(selector));
const listen = (name, act) => document.addEventListener(name, act, true);

/**
 * A widget of Gradio's stands in the place that the page has for it, whenever it comes and whatever the window's width.
 * @param {string} selector of the widget
 * @param {() => Element | null} place
 */
export function adopt(selector, place) {
  const settle = () => {
    const widget = find(selector), home = place();
    if (widget && home && widget.parentElement !== home) home.append(widget);
  };
  new MutationObserver(settle).observe(document.body, { childList: true, subtree: true });
  window.addEventListener('resize', settle);
  settle();
}

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
    refused();
  }
  listen('change', (e) => check(e, e.target.files));
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
    document.querySelectorAll(`${LISTS} [role=listbox], #model [role=listbox]`).forEach((n) => { n.tabIndex = -1; });
  });
}

/** The list of networks, open. */
export const openNetworks = () => setTimeout(() => find('#model input')?.focus());

// ---- a picture ---------------------------------------------------------------------------------

const input = () => find(`${PICTURE} input[type=file]`);

/** Opens the chooser; whoever gives it up keeps the picture. */
export function choosePhoto() {
  const box = input();
  if (!box) return;
  box.value = ''; // else the same file, chosen once more, would be no change
  box.click();
}

/** Of a kind that this browser does not know, such as HEIC, the server judges. */
const isPicture = ({ type }) => !type || type.startsWith('image/');

function feed(box, file) {
  const list = new DataTransfer();
  list.items.add(file.type ? file : new File([file], file.name, { type: 'image/unknown' })); // Gradio wants a picture
  box.files = list.files;
  box.dispatchEvent(new Event('change', { bubbles: true }));
}

/** Files from the camera, the clipboard, or dropped anywhere, go into the widget as if they were chosen. */
export function handOver(files) {
  const box = input(), picture = [...files].find(isPicture);
  if (!box || !picture) return false;
  feed(box, picture);
  return true;
}

/**
 * From now on, once a page: whatever is chosen, pasted, dropped or taken is made ready, and then goes into the widget.
 * @param {(file: File) => Promise<File | null>} prepare null: another one is wanted by now
 * @param {() => void} refused it is no picture
 */
export function takeFiles(prepare, refused) {
  let isReady = false;
  listen('change', async (e) => {
    const [file] = (within(e, PICTURE) && e.target.files) || [];
    if (!file || isReady) return;
    e.stopImmediatePropagation();
    if (!isPicture(file)) return refused();
    const made = await prepare(file);
    if (!made) return;
    isReady = true;
    feed(input(), made);
    isReady = false;
  });
  const take = (e, files) => {
    if (!files?.length || within(e, '#own') || e.defaultPrevented) return;
    e.preventDefault();
    e.stopPropagation();
    if (!handOver(files)) refused();
  };
  listen('paste', (e) => take(e, e.clipboardData?.files));
  listen('dragover', (e) => { if (e.dataTransfer?.types.includes('Files') && !within(e, '#own')) e.preventDefault(); });
  listen('drop', (e) => take(e, e.dataTransfer?.files));
}

/** Calls when a picture sets out for the server, and when it is there or lost: the widget shows neither until then. */
export function followUpload(changed) {
  const sends = () => find(`${PICTURE} .upload-container`) && !find(`${PICTURE} :is(img, [data-testid=upload-text])`);
  new MutationObserver(() => changed(Boolean(sends()))).observe(document.body, { childList: true, subtree: true });
}

/** Which of the examples is in view. @param {string} url of the picture in view */
export function markExample(url) {
  const file = url.split('/').at(-1);
  for (const button of document.querySelectorAll(EXAMPLES)) {
    button.setAttribute('aria-current', String(button.dataset.file === file));
  }
}

// ---- a model -----------------------------------------------------------------------------------

const MODEL = /\.(keras|h5|hdf5|zip)$/i, BESIDE = /\.(txt|csv|json)$/i; // its class names

/** @param {string} selector @param {(node: Element) => void} act as soon as there is such a node */
function whenThere(selector, act) {
  const node = find(selector);
  if (node) act(node);
  else setTimeout(() => whenThere(selector, act), 50);
}

/**
 * A model that is dropped anywhere goes into the box for it, which may be shut; it is no picture.
 * @param {() => void} opened shows where that box is
 * @param {() => void} refused there is none
 */
export function catchModels(opened, refused) {
  listen('drop', (e) => {
    const files = [...e.dataTransfer?.files ?? []];
    if (within(e, '#own') || !files.some((file) => MODEL.test(file.name))) return;
    e.preventDefault();
    e.stopPropagation();
    if (!find('#own')) return void refused();
    opened();
    if (!find('#own-open')?.checkVisibility()) find('#own button').click();
    const list = new DataTransfer();
    for (const file of files) if (MODEL.test(file.name) || BESIDE.test(file.name)) list.items.add(file);
    find('#own-file [aria-label="Clear"]')?.click();
    whenThere('#own-file input[type=file]', (box) => {
      box.files = list.files;
      box.dispatchEvent(new Event('change', { bubbles: true }));
      find('#own').scrollIntoView({ block: 'nearest' });
    });
  });
}

// ---- around the page ---------------------------------------------------------------------------

/** The arrangement of the page, for what stands around it. */
export const arrangeAround = (arr) => { document.body.dataset.arr = arr; };

/** Whether an answer is on its way to the viewer. */
export const isPending = () => Boolean(find('#viewer .pending'));

const TAB = '#tabs > .tab-wrapper .tab-container:not(.visually-hidden) [role=tab]';
const tabs = () => [...document.querySelectorAll(TAB)];

/** Which of the tabs is open. */
export const tabNow = () => tabs().findIndex((n) => n.ariaSelected === 'true');

export function openTab(number) {
  if (tabNow() !== number) tabs()[number]?.click();
}

/** Arrow keys go from tab to tab; a click leaves them, and their frame, to what the tab shows. */
export function easeTabs() {
  listen('click', (e) => { if (e.detail && within(e, TAB)) e.target.closest('button').blur(); });
  listen('keydown', (e) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[e.key], all = tabs(), at = all.indexOf(e.target);
    if (!by || at < 0) return;
    e.preventDefault();
    e.stopPropagation();
    const next = all[(at + by + all.length) % all.length];
    next.click();
    next.focus();
  });
}

/** Calls when anything beside a part of the page, in the same tabs, is shown, hidden or pending. */
export function watchBeside(part, changed) {
  const watcher = new MutationObserver((changes) => {
    if (changes.some((change) => !part.contains(change.target))) changed();
  });
  watcher.observe(part.closest('#tabs'), { subtree: true, attributes: true, attributeFilter: ['class', 'hidden'] });
}
