// Cosmos DB through @azure/cosmos, which plans queries and pages differently
// from the Go SDK.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { BulkOperationType, CosmosClient } from '@azure/cosmos';
import { env } from './support.mjs';

const endpoint = env('MODELWARDEN_COSMOS_ENDPOINT');
const database = env('MODELWARDEN_COSMOS_DATABASE');
const options = { connectionPolicy: { enableBackgroundEndpointRefreshing: false, retryOptions: { maxRetryAttemptCount: 0 } } };
const client = new CosmosClient({ endpoint, key: env('MODELWARDEN_COSMOS_KEY'), ...options });
after(() => client.dispose());

/** Creates a container of its own for a test, set up as the product's is. */
async function container() {
  const { container: made } = await client.database(database).containers.create({
    id: `peer-${randomUUID()}`,
    partitionKey: { paths: ['/pk'], version: 2 },
    defaultTtl: -1,
    indexingPolicy: { indexingMode: 'consistent', includedPaths: [{ path: '/pk/?' }, { path: '/n/?' }, { path: '/kind/?' }], excludedPaths: [{ path: '/*' }] },
  });
  return made;
}

const withCode = (code) => (e) => e.code === code || assert.fail(`want ${code}, got ${e.code}: ${e.message}`);
const ifMatch = (condition) => ({ accessCondition: { type: 'IfMatch', condition } });
const ids = (items) => items.map((item) => item.id);

describe('accounts, databases and containers', () => {
  test('the account names itself', async () => {
    const { resource } = await client.getDatabaseAccount();
    assert.equal(new URL(resource.writableLocations[0].databaseAccountEndpoint).port, new URL(endpoint).port);
    assert.ok(resource.consistencyPolicy);
  });

  test('databases are created, listed and deleted once', async () => {
    const id = `peer-${randomUUID()}`;
    const created = await client.databases.create({ id });
    assert.equal(created.statusCode, 201);
    await assert.rejects(client.databases.create({ id }), withCode(409));
    assert.equal((await client.databases.createIfNotExists({ id })).statusCode, 200);
    assert.ok(ids((await client.databases.readAll().fetchAll()).resources).includes(id));
    await client.database(id).delete();
    await assert.rejects(client.database(id).read(), withCode(404));
  });

  test('containers keep their definition', async () => {
    const made = await container();
    const { resource } = await made.read();
    assert.deepEqual(resource.partitionKey.paths, ['/pk']);
    assert.equal(resource.defaultTtl, -1);
    assert.deepEqual(resource.indexingPolicy.includedPaths.map((p) => p.path), ['/pk/?', '/n/?', '/kind/?']);
    assert.deepEqual(resource.indexingPolicy.excludedPaths.map((p) => p.path), ['/*']);
    assert.ok(ids((await client.database(database).containers.readAll().fetchAll()).resources).includes(made.id));
    assert.equal((await client.database(database).containers.createIfNotExists({ id: made.id, partitionKey: '/pk' })).statusCode, 200);
    const changed = await made.replace({ ...resource, defaultTtl: 3600 });
    assert.equal(changed.resource.defaultTtl, 3600);
    await made.delete();
    await assert.rejects(made.read(), withCode(404));
  });
});

