// Modelwarden on the Azure engines, with the SDKs for JavaScript at every
// point where Azure and it meet.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { CosmosClient } from '@azure/cosmos';
import { AzureKeyCredential, EventGridPublisherClient } from '@azure/eventgrid';
import { EventGridSenderClient } from '@azure/eventgrid-namespaces';
import { ServiceBusClient } from '@azure/service-bus';
import { control, env } from './support.mjs';

const service = env('PEERS_MODELWARDEN');
const workspace = '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/contoso-ml';
const bus = new ServiceBusClient(env('MODELWARDEN_SERVICEBUS_CONNECTION_STRING'));
const cosmos = new CosmosClient({
  endpoint: env('MODELWARDEN_COSMOS_ENDPOINT'), key: env('MODELWARDEN_COSMOS_KEY'), connectionPolicy: { enableBackgroundEndpointRefreshing: false },
});
const container = cosmos.database(env('MODELWARDEN_COSMOS_DATABASE')).container(env('MODELWARDEN_COSMOS_CONTAINER'));
after(async () => {
  cosmos.dispose();
  await bus.close();
});

/** A registration as Azure ML tells of it. */
function registered(model, version) {
  return {
    id: randomUUID(), topic: workspace, subject: `models/${model}:${version}`, eventType: 'Microsoft.MachineLearningServices.ModelRegistered',
    eventTime: new Date().toISOString(), dataVersion: '2', metadataVersion: '1',
    data: { modelName: model, modelVersion: String(version), modelTags: { owner: 'peers' }, modelProperties: {} },
  };
}

/** The same as a CloudEvent. */
function asCloudEvent({ id, topic, subject, eventType, eventTime, data }) {
  return { id, source: topic, subject, type: eventType, time: new Date(eventTime), data };
}

/** What the API answers, or undefined for 404. */
async function api(path) {
  const answer = await fetch(service + path);
  if (answer.status === 404) return undefined;
  assert.equal(answer.status, 200, path);
  return answer.json();
}

/** Asks until there is an answer that pleases. */
async function eventually(what, ask) {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline;) {
    const answer = await ask();
    if (answer) return answer;
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  return assert.fail(`not within 30 s: ${what}`);
}

/** The service's log of events. */
const logged = async () => (await api('/api/v1/events?limit=100')).items;

/** Posts an event to a webhook. */
const push = (to, event) => fetch(`${to}/events`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify([event]) });

/** What is in the product's queue, in whatever state; or among its dead letters. */
async function peek(options) {
  const receiver = bus.createReceiver(env('MODELWARDEN_SERVICEBUS_QUEUE'), options);
  const messages = await receiver.peekMessages(10);
  await receiver.close();
  return messages;
}

/** Waits until every message is settled. */
const idle = () => eventually('the queue is empty', async () => (await peek()).length === 0);

/** Waits until an event is in the log, and its model in the inventory. */
async function arrived(event) {
  const { modelName, modelVersion } = event.data;
  await eventually(`event ${event.id} is in the log`, async () => (await logged()).some((e) => e.id === event.id));
  return eventually(`model ${modelName} is there`, () => api(`/api/v1/assets/model/contoso-ml/${modelName}/${modelVersion}`));
}

/** The names that the product gives partitions and items, as they are stored. */
const escaped = (name) => name.replaceAll('.', '.1').replaceAll('/', '.2');

/** Sends messages to a queue as somebody who is not Modelwarden. */
async function send(...messages) {
  const sender = bus.createSender(env('MODELWARDEN_SERVICEBUS_QUEUE'));
  for (const m of messages) await sender.sendMessages(m);
  await sender.close();
}

/** A message as Event Grid makes it for a queue: the event as bytes, its headers as properties. */
const delivered = (body, messageId = randomUUID()) => ({
  body: Buffer.from(JSON.stringify(body)), messageId,
  applicationProperties: { 'aeg-event-type': 'Notification', 'aeg-subscription-name': 'QUEUE', 'aeg-delivery-count': '0', 'aeg-data-version': '2', 'aeg-metadata-version': '1' },
});

