// What the scripts have in common: where the servers are, and the control
// that stands for Azure's portal and for the passing of time.

/** The value of an environment variable that the Go test sets. */
export function env(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run these scripts with "make test-peers"`);
  return value;
}

/** Asks the Go test to do something to the servers. */
export async function control(path, body = {}) {
  const answer = await fetch(env('PEERS_CONTROL') + path, { method: 'POST', body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** Everything that an async iterable yields. */
export async function collect(iterable) {
  const all = [];
  for await (const item of iterable) all.push(item);
  return all;
}
