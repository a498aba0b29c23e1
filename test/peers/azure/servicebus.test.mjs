// Service Bus through @azure/service-bus, whose AMQP is the rhea library's.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { ServiceBusAdministrationClient, ServiceBusClient } from '@azure/service-bus';
import { collect, control, env } from './support.mjs';

const connection = env('MODELWARDEN_SERVICEBUS_CONNECTION_STRING');
const impatient = { retryOptions: { maxRetries: 0, timeoutInMs: 10_000 } };
let client, admin;

before(async () => {
  client = new ServiceBusClient(connection, impatient);
  const { host } = new URL(await control('/servicebus/admin'));
  admin = new ServiceBusAdministrationClient(connection.replace(/Endpoint=[^;]*/, `Endpoint=sb://${host}`));
});
after(() => client.close());

/** Creates a queue of its own for a test. */
async function queue(options = {}) {
  const { name } = await admin.createQueue(`peer-${randomUUID()}`, options);
  return name;
}

async function send(name, ...messages) {
  const sender = client.createSender(name);
  await sender.sendMessages(messages);
  await sender.close();
}

/** Receives exactly so many messages. */
async function take(receiver, count) {
  const got = [];
  while (got.length < count) {
    const more = await receiver.receiveMessages(count - got.length, { maxWaitTimeInMs: 5_000 });
    assert.notEqual(more.length, 0, `only ${got.length} of ${count} messages came`);
    got.push(...more);
  }
  return got;
}

const bodies = (messages) => messages.map((m) => m.body);

/** The counts of a queue as the management interface gives them. */
async function counts(name) {
  const p = await admin.getQueueRuntimeProperties(name);
  return {
    active: p.activeMessageCount, scheduled: p.scheduledMessageCount, dead: p.deadLetterMessageCount, total: p.totalMessageCount,
  };
}

const withCode = (code) => (e) => e.code === code || assert.fail(`want ${code}, got ${e.code}: ${e.message}`);