describe('items', () => {
  let items;
  before(async () => { items = (await container()); });

  test('create, read, replace, upsert, delete', async () => {
    const id = 'crud ü+%', pk = 'a/b c';
    const created = await items.items.create({ id, pk, n: 1, deep: { list: [1, null, 'x'] } });
    assert.equal(created.statusCode, 201);
    assert.equal(created.resource.deep.list[2], 'x');
    assert.ok(created.requestCharge > 0);
    assert.ok(created.etag && created.etag === created.resource._etag);
    await assert.rejects(items.items.create({ id, pk }), withCode(409));
    const item = items.item(id, pk);
    const read = await item.read();
    assert.deepEqual(read.resource, created.resource);
    assert.ok(read.requestCharge > 0 && read.requestCharge < created.requestCharge);
    const replaced = await item.replace({ id, pk, n: 2 });
    assert.equal(replaced.resource.n, 2);
    assert.equal(replaced.resource.deep, undefined);
    assert.notEqual(replaced.etag, created.etag);
    assert.equal((await items.items.upsert({ id, pk, n: 3 })).statusCode, 200);
    assert.equal((await items.items.upsert({ id: 'new', pk, n: 3 })).statusCode, 201);
    assert.equal((await item.delete()).statusCode, 204);
    await assert.rejects(item.delete(), withCode(404));
    await assert.rejects(item.replace({ id, pk }), withCode(404));
    assert.equal((await item.read()).statusCode, 404); // read() does not throw
    assert.equal((await items.item('new', 'elsewhere').read()).resource, undefined);
  });

  test('ETags guard writes and save reads', async () => {
    const pk = 'etags';
    const { item, etag: old } = await items.items.create({ id: 'e', pk, n: 1 });
    const { etag } = await item.replace({ id: 'e', pk, n: 2 }, ifMatch(old));
    for (const write of [() => item.replace({ id: 'e', pk, n: 3 }, ifMatch(old)), () => item.delete(ifMatch(old)), () => items.items.upsert({ id: 'e', pk, n: 3 }, ifMatch(old))]) {
      await assert.rejects(write(), withCode(412));
    }
    const unchanged = await item.read({ accessCondition: { type: 'IfNoneMatch', condition: etag } });
    assert.equal(unchanged.statusCode, 304);
    const changed = await item.read({ accessCondition: { type: 'IfNoneMatch', condition: old } });
    assert.equal(changed.resource.n, 2);
    await item.delete(ifMatch(etag));
  });

  test('a key that does not fit, and an item that is too large', async () => {
    await assert.rejects(items.items.create({ id: 'large', pk: 'x', text: 'x'.repeat(2 << 20) }), withCode(413));
    await assert.rejects(items.items.create({ id: 'bad?id', pk: 'x' }), /illegal/i);
    await assert.rejects(items.item('x', 'one').replace({ id: 'x', pk: 'two' }), (e) => e.code === 400 || e.code === 404);
  });

  test('keys that are numbers, booleans, null and missing', async () => {
    for (const [i, pk] of [7, true, null].entries()) {
      await items.items.create({ id: `k${i}`, pk });
      assert.equal((await items.item(`k${i}`, pk).read()).resource?.pk, pk, String(pk));
    }
    await items.items.create({ id: 'none' });
    assert.equal((await items.item('none', undefined).read()).resource?.id, 'none');
    assert.equal((await items.item('k2', 'null').read()).resource, undefined);
  });

  test('an item that lives for a second is gone after it', async () => {
    const { item, resource } = await items.items.create({ id: 'mortal', pk: 'ttl', ttl: 1 });
    assert.equal(resource.ttl, 1);
    await items.items.create({ id: 'lasting', pk: 'ttl' });
    const deadline = Date.now() + 5_000;
    while ((await item.read()).resource) assert.ok(Date.now() < deadline, 'it is still there');
    assert.deepEqual(ids((await items.items.query('SELECT * FROM c', { partitionKey: 'ttl' }).fetchAll()).resources), ['lasting']);
  });
});

describe('batches', () => {
  let items;
  before(async () => { items = (await container()).items; });

  test('all operations, or none', async () => {
    const pk = 'p';
    const { etag } = (await items.create({ id: 'old', pk, n: 1 }));
    await items.create({ id: 'doomed', pk });
    const good = await items.batch([
      { operationType: BulkOperationType.Create, resourceBody: { id: 'new', pk, n: 1 } },
      { operationType: BulkOperationType.Upsert, resourceBody: { id: 'up', pk } },
      { operationType: BulkOperationType.Replace, id: 'old', resourceBody: { id: 'old', pk, n: 2 }, ifMatch: etag },
      { operationType: BulkOperationType.Read, id: 'old' },
      { operationType: BulkOperationType.Delete, id: 'doomed' },
    ], pk);
    assert.equal(good.code, 200);
    assert.ok(good.headers['x-ms-request-charge'] > 0);
    assert.deepEqual(good.result.map((r) => r.statusCode), [201, 201, 200, 200, 204]);
    assert.equal(good.result[3].resourceBody.n, 2);
    assert.ok(good.result[0].eTag && good.result.every((r) => r.requestCharge > 0));

    const bad = await items.batch([
      { operationType: BulkOperationType.Create, resourceBody: { id: 'never', pk } },
      { operationType: BulkOperationType.Replace, id: 'old', resourceBody: { id: 'old', pk, n: 3 }, ifMatch: etag },
      { operationType: BulkOperationType.Delete, id: 'up' },
    ], pk);
    assert.equal(bad.code, 207);
    assert.deepEqual(bad.result.map((r) => r.statusCode), [424, 412, 424]);
    const left = (await items.query('SELECT * FROM c', { partitionKey: pk }).fetchAll()).resources;
    assert.deepEqual(left.map((i) => `${i.id}/${i.n}`).sort(), ['new/1', 'old/2', 'up/undefined']);
  });

  test('a conflict takes back what came before it', async () => {
    await items.create({ id: 'here', pk: 'q' });
    const { result } = await items.batch([
      { operationType: BulkOperationType.Create, resourceBody: { id: 'first', pk: 'q' } },
      { operationType: BulkOperationType.Create, resourceBody: { id: 'here', pk: 'q' } },
    ], 'q');
    assert.deepEqual(result.map((r) => r.statusCode), [424, 409]);
    assert.deepEqual(ids((await items.query('SELECT * FROM c', { partitionKey: 'q' }).fetchAll()).resources), ['here']);
  });
});

