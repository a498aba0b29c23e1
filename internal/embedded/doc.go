// Package embedded keeps the event queue and the records in one SQLite file:
// lineage.Queue, lineage.DeadLetters and lineage.Store without a server.
//
// # One writer, group commit
//
// SQLite has one writer at a time and a durable commit costs a disk flush. So
// one goroutine ([writer]) does all writing. Callers hand it jobs; it takes
// every job that waits, performs them in one transaction, commits once and
// answers all. Under load hundreds of callers share a flush; a lone caller
// waits for nobody, there is no timer. Sends, receives, settlements and record
// commits share groups. A job that is refused (a version conflict, a lost
// lease) is found out before it writes anything and costs its neighbours
// nothing. A fault of the disk fails the whole group. Jobs in waiting and in
// a group are bounded; above that callers wait within their contexts.
//
// Reads of records and dead letters go over a small pool of connections. Each
// read is a snapshot that begins when the read does, so it sees whatever was
// answered before.
//
// # Durability
//
// The file is in write-ahead mode with synchronous=FULL: a commit appends the
// changed pages, with checksums, to the log and flushes it before anybody is
// answered. After a crash of process or machine SQLite replays the log up to
// its last whole commit. So what was answered is there, and a group is there
// entirely or not at all. [checkpointer] says how the log is copied into the
// file and bounded. Disks that lie about flushing void all this, and so do
// network file systems.
//
// # File format
//
// modelwarden.db, page size 4096, application_id "MdlW", user_version the
// number of migrations applied. While open there are a -wal and a -shm file;
// modelwarden.lock carries the lock that keeps a second process out and the
// holder's process id.
//
//	segments       seq, count, codec, data: messages sent together in one
//	               row, as length-prefixed entries (see appendEntry); codec 0
//	               is plain
//	segment_states seq, state: a byte for each message of the segment: its
//	               deliveries so far, or 255 when it is settled; no row means
//	               all zero
//	delayed        messages for later: due (ms), attempt, one entry
//	dead           dead letters: attempt, died (ns), reason, description, entry
//	records        partition, id, sort, version, expires (ms), body
//	counters       one row: live, delayed and dead messages; the highest
//	               record version that is reserved
//
// A record's version comes from one counter for the whole file, reserved in
// blocks, so none comes twice even for a record deleted and created again.
//
// # Queue
//
// The common message costs little more than its bytes: it is written once,
// inside a segment of about 48 KiB, its deliveries and its end are a byte in
// a row that a whole group of receives or settlements rewrites once, and the
// segment is deleted when its last message is settled. Leases live in memory:
// this process is the only one, and when it dies nobody holds a lease. The
// count of a delivery is durable before the message is handed out. Sent
// messages stay in memory up to a bound; a backlog beyond it waits on disk
// and is read segment by segment when receivers get there. A retry with a
// delay and a delayed send go to delayed and come back as new segments with
// their attempts. When a message outlives nearly all of its neighbours
// (extended, retried, expired) the neighbours' bytes are given back.
//
// A message that kills its receiver (it cannot be known to, before) takes a
// delivery from everything in the same batch each time. So batches are for
// messages with fewer than three deliveries; from the fourth on a message is
// handed out in a batch of its own. A receiver that settles each batch before
// it asks for the next then dies of the culprit alone: that one reaches the
// dead letters, and its former neighbours are delivered and settled.
//
// When a group fails (disk full, I/O error), memory may know what the file
// does not. The transaction is rolled back, everybody in it gets the error,
// and the next group begins by reading the file again; leases of that moment
// are lost and their messages come again.
//
// # At start
//
// The header is checked (whose file, which schema), missing migrations are
// applied, each in a transaction. A file up to 64 MiB is checked whole
// (PRAGMA quick_check). In a larger one only the tables that the queue starts
// from are: to read gigabytes would hold up the start, and SQLite verifies
// each page's structure whenever it reads one. [DB.Backup] checks all of its
// copy before it gives it its name.
package embedded