describe('what comes in', () => {
  test('a push to the webhook is stored in the partition of its asset', async () => {
    const event = registered('pushed', 7);
    const answer = await push(service, event);
    assert.equal(answer.status, 200);
    const asset = await arrived(event);
    assert.equal(asset.id, 'model/contoso-ml/pushed/7');

    const partitionKey = escaped('model/contoso-ml/pushed/7');
    const { resources, requestCharge } = await container.items.query('SELECT * FROM c WHERE IS_DEFINED(c.o) ORDER BY c.o', { partitionKey }).fetchAll();
    assert.equal(resources.length, 1);
    assert.match(resources[0].o, /^event\.2/);
    const record = JSON.parse(resources[0].b);
    assert.equal(record.kind, 'model.registered');
    assert.equal(record.asset, 'model/contoso-ml/pushed/7');
    assert.ok(requestCharge > 0);
    const stored = await container.item('asset', partitionKey).read();
    assert.equal(JSON.parse(stored.resource.b).fields.owner.v, 'peers');
    assert.ok(stored.etag);
  });

  test('messages that Event Grid puts straight into the queue', async () => {
    const [object, array, cloud] = ['object', 'array', 'cloud'].map((name) => registered(name, 1));
    await send(delivered(object), delivered([array]), delivered({ specversion: '1.0', ...asCloudEvent(cloud) }));
    for (const event of [object, array, cloud]) await arrived(event);
  });

  test('a repeated delivery is one event', async () => {
    const event = registered('repeated', 1), last = registered('after', 1);
    await send(delivered(event, 'same'), delivered(event, 'same'), delivered(event), delivered([event]));
    await arrived(event);
    await send(delivered(last));
    await arrived(last);
    await idle();
    assert.equal((await logged()).filter((e) => e.id === event.id).length, 1);
  });

  test('what is no event goes to quarantine', async () => {
    await send({ body: Buffer.from('this is no event'), messageId: 'nonsense' }, { body: { half: 'an event' }, messageId: 'half' });
    await eventually('both are in quarantine', async () => (await api('/api/v1/quarantine')).items.length === 2);
  });

  test('a publication to the topic whose destination is the queue', async () => {
    const event = registered('published', 1);
    const publisher = new EventGridPublisherClient(env('EVENTGRID_TOPIC_ENDPOINT'), 'EventGrid', new AzureKeyCredential(env('EVENTGRID_TOPIC_KEY')));
    const { topic: _, metadataVersion: __, ...given } = event; // both are Event Grid's to set
    await publisher.send([{ ...given, eventTime: new Date(event.eventTime) }]);
    await arrived(event);
  });

  test('an event in a namespace is pulled', async () => {
    const event = registered('pulled', 1);
    const sender = new EventGridSenderClient(env('MODELWARDEN_PULL_ENDPOINT'), new AzureKeyCredential(env('MODELWARDEN_PULL_KEY')), env('MODELWARDEN_PULL_TOPIC'));
    await sender.sendEvents(asCloudEvent(event));
    await arrived(event);
    const settled = ({ Acknowledged, Ready, Locked }) => Acknowledged === 1 && Ready === 0 && Locked === 0;
    await eventually('it is acknowledged', async () => settled(await control('/namespace/stats')));
  });
});

describe('what goes out', () => {
  test('the queue is empty when all is done', async () => {
    await idle();
    assert.deepEqual(await peek({ subQueueType: 'deadLetter' }), []);
  });

  test('what the subscriber queues, others can read', async () => {
    const event = registered('queued', 3);
    assert.equal((await push(env('PEERS_SUBSCRIBER'), event)).status, 200);
    const receiver = bus.createReceiver(env('PEERS_QUEUE'));
    const [message] = await receiver.receiveMessages(1, { maxWaitTimeInMs: 10_000 });
    assert.ok(message.messageId);
    assert.equal(message.deliveryCount, 0);
    const cloudEvent = message.body; // the SDK reads JSON
    assert.equal(cloudEvent.specversion, '1.0');
    assert.equal(cloudEvent.id, event.id);
    assert.equal(cloudEvent.subject, event.subject);
    assert.equal(cloudEvent.data.modelVersion, '3');
    await receiver.completeMessage(message);
  });
});