describe('sending', () => {
  test('bodies and properties arrive as they were', async () => {
    const name = await queue();
    const when = new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678));
    await send(name,
      {
        body: 'text with ü and 日本', messageId: 'm1', contentType: 'text/plain', subject: 's', correlationId: 'c', replyTo: 'r',
        to: 't', partitionKey: 'p', timeToLive: 3_600_000,
        applicationProperties: { text: 'ü', long: 'x'.repeat(300), whole: 7, large: 2 ** 40, negative: -3, part: 1.5, yes: true, no: false, when, nothing: null },
      },
      { body: { nested: { list: [1, 'two', null] } }, contentType: 'application/json', messageId: 42 },
      { body: Buffer.from([0, 1, 254, 255]) },
      { body: '' });
    const receiver = client.createReceiver(name);
    const [text, object, bytes, empty] = await take(receiver, 4);
    assert.equal(text.body, 'text with ü and 日本');
    for (const [field, value] of Object.entries({
      messageId: 'm1', contentType: 'text/plain', subject: 's', correlationId: 'c', replyTo: 'r', to: 't', partitionKey: 'p',
      timeToLive: 3_600_000, deliveryCount: 0, state: 'active',
    })) assert.deepEqual(text[field], value, field);
    assert.deepEqual(text.applicationProperties, {
      text: 'ü', long: 'x'.repeat(300), whole: 7, large: 2 ** 40, negative: -3, part: 1.5, yes: true, no: false,
      when: when.getTime(), // the SDK sends times as timestamps and hands them out as numbers
      nothing: null,
    });
    assert.equal(text.sequenceNumber.toString(), '1');
    assert.ok(Math.abs(text.enqueuedTimeUtc - Date.now()) < 60_000);
    assert.equal(text.expiresAtUtc - text.enqueuedTimeUtc, 3_600_000);
    assert.deepEqual(object.body, { nested: { list: [1, 'two', null] } });
    assert.equal(object.messageId, 42);
    assert.deepEqual([...bytes.body], [0, 1, 254, 255]);
    assert.equal(empty.body, '');
    await receiver.close();
  });

  test('AMQP value and sequence bodies are kept', async () => {
    const name = await queue();
    await send(name, { bodyType: 'value', body: { a: [1, true] } }, { bodyType: 'sequence', body: [['x', 2]] });
    const receiver = client.createReceiver(name);
    const [value, sequence] = await take(receiver, 2);
    assert.equal(value._rawAmqpMessage.bodyType, 'value');
    assert.deepEqual(value.body, { a: [1, true] });
    assert.equal(sequence._rawAmqpMessage.bodyType, 'sequence');
    assert.deepEqual(sequence.body, [['x', 2]]);
    await receiver.close();
  });

  test('a batch holds what fits and is stored whole', async () => {
    const name = await queue();
    const sender = client.createSender(name);
    const batch = await sender.createMessageBatch();
    let n = 0;
    while (batch.tryAddMessage({ body: Buffer.alloc(10_000, n), messageId: `b${n}` })) n++;
    assert.ok(n >= 20 && n <= 26, `${n} messages of 10 kB fit into ${batch.maxSizeInBytes} bytes`);
    await sender.sendMessages(batch);
    const receiver = client.createReceiver(name);
    const got = await take(receiver, n);
    assert.deepEqual(got.map((m) => m.messageId), Array.from({ length: n }, (_, i) => `b${i}`));
    assert.ok(got.every((m, i) => m.body.length === 10_000 && m.body[9_999] === i));
    await Promise.all([sender.close(), receiver.close()]);
  });

  test('what is too large is refused, and the link goes on', async () => {
    const name = await queue();
    const sender = client.createSender(name);
    await assert.rejects(sender.sendMessages({ body: Buffer.alloc(300 * 1024) }), withCode('MessageSizeExceeded'));
    await sender.sendMessages({ body: 'small' });
    await sender.sendMessages({ body: Buffer.alloc(250 * 1024, 7) });
    const receiver = client.createReceiver(name);
    const [small, large] = await take(receiver, 2);
    assert.equal(small.body, 'small');
    assert.ok(large.body.length === 250 * 1024 && large.body.every((b) => b === 7));
    await Promise.all([sender.close(), receiver.close()]);
  });

  test('a repeated message id is dropped where the queue detects duplicates', async () => {
    const name = await queue({ requiresDuplicateDetection: true, duplicateDetectionHistoryTimeWindow: 'PT1M' });
    await send(name, { body: 1, messageId: 'same' });
    await send(name, { body: 2, messageId: 'same' }, { body: 3, messageId: 'other' });
    assert.deepEqual(await counts(name), { active: 2, scheduled: 0, dead: 0, total: 2 });
    const receiver = client.createReceiver(name);
    assert.deepEqual(bodies(await take(receiver, 2)), [1, 3]);
    await receiver.close();
  });

  test('scheduled messages come when it is time, unless cancelled', async () => {
    const name = await queue();
    const sender = client.createSender(name);
    const later = new Date(Date.now() + 3_600_000);
    const numbers = await sender.scheduleMessages([{ body: 'kept' }, { body: 'cancelled' }], later);
    assert.equal(numbers.length, 2);
    const [soon] = await sender.scheduleMessages({ body: 'soon' }, new Date(Date.now() + 300));
    await sender.cancelScheduledMessages(numbers[1]);
    await assert.rejects(sender.cancelScheduledMessages(numbers[1]), withCode('MessageNotFound'));
    const receiver = client.createReceiver(name);
    const peeked = await receiver.peekMessages(10, { fromSequenceNumber: numbers[0] });
    assert.equal(peeked[0].body, 'kept');
    assert.equal(peeked[0].state, 'scheduled');
    assert.equal(peeked[0].scheduledEnqueueTimeUtc.getTime(), later.getTime());
    const [came] = await take(receiver, 1);
    assert.equal(came.body, 'soon');
    assert.equal(came.sequenceNumber.toString(), soon.toString());
    await receiver.completeMessage(came);
    assert.deepEqual(await counts(name), { active: 0, scheduled: 1, dead: 0, total: 1 });
    await Promise.all([sender.close(), receiver.close()]);
  });
});