describe('queries', () => {
  let items;
  before(async () => {
    items = (await container()).items;
    for (let n = 0; n < 25; n++) {
      await items.create({ id: `i${n}`, pk: `p${n % 2}`, n, kind: n % 5 === 0 ? 'five' : 'other', name: `Name ${n}` });
    }
  });

  test('parameters, comparisons and functions', async () => {
    const query = {
      query: 'SELECT c.id, c.n AS number FROM c WHERE c.n >= @low AND c.n < @high AND c.kind = @kind AND STARTSWITH(c.id, @prefix)',
      parameters: [{ name: '@low', value: 5 }, { name: '@high', value: 20 }, { name: '@kind', value: 'five' }, { name: '@prefix', value: 'i1' }],
    };
    const { resources, requestCharge } = await items.query(query, { partitionKey: 'p0' }).fetchAll();
    assert.deepEqual(resources, [{ id: 'i10', number: 10 }]);
    assert.ok(requestCharge > 0);
    const among = await items.query({
      query: "SELECT VALUE c.id FROM c WHERE c.n IN (1, 3, 5) AND NOT (c.kind = 'five') AND ARRAY_CONTAINS(@ids, c.id)",
      parameters: [{ name: '@ids', value: ['i1', 'i3', 'i5'] }],
    }, { partitionKey: 'p1' }).fetchAll();
    assert.deepEqual(among.resources.sort(), ['i1', 'i3']);
  });

  test('ORDER BY within a partition, page by page', async () => {
    const pages = [];
    const iterator = items.query('SELECT * FROM c ORDER BY c.n DESC', { partitionKey: 'p1', maxItemCount: 5 });
    while (iterator.hasMoreResults()) {
      const { resources } = await iterator.fetchNext();
      if (resources?.length) pages.push(resources.map((i) => i.n));
    }
    assert.deepEqual(pages, [[23, 21, 19, 17, 15], [13, 11, 9, 7, 5], [3, 1]]);
  });

  test('a continuation token goes on where another client stopped', async () => {
    const query = 'SELECT * FROM c WHERE c.n > 2';
    const first = await items.query(query, { partitionKey: 'p0', maxItemCount: 4 }).fetchNext();
    assert.equal(first.resources.length, 4);
    assert.ok(first.continuationToken);
    const rest = await items.query(query, { partitionKey: 'p0', continuationToken: first.continuationToken, maxItemCount: 100 }).fetchNext();
    assert.deepEqual([...first.resources, ...rest.resources].map((i) => i.n), [4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24]);
    assert.equal(rest.hasMoreResults, false);
  });

  test('TOP, OFFSET and LIMIT within a partition', async () => {
    const top = await items.query('SELECT TOP 3 c.n FROM c ORDER BY c.n', { partitionKey: 'p0' }).fetchAll();
    assert.deepEqual(top.resources.map((i) => i.n), [0, 2, 4]);
    const middle = await items.query('SELECT c.n FROM c ORDER BY c.n OFFSET 2 LIMIT 3', { partitionKey: 'p0' }).fetchAll();
    assert.deepEqual(middle.resources.map((i) => i.n), [4, 6, 8]);
  });

  test('across partitions: filter and projection, page by page', async () => {
    const all = await items.query("SELECT c.id, c.pk FROM c WHERE c.kind = 'five'").fetchAll();
    assert.deepEqual(ids(all.resources).sort(), ['i0', 'i10', 'i15', 'i20', 'i5']);
    const seen = [];
    for await (const { resources } of items.query('SELECT * FROM c', { maxItemCount: 7 }).getAsyncIterator()) {
      assert.ok(resources.length <= 7);
      seen.push(...ids(resources));
    }
    assert.equal(new Set(seen).size, 25);
    assert.equal(seen.length, 25);
    assert.equal((await items.readAll().fetchAll()).resources.length, 25);
  });

  test('what the service refuses is refused', async () => {
    await assert.rejects(items.query('SELEC * FROM c', { partitionKey: 'p0' }).fetchAll(), withCode(400));
    await assert.rejects(items.query('SELECT * FROM c ORDER BY c.name', { partitionKey: 'p0' }).fetchAll(), withCode(400)); // not indexed
    await assert.rejects(items.query('SELECT * FROM c ORDER BY c.n').fetchAll(), withCode(400)); // the server does not merge partitions
  });
});

describe('access', () => {
  test('a wrong key is unauthorized', async () => {
    const stranger = new CosmosClient({ endpoint, key: Buffer.from('wrong').toString('base64'), ...options });
    await assert.rejects(stranger.database(database).read(), withCode(401));
    stranger.dispose();
  });

  test('a database or container that is not there', async () => {
    await assert.rejects(client.database('absent').container('x').items.create({ id: '1', pk: '1' }), withCode(404));
    await assert.rejects(client.database(database).container('absent').items.create({ id: '1', pk: '1' }), withCode(404));
  });
});
