// Event Grid namespaces, whose events are pulled, through
// @azure/eventgrid-namespaces.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AzureKeyCredential, EventGridReceiverClient, EventGridSenderClient } from '@azure/eventgrid-namespaces';
import { control, env } from './support.mjs';

const endpoint = env('MODELWARDEN_PULL_ENDPOINT');
const [topic, subscription] = [env('MODELWARDEN_PULL_TOPIC'), env('MODELWARDEN_PULL_SUBSCRIPTION')];
const credential = new AzureKeyCredential(env('MODELWARDEN_PULL_KEY'));
const impatient = { retryOptions: { maxRetries: 0 } };
const sender = new EventGridSenderClient(endpoint, credential, topic, impatient);
const receiver = new EventGridReceiverClient(endpoint, credential, topic, subscription, impatient);

const event = (id, data = { id }) => ({ id, type: 'Peer.Happened', source: '/peer', subject: `things/${id}`, time: new Date(Date.UTC(2026, 1, 3)), data });
const withStatus = (...statuses) => (e) => statuses.includes(Number(e.statusCode ?? e.code)) || assert.fail(`want ${statuses}, got ${e.statusCode ?? e.code}: ${e.message}`);
const tokens = (details) => details.map((d) => d.brokerProperties.lockToken);
const stats = () => control('/namespace/stats');

/** Receives exactly so many events. */
async function take(count) {
  const { details } = await receiver.receiveEvents({ maxEvents: count, maxWaitTime: 10 });
  assert.equal(details.length, count);
  return details;
}

describe('a namespace', () => {
  test('events arrive as they were', async () => {
    await sender.sendEvents({ ...event('one', { n: 2 ** 40, list: ['ü', null] }), extensionAttributes: { trace: 't1' } });
    await sender.sendEvents([event('two'), { ...event('three', new Uint8Array([0, 1, 255])), dataContentType: 'application/octet-stream' }]);
    const details = await take(3);
    const byID = Object.fromEntries(details.map((d) => [d.event.id, d]));
    const one = byID.one.event;
    assert.deepEqual(one.data, { n: 2 ** 40, list: ['ü', null] });
    assert.equal(one.type, 'Peer.Happened');
    assert.equal(one.source, '/peer');
    assert.equal(one.subject, 'things/one');
    assert.equal(new Date(one.time).getTime(), Date.UTC(2026, 1, 3));
    assert.equal(byID.one.brokerProperties.deliveryCount, 1);
    assert.equal((await stats()).Locked, 3);
    const { succeededLockTokens, failedLockTokens } = await receiver.acknowledgeEvents(tokens(details));
    assert.deepEqual(succeededLockTokens.sort(), tokens(details).sort());
    assert.deepEqual(failedLockTokens, []);
    assert.deepEqual(await stats(), { Ready: 0, Locked: 0, Delayed: 0, Acknowledged: 3, Dead: 0 });
  });

  test('released events come again, counted', async () => {
    await sender.sendEvents(event('again'));
    const [first] = await take(1);
    const released = await receiver.releaseEvents(tokens([first]));
    assert.deepEqual(released.succeededLockTokens, tokens([first]));
    const [second] = await take(1);
    assert.equal(second.event.id, 'again');
    assert.equal(second.brokerProperties.deliveryCount, 2);
    await receiver.releaseEvents(tokens([second]), { releaseDelay: '3600' });
    assert.equal((await stats()).Delayed, 1);
  });

  test('rejected events are dead', async () => {
    const { Dead } = await stats();
    await sender.sendEvents(event('bad'));
    const details = await take(1);
    assert.deepEqual((await receiver.rejectEvents(tokens(details))).succeededLockTokens, tokens(details));
    assert.equal((await stats()).Dead, Dead + 1);
  });

  test('part of a settlement may fail', async () => {
    await sender.sendEvents([event('p'), event('q')]);
    const [p, q] = tokens(await take(2));
    assert.deepEqual((await receiver.renewEventLocks([p, 'not a token'])).succeededLockTokens, [p]);
    assert.deepEqual((await receiver.acknowledgeEvents([p])).succeededLockTokens, [p]);
    for (const settle of ['acknowledgeEvents', 'releaseEvents', 'rejectEvents', 'renewEventLocks']) {
      const { succeededLockTokens, failedLockTokens } = await receiver[settle]([p, settle === 'renewEventLocks' ? q : 'not a token']);
      assert.deepEqual(succeededLockTokens, settle === 'renewEventLocks' ? [q] : [], settle);
      assert.ok(failedLockTokens.length >= 1 && failedLockTokens.every((f) => f.lockToken && f.error.code), settle);
      assert.ok(failedLockTokens.some((f) => f.lockToken === p), settle);
    }
    await receiver.acknowledgeEvents([q]);
  });

  test('who has no key, no topic or no subscription is refused', async () => {
    const stranger = new AzureKeyCredential('wrong');
    await assert.rejects(new EventGridSenderClient(endpoint, stranger, topic, impatient).sendEvents(event('x')), withStatus(401));
    await assert.rejects(new EventGridReceiverClient(endpoint, stranger, topic, subscription, impatient).receiveEvents(), withStatus(401));
    await assert.rejects(new EventGridReceiverClient(endpoint, credential, topic, 'absent', impatient).receiveEvents(), withStatus(404));
    await assert.rejects(new EventGridSenderClient(endpoint, credential, 'absent', impatient).sendEvents(event('x')), withStatus(404, 410));
    await assert.rejects(sender.sendEvents(event('large', { text: 'x'.repeat(1 << 20) })), withStatus(413));
  });
});
