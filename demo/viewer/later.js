// A tab whose script comes when the tab is opened.

import { fetched } from './fetched.js';

let asked = false;

const opens = (_name, data) => trigger('open', data); // Gradio looks for this name here

new IntersectionObserver(async ([tab]) => {
  if (asked || !tab.isIntersecting) return;
  asked = true;
  const script = await fetched('trust').catch(() => null);
  if (script) script.run(element, opens, props, server);
  else {
    asked = false;
    element.querySelector('[role=status]').textContent = 'This did not load. Go to another tab, then come back.';
  }
}).observe(element);