describe('receiving', () => {
  test('completed is gone, abandoned comes again', async () => {
    const name = await queue();
    await send(name, { body: 'a' }, { body: 'b' });
    const receiver = client.createReceiver(name);
    const [a, b] = await take(receiver, 2);
    assert.ok(Math.abs(a.lockedUntilUtc - Date.now() - 60_000) < 30_000);
    await receiver.completeMessage(a);
    await receiver.abandonMessage(b, { tried: 'once' });
    const [again] = await take(receiver, 1);
    assert.equal(again.body, 'b');
    assert.equal(again.deliveryCount, 1);
    assert.equal(again.applicationProperties.tried, 'once');
    assert.notEqual(again.lockToken, b.lockToken);
    await receiver.completeMessage(again);
    assert.equal((await counts(name)).total, 0);
    await receiver.close();
  });

  test('deferred comes by its number only', async () => {
    const name = await queue();
    await send(name, { body: 'later' }, { body: 'now' });
    const receiver = client.createReceiver(name);
    const [later] = await take(receiver, 1);
    await receiver.deferMessage(later, { why: 'wait' });
    assert.deepEqual(bodies(await take(receiver, 1)), ['now']);
    const [deferred] = await receiver.receiveDeferredMessages(later.sequenceNumber);
    assert.equal(deferred.body, 'later');
    assert.equal(deferred.state, 'deferred');
    assert.equal(deferred.applicationProperties.why, 'wait');
    await receiver.completeMessage(deferred);
    assert.equal((await counts(name)).total, 1);
    await receiver.close();
  });

  test('dead letters say why, and can be peeked, received and completed', async () => {
    const name = await queue();
    await send(name, { body: 'bad', messageId: 'x' });
    const receiver = client.createReceiver(name);
    const [bad] = await take(receiver, 1);
    await receiver.deadLetterMessage(bad, { deadLetterReason: 'unreadable', deadLetterErrorDescription: 'no JSON', by: 'peer' });
    assert.deepEqual(await counts(name), { active: 0, scheduled: 0, dead: 1, total: 1 });
    const graves = client.createReceiver(name, { subQueueType: 'deadLetter' });
    const [peeked] = await graves.peekMessages(5);
    const [dead] = await take(graves, 1);
    for (const m of [peeked, dead]) {
      assert.equal(m.body, 'bad');
      assert.equal(m.messageId, 'x');
      assert.equal(m.deadLetterReason, 'unreadable');
      assert.equal(m.deadLetterErrorDescription, 'no JSON');
      assert.equal(m.applicationProperties.by, 'peer');
    }
    assert.equal(dead.deadLetterSource, name);
    await graves.completeMessage(dead);
    assert.equal((await counts(name)).total, 0);
    await Promise.all([receiver.close(), graves.close()]);
  });

  test('too many deliveries, and expiry, end among the dead letters', async () => {
    const name = await queue({ maxDeliveryCount: 2, deadLetteringOnMessageExpiration: true });
    await send(name, { body: 'poison' }, { body: 'mortal', timeToLive: 1 });
    const receiver = client.createReceiver(name);
    for (let i = 0; i < 2; i++) await receiver.abandonMessage((await take(receiver, 1))[0]);
    const graves = client.createReceiver(name, { subQueueType: 'deadLetter', receiveMode: 'receiveAndDelete' });
    const reasons = Object.fromEntries((await take(graves, 2)).map((m) => [m.body, m.deadLetterReason]));
    assert.deepEqual(reasons, { poison: 'MaxDeliveryCountExceeded', mortal: 'TTLExpiredException' });
    await Promise.all([receiver.close(), graves.close()]);
  });

  test('a lock can be renewed, and settling a lost one fails', async () => {
    const name = await queue({ lockDuration: 'PT30S' });
    await send(name, { body: 'held' });
    const receiver = client.createReceiver(name);
    const [m] = await take(receiver, 1);
    const before = m.lockedUntilUtc.getTime();
    const renewed = await receiver.renewMessageLock(m);
    assert.ok(renewed.getTime() >= before && renewed - Date.now() > 15_000 && renewed - Date.now() <= 30_000);
    assert.equal(await control('/servicebus/expire-locks', { queue: name }), 1);
    await assert.rejects(receiver.completeMessage(m), withCode('MessageLockLost'));
    await assert.rejects(receiver.renewMessageLock(m), withCode('MessageLockLost'));
    const [again] = await take(receiver, 1);
    assert.equal(again.deliveryCount, 1);
    await receiver.completeMessage(again);
    await receiver.close();
  });

  test('peeking goes on by itself and starts anywhere', async () => {
    const name = await queue();
    await send(name, ...[1, 2, 3, 4, 5].map((body) => ({ body })));
    const receiver = client.createReceiver(name);
    const first = await receiver.peekMessages(2);
    assert.deepEqual(bodies(first), [1, 2]);
    assert.deepEqual(bodies(await receiver.peekMessages(2)), [3, 4]);
    assert.deepEqual(bodies(await receiver.peekMessages(10, { fromSequenceNumber: first[1].sequenceNumber })), [2, 3, 4, 5]);
    assert.deepEqual(await receiver.peekMessages(10, { fromSequenceNumber: first[0].sequenceNumber.add(100) }), []);
    assert.equal((await counts(name)).active, 5);
    await receiver.close();
  });

  test('receiveAndDelete asks no settlement', async () => {
    const name = await queue();
    await send(name, { body: 1 }, { body: 2 });
    const receiver = client.createReceiver(name, { receiveMode: 'receiveAndDelete' });
    const got = await take(receiver, 2);
    assert.deepEqual(bodies(got), [1, 2]);
    assert.equal((await counts(name)).total, 0);
    assert.deepEqual(await receiver.receiveMessages(1, { maxWaitTimeInMs: 50 }), []);
    await receiver.close();
  });

  // One call at a time: rhea 3.0 folds a refusal into the acceptance before it
  // when both leave in one tick, and so completes what should come again.
  test('subscribe() settles by what the handler does', async () => {
    const name = await queue();
    const receiver = client.createReceiver(name);
    const seen = [], errors = [];
    await new Promise((resolve, reject) => {
      receiver.subscribe({
        async processMessage(m) {
          seen.push(`${m.body}/${m.deliveryCount}`);
          if (m.body === 'fails' && m.deliveryCount === 0) throw new Error('the first try fails');
          if (seen.length === 12) resolve();
        },
        async processError({ error }) {
          errors.push(error.message);
          if (error.message !== 'the first try fails') reject(error);
        },
      }, { autoCompleteMessages: true, maxConcurrentCalls: 1 });
      send(name, ...Array.from({ length: 10 }, (_, i) => ({ body: i })), { body: 'fails' }).catch(reject);
    });
    await receiver.close(); // after the last settlement
    assert.deepEqual(seen.sort(), [...Array.from({ length: 10 }, (_, i) => `${i}/0`), 'fails/0', 'fails/1'].sort());
    assert.deepEqual(errors, ['the first try fails']);
    assert.equal((await counts(name)).total, 0);
  });

  test('two receivers share, a message goes to one of them', async () => {
    const name = await queue();
    await send(name, ...Array.from({ length: 40 }, (_, body) => ({ body })));
    const receivers = [client.createReceiver(name), client.createReceiver(name)];
    const both = (await Promise.all(receivers.map((r) => take(r, 20)))).flat();
    assert.equal(new Set(bodies(both)).size, 40);
    await Promise.all(both.slice(0, 20).map((m) => receivers[0].completeMessage(m)));
    await Promise.all(both.slice(20).map((m) => receivers[1].completeMessage(m)));
    assert.equal((await counts(name)).total, 0);
    await Promise.all(receivers.map((r) => r.close()));
  });

  test('closing gives back nothing that was not locked before', async () => {
    const name = await queue();
    const receiver = client.createReceiver(name);
    assert.deepEqual(await receiver.receiveMessages(5, { maxWaitTimeInMs: 50 }), []);
    await send(name, { body: 'after' });
    const [m] = await take(receiver, 1);
    assert.equal(m.deliveryCount, 0);
    await receiver.completeMessage(m);
    await receiver.close();
  });
});

