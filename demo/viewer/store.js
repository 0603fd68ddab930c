// The one state of a tab, and what shows it. Only `set` changes it, and whatever shows what has changed is shown anew
// before `set` returns: who sets need not know who shows.
//
// A view is a function that puts some of the state on the screen. It runs when it is added, and again when something
// that it read in its last run is set to another value. Inside it, views of its own may be added, for parts that change
// without the rest; when it runs again, it builds anew, and those are gone.

/**
 * @template {object} State
 * @param {State} values to begin with
 * @returns {{ state: Readonly<State>, set: (patch: Partial<State>) => void, view: (show: () => void) => void }}
 */
export function store(values) {
  const views = new Set(); // in the order in which they were added
  let running = null;

  function forget(view) {
    view.inner.forEach(forget);
    views.delete(view);
  }
  function run(view) {
    const outer = running;
    view.inner.forEach(forget);
    running = Object.assign(view, { reads: new Set(), inner: [] });
    try {
      view.show();
    } finally {
      running = outer;
    }
  }
  return {
    state: new Proxy(values, {
      get: (_, name) => {
        running?.reads.add(name);
        return values[name];
      },
      set: () => false, // which is an error
    }),
    set(patch) {
      if (running) throw new Error('A view shows the state, it does not set it.');
      const changed = Object.keys(patch).filter((name) => !Object.is(values[name], patch[name]));
      Object.assign(values, patch);
      for (const view of [...views]) {
        if (views.has(view) && changed.some((name) => view.reads.has(name))) run(view);
      }
    },
    view(show) {
      const view = { show, reads: new Set(), inner: [] };
      running?.inner.push(view);
      views.add(view);
      run(view);
    },
  };
}
