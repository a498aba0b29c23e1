// Event Grid's custom topics through @azure/eventgrid, and their deliveries to
// a webhook of Node's own HTTP server.
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { AzureKeyCredential, AzureSASCredential, EventGridDeserializer, EventGridPublisherClient, generateSharedAccessSignature } from '@azure/eventgrid';
import { ServiceBusClient } from '@azure/service-bus';
import { collect, control, env } from './support.mjs';

const credential = new AzureKeyCredential(env('EVENTGRID_TOPIC_KEY'));
const impatient = { retryOptions: { maxRetries: 0 } };
const kinds = [
  { schema: 'EventGridSchema', input: 'EventGrid' },
  { schema: 'CloudEventSchemaV1_0', input: 'CloudEvent' },
];
const withStatus = (status) => (e) => e.statusCode === status || assert.fail(`want ${status}, got ${e.statusCode}: ${e.message}`);

/** A webhook that keeps the requests it gets and answers as it is told. */
class Webhook extends EventEmitter {
  requests = [];

  async listen(answer) {
    this.server = createServer(async (request, response) => {
      const body = Buffer.concat(await collect(request)).toString();
      const got = { method: request.method, headers: request.headers, body };
      this.requests.push(got);
      const { status, headers = {}, content = '' } = answer(got);
      response.writeHead(status, headers).end(content);
      this.emit('request');
    });
    await once(this.server.listen(0, '127.0.0.1'), 'listening');
    return `http://127.0.0.1:${this.server.address().port}/events`;
  }

  /** Waits for that many requests. */
  async came(count) {
    while (this.requests.length < count) await once(this, 'request');
    return this.requests;
  }

  close() {
    this.server.close();
    this.server.closeAllConnections();
  }
}

/** Answers the handshakes of both schemas, and 200 to events. */
function hospitable({ method, headers, body }) {
  if (method === 'OPTIONS') return { status: 200, headers: { 'WebHook-Allowed-Origin': headers['webhook-request-origin'], 'WebHook-Allowed-Rate': '*' } };
  if (headers['aeg-event-type'] !== 'SubscriptionValidation') return { status: 200 };
  const [{ data }] = JSON.parse(body);
  return { status: 200, content: JSON.stringify({ validationResponse: data.validationCode }), headers: { 'content-type': 'application/json' } };
}

const gridEvent = (id, data) => ({ id, eventType: 'Peer.Happened', subject: `things/${id}`, dataVersion: '1.0', eventTime: new Date(Date.UTC(2026, 1, 3)), data });
const cloudEvent = (id, data) => ({ id, type: 'Peer.Happened', source: '/peer', subject: `things/${id}`, time: new Date(Date.UTC(2026, 1, 3)), data, extensionAttributes: { trace: `t-${id}` } });

