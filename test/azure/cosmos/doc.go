// Package cosmos is an Azure Cosmos DB for NoSQL account in memory, for tests
// and demonstrations: the REST API as far as the official SDKs use it.
package cosmos
