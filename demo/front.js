// What the page itself can say of what stands between it and its server. Front puts it into <head>.
(() => {
  const TOO_LARGE = 'No file that large gets through to the server; please choose a smaller one.';
  const AGAIN = 'The server was started anew since you gave your picture; please give it again.';
  const address = location.origin + location.pathname.replace(/\/$/, '');
  const say = (sentence) => {
    const line = document.createElement('p');
    line.id = 'front';
    line.role = 'alert';
    line.textContent = sentence;
    line.style.cssText = 'margin: 0; padding: 12px 24px; font: 16px system-ui; color: #7f1d1d; background: #fee2e2';
    document.body.prepend(line);
  };
  const kept = (use) => {
    try { return use(sessionStorage); } catch { return null; } // a frame may be forbidden to keep anything
  };

  // Every address of the page is relative to a folder.
  const { pathname, search, hash } = location;
  if (!pathname.endsWith('/')) location.replace(`${location.origin}${pathname}/${search}${hash}`);

  // A proxy answers for the server, in its own words; an upload is remembered with who has it.
  const send = window.fetch;
  window.fetch = async (...asked) => {
    const answer = await send(...asked);
    if (answer.status === 413) return new Response(TOO_LARGE, { status: 413 });
    const upload = answer.ok && String(asked[0]?.url ?? asked[0]).includes('/gradio_api/upload?');
    if (upload) kept((storage) => storage.setItem('given-to', gradio_config.app_id));
    return answer;
  };

  addEventListener('DOMContentLoaded', async () => {
    const to = kept((storage) => storage.getItem('given-to'));
    kept((storage) => storage.removeItem('given-to'));
    if (to && to !== String(gradio_config.app_id)) say(AGAIN);
    const told = new URL(gradio_config.root);
    if (told.hostname === location.hostname) { // then Gradio, too, keeps to the browser's
      [told.protocol, told.host] = [location.protocol, location.host];
    }
    const root = told.href.replace(/\/$/, '');
    if (root === address) return;
    try { await (await send(`${root}/gradio_api/app_id`)).json(); } catch {
      say(`This page is at ${address}, but its server believes that it is at ${root}; `
        + `whoever runs it must set GRADIO_ROOT_PATH to ${address}.`);
    }
  });
})();