describe('publishing and delivery', () => {
  const hooks = [];
  after(() => hooks.forEach((hook) => hook.close()));

  async function subscribed(schema, name, answer = hospitable) {
    const hook = new Webhook();
    hooks.push(hook);
    await control('/eventgrid/subscribe', { schema, name, url: await hook.listen(answer) });
    return hook;
  }

  test('Event Grid schema: handshake, then one request for each event', async () => {
    const hook = await subscribed('EventGridSchema', 'grid');
    const publisher = new EventGridPublisherClient(await control('/eventgrid/topic', { schema: 'EventGridSchema' }), 'EventGrid', credential, impatient);
    await publisher.send([gridEvent('a', { n: 1 }), gridEvent('b', { deep: ['ü', null, 2 ** 40] })]);
    const [handshake, ...deliveries] = await hook.came(3);
    assert.equal(handshake.headers['aeg-event-type'], 'SubscriptionValidation');
    const consumer = new EventGridDeserializer();
    const [validation] = await consumer.deserializeEventGridEvents(handshake.body);
    assert.equal(validation.eventType, 'Microsoft.EventGrid.SubscriptionValidationEvent');
    assert.ok(validation.data.validationCode && validation.data.validationUrl);
    const events = {};
    for (const { method, headers, body } of deliveries) {
      assert.equal(method, 'POST');
      assert.equal(headers['aeg-event-type'], 'Notification');
      assert.equal(headers['aeg-subscription-name'].toLowerCase(), 'grid');
      assert.equal(headers['aeg-delivery-count'], '0');
      const [event, more] = await consumer.deserializeEventGridEvents(body);
      assert.equal(more, undefined);
      events[event.id] = event;
    }
    assert.deepEqual(events.a.data, { n: 1 });
    assert.deepEqual(events.b.data, { deep: ['ü', null, 2 ** 40] });
    assert.equal(events.a.subject, 'things/a');
    assert.equal(events.a.eventType, 'Peer.Happened');
    assert.equal(events.a.dataVersion, '1.0');
    assert.equal(events.a.eventTime.getTime(), Date.UTC(2026, 1, 3));
    assert.match(events.a.topic, /^\/subscriptions\/.*\/topics\//);
  });

  test('CloudEvents: OPTIONS handshake, then structured events', async () => {
    const hook = await subscribed('CloudEventSchemaV1_0', 'cloud');
    const publisher = new EventGridPublisherClient(await control('/eventgrid/topic', { schema: 'CloudEventSchemaV1_0' }), 'CloudEvent', credential, impatient);
    await publisher.send([cloudEvent('a', { n: 1 }), { ...cloudEvent('b', new Uint8Array([0, 1, 255])), datacontenttype: 'application/octet-stream' }]);
    const [handshake, ...deliveries] = await hook.came(3);
    assert.equal(handshake.method, 'OPTIONS');
    assert.ok(handshake.headers['webhook-request-origin']);
    const consumer = new EventGridDeserializer();
    const events = {};
    for (const { headers, body } of deliveries) {
      assert.match(headers['content-type'], /^application\/cloudevents\+json/);
      const [event] = await consumer.deserializeCloudEvents(body);
      events[event.id] = event;
    }
    assert.deepEqual(events.a.data, { n: 1 });
    assert.equal(events.a.source, '/peer');
    assert.equal(events.a.type, 'Peer.Happened');
    assert.equal(events.a.time.getTime(), Date.UTC(2026, 1, 3));
    assert.deepEqual(events.a.extensionAttributes, { trace: 't-a' });
    assert.deepEqual([...events.b.data], [0, 1, 255]);
  });

  test('an endpoint that does not shake hands gets no subscription', async () => {
    const refused = (schema, name, answer) => assert.rejects(subscribed(schema, name, answer), /handshake/);
    await refused('EventGridSchema', 'silent', () => ({ status: 200, content: '{}' }));
    await refused('EventGridSchema', 'accepting', (request) => ({ ...hospitable(request), status: 202 }));
    await refused('CloudEventSchemaV1_0', 'absent', () => ({ status: 404 }));
    await refused('CloudEventSchemaV1_0', 'forbidding', () => ({ status: 200 }));
  });
});

describe('refusals', () => {
  for (const { schema, input } of kinds) {
    let endpoint;
    const event = input === 'EventGrid' ? gridEvent : cloudEvent;
    before(async () => { endpoint = await control('/eventgrid/topic', { schema }); });

    test(`${input}: a wrong key is unauthorized, a signature is as good as a key`, async () => {
      const stranger = new EventGridPublisherClient(endpoint, input, new AzureKeyCredential('wrong'), impatient);
      await assert.rejects(stranger.send([event('x', {})]), withStatus(401));
      const token = await generateSharedAccessSignature(endpoint, credential, new Date(Date.now() + 60_000));
      await new EventGridPublisherClient(endpoint, input, new AzureSASCredential(token), impatient).send([event('signed', {})]);
      const expired = await generateSharedAccessSignature(endpoint, credential, new Date(Date.now() - 60_000));
      await assert.rejects(new EventGridPublisherClient(endpoint, input, new AzureSASCredential(expired), impatient).send([event('late', {})]), withStatus(401));
    });

    test(`${input}: the other schema, and a body that is too large`, async () => {
      const other = kinds.find((k) => k.input !== input);
      const confused = new EventGridPublisherClient(endpoint, other.input, credential, impatient);
      await assert.rejects(confused.send([(other.input === 'EventGrid' ? gridEvent : cloudEvent)('x', {})]), withStatus(400));
      const publisher = new EventGridPublisherClient(endpoint, input, credential, impatient);
      await assert.rejects(publisher.send([event('large', { text: 'x'.repeat(1 << 20) })]), withStatus(413));
    });
  }
});

test('a topic whose destination is the queue reaches it', async () => {
  const publisher = new EventGridPublisherClient(env('EVENTGRID_TOPIC_ENDPOINT'), 'EventGrid', credential, impatient);
  await publisher.send([gridEvent('queued', { n: 1 })]);
  const client = new ServiceBusClient(env('MODELWARDEN_SERVICEBUS_CONNECTION_STRING'));
  const receiver = client.createReceiver(env('MODELWARDEN_SERVICEBUS_QUEUE'));
  const [message] = await receiver.receiveMessages(1, { maxWaitTimeInMs: 10_000 });
  assert.ok(message.messageId);
  assert.equal(message.applicationProperties['aeg-event-type'], 'Notification');
  assert.equal([message.body].flat()[0].subject, 'things/queued');
  await receiver.completeMessage(message);
  await client.close();
});
