// Scripts that are no part of the first load.

const failed = {}; // how often: a browser may keep a failure for ever, under the address that failed

/** One that comes when it is needed. @param {string} name */
export async function fetched(name) {
  const times = failed[name] ?? 0;
  try {
    return await import(`${location.origin}${location.pathname}${name}.js?${times}`);
  } catch (error) {
    failed[name] = times + 1;
    throw error;
  }
}