describe('refusals', () => {
  test('a queue that is not there', async () => {
    const sender = client.createSender('absent'), receiver = client.createReceiver('absent');
    await assert.rejects(sender.sendMessages({ body: 1 }), withCode('MessagingEntityNotFound'));
    await assert.rejects(receiver.receiveMessages(1, { maxWaitTimeInMs: 100 }), withCode('MessagingEntityNotFound'));
    await assert.rejects(receiver.peekMessages(1), withCode('MessagingEntityNotFound'));
    await Promise.all([sender.close(), receiver.close()]);
  });

  test('a wrong key, and a policy that does not exist', async () => {
    const name = await queue();
    for (const wrong of [
      connection.replace(/SharedAccessKey=[^;]*/, `SharedAccessKey=${Buffer.from('wrong').toString('base64')}`),
      connection.replace(/SharedAccessKeyName=[^;]*/, 'SharedAccessKeyName=nobody'),
    ]) {
      const stranger = new ServiceBusClient(wrong, impatient);
      await assert.rejects(stranger.createSender(name).sendMessages({ body: 1 }), withCode('UnauthorizedAccess'));
      await assert.rejects(stranger.createReceiver(name).receiveMessages(1, { maxWaitTimeInMs: 100 }), withCode('UnauthorizedAccess'));
      await stranger.close();
    }
    assert.equal((await counts(name)).total, 0);
  });

  test('a session where the queue has none', async () => {
    const name = await queue();
    await assert.rejects(client.acceptSession(name, 'one'));
  });
});

describe('management', () => {
  test('queues are created, read, changed, listed and deleted', async () => {
    const name = await queue({ lockDuration: 'PT45S', maxDeliveryCount: 7, requiresDuplicateDetection: true, defaultMessageTimeToLive: 'P1D' });
    const got = await admin.getQueue(name);
    assert.equal(got.lockDuration, 'PT45S');
    assert.equal(got.maxDeliveryCount, 7);
    assert.equal(got.requiresDuplicateDetection, true);
    assert.equal(got.defaultMessageTimeToLive, 'P1D');
    await assert.rejects(admin.createQueue(name), (e) => e.statusCode === 409);
    got.maxDeliveryCount = 9;
    assert.equal((await admin.updateQueue(got)).maxDeliveryCount, 9);
    assert.ok((await collect(admin.listQueues())).some((q) => q.name === name));
    await admin.deleteQueue(name);
    assert.equal(await admin.queueExists(name), false);
    await assert.rejects(admin.getQueue(name), (e) => e.code === 'MessageEntityNotFoundError' || assert.fail(`${e.code}: ${e.message}`));
  });
});
