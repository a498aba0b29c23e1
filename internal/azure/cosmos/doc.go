// Package cosmos keeps records in Azure Cosmos DB for NoSQL: lineage.Store
// over the official SDK.
//
// # Container
//
// One container holds everything: partition key /pk (version 2, for keys of
// more than 101 bytes), time to live on without a default, and an index of
// /pk, /o and the id that excludes the rest. The account's default consistency
// must be Strong or BoundedStaleness. [Store.Provision] makes the container
// where a key may, [Store.Check] looks at all of it and says what to do.
//
// A record is an item; item.go lists its properties. Names are escaped so that
// their order stays what it is by bytes (name.go), bodies take the form that
// makes the smallest request (body.go), never more than a quarter larger than
// they are. lineage.MaxBody and its neighbours are chosen so that a commit at
// their limits fits a batch of 2 MiB whatever is in it.
//
// # Commits
//
// A commit is one transactional batch, with ETags as versions. Deleting what
// is not there makes a batch fail, and the contract wants it to succeed: then
// the absence is proven within the batch by creating and deleting the record.
//
// # Faults
//
// The SDK repeats no write that may have taken effect, and not what the
// service asks to be repeated either (449, 503); here all repetition is in
// one place ([Store.retry]) with one classification ([classify]): up to eight
// tries within the caller's deadline, with growing pauses, or as long as the
// service says. When the answer to a commit was lost, its records are read
// back before and after the repetition: the items carry the random mark of
// the commit that wrote them. That leaves one case nobody can tell: a commit
// that took effect, whose answer was lost, and all of whose records others
// have changed since. It counts as not made; for a commit with a condition
// that means a conflict, one of upserts alone is made again. One of deletes
// alone leaves no mark: where one of its records is there again, it is made
// again, too.
//
// # Request units
//
// Every answer's charge goes to Options.Charge, with failed and repeated
// requests. By the formula of the server in test/azure/cosmos, for bodies of
// 1 KiB and Strong consistency (go test -bench Operations):
//
//	create                          6 units   1 request
//	write over                     11         1
//	get one                         2         1
//	get three                       7         1
//	list twenty                    27         1
//	delete nothing                  1         1
//	delete nothing beside a write  28         3
package cosmos
