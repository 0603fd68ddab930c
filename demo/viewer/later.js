// A tab whose script is fetched when the tab is opened.

let fetched = false;

async function open() {
  const { script } = await server.script();
  new Function('element', 'trigger', 'props', 'server', 'upload', 'watch', script)(
    element, (_name, data) => trigger('open', data), props, server, upload, watch); // Gradio looks for the name here
}

new IntersectionObserver(async ([tab]) => {
  if (fetched || !tab.isIntersecting) return;
  fetched = true;
  await open().catch((error) => {
    fetched = false;
    element.querySelector('[role=status]').textContent = 'This did not load. Go to another tab, then come back.';
    throw error;
  });
}).observe(element);
