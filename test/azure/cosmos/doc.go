// Package cosmos is an Azure Cosmos DB for NoSQL account in memory, for tests
// and demonstrations: the REST API as far as the official SDKs use it.
//
//	s := cosmos.New(cosmos.Options{})
//	s.CreateContainer("db", "items", cosmos.ContainerOptions{PartitionKey: "/pk"})
//	if err := s.Start("127.0.0.1:0"); err != nil { ... }
//	defer s.Close()
//	// endpoint s.URL(), key s.Key(), in any SDK's gateway mode
//
// A test that wants virtual time, or none at all, leaves out Start and gives
// the SDK [Server.Transport] as azcore's ClientOptions.Transport: requests
// are then handled in the caller's goroutine, which works in a testing/synctest
// bubble.
//
// [Faults] makes requests fail, before or after they took effect, by script
// or by dice with a seed. [Server.Stats] counts requests and request units.
//
// # What is simulated, and what is not
//
//	account         GET / with regions and consistency; one region, one partition key range
//	authentication  master key signatures (401, 403 when 15 minutes off), Entra tokens
//	                by Options.Token, which may not administer (403/5300) or only read
//	                (403/5301). Not: resource tokens, single permissions
//	databases,      create, read, replace (containers), delete, list; 404, 409, 412.
//	containers      Not: throughput (offers), stored procedures, triggers, users
//	partition keys  one path, any scalar, null or absent; at most 2,048 bytes. Not:
//	                hierarchical ones
//	items           create, read, upsert, replace, delete, feed; ETags with If-Match and
//	                If-None-Match (304, 412); 400 for bad ids and keys, 413 above 2 MiB,
//	                404/1003 for a missing container. Not: patch, change feed
//	batches         atomic: 200, or 207 with one cause and 424, undone; 100 operations,
//	                2 MiB. Not: patch, bulk (not atomic)
//	queries         the grammar of internal/sql within a partition; over partitions only
//	                filter and projection, else 400/1004 as the gateway's; query plans for
//	                such. ORDER BY asks for its index, of several properties for a
//	                composite one. Strings are ordered by Unicode code point (the service
//	                documents no collation). Pages by x-ms-max-item-count (100 unless
//	                given) and 4 MiB. Not: joins, aggregates, GROUP BY, DISTINCT
//	consistency     told, charged, and no request may strengthen it; every read sees the
//	                newest write. Session tokens are given and not needed
//	time to live    container default and item ttl, from _ts in whole seconds; what has
//	                expired is gone at once
//	throughput      per container, 429/3200 with x-ms-retry-after-ms
//	indexing        decides about ORDER BY and charges, not about results
//	replication,    not at all: nothing fails over, splits or conflicts, unless a
//	backup          fault says so
//
// What is not simulated is refused with a message that names it, never done
// in part.
//
// # Request units
//
// The service does not publish its formula. This one has its documented
// points ("Request Units in Azure Cosmos DB": 1 for a read of 1 KB, 10 of
// 100 KB, 5 and 50 for inserts without an index) and grows steadily between;
// s is the stored size in KB, at least 1:
//
//	read            1 + (s-1)/11
//	read, absent    1
//	insert          5 + (s-1)/2.2 + 0.2 for each indexed value
//	replace         insert of the new and of the old
//	delete          insert of the old
//	refused write   1.24
//	query           2.3 + half a read for each item loaded + 0.03 per KB returned
//	batch           the sum of its operations
//
// Reads and queries cost double under Strong and BoundedStaleness. A query
// loads what it returns if its filter looks at indexed properties only, else
// the whole partition with its first page.
package cosmos
