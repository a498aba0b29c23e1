package cosmos

import (
	"net/http"
	"slices"
)

// consistencies from the strongest to the weakest.
var consistencies = []string{"Strong", "BoundedStaleness", "Session", "ConsistentPrefix", "Eventual"}

// readAccount tells clients where to write and read: here.
func readAccount(c *call) (*answer, error) {
	scheme := "http"
	if c.TLS != nil || c.URL.Scheme == "https" {
		scheme = "https"
	}
	here := []map[string]any{{"name": "Local", "databaseAccountEndpoint": scheme + "://" + c.Host + "/"}}
	return newAnswer(http.StatusOK, marshal(map[string]any{
		"id": "in-process", "_self": "", "_rid": "in-process.documents.azure.com", "_dbs": "//dbs/",
		"media": "//media/", "addresses": "//addresses/",
		"writableLocations": here, "readableLocations": here, "enableMultipleWriteLocations": false,
		"userReplicationPolicy":    map[string]any{"asyncReplication": false, "minReplicaSetSize": 3, "maxReplicasetSize": 4},
		"systemReplicationPolicy":  map[string]any{"minReplicaSetSize": 3, "maxReplicasetSize": 4},
		"userConsistencyPolicy":    map[string]any{"defaultConsistencyLevel": c.server.options.Consistency},
		"readPolicy":               map[string]any{"primaryReadCoefficient": 1, "secondaryReadCoefficient": 1},
		"queryEngineConfiguration": `{"maxSqlQueryInputLength":262144,"maxJoinsPerSqlQuery":5,"sqlAllowAggregateFunctions":false}`,
	}), 0), nil
}

// checkConsistency refuses a level stronger than the account's: a request may
// only relax it.
func (s *Server) checkConsistency(c *call) error {
	level := c.Header.Get("x-ms-consistency-level")
	if level == "" {
		return nil
	}
	asked := slices.Index(consistencies, level)
	if asked < 0 || asked < slices.Index(consistencies, s.options.Consistency) {
		return badRequest("ConsistencyLevel %s specified in the request is invalid when service is configured with consistency level %s.", level, s.options.Consistency)
	}
	return nil
}

// strongRead says whether reads ask two replicas, which costs double.
func (c *call) strongRead() bool {
	level := c.Header.Get("x-ms-consistency-level")
	if level == "" {
		level = c.server.options.Consistency
	}
	return level == "Strong" || level == "BoundedStaleness"
}

// listPartitionKeyRanges tells of the one range that holds every key.
func listPartitionKeyRanges(c *call) (*answer, error) {
	ranges := []any{map[string]any{
		"id": "0", "_rid": c.container.rid + "AAAAAAAAUA==", "minInclusive": "", "maxExclusive": "FF",
		"ridPrefix": 0, "throughputFraction": 1, "status": "online", "parents": []any{}, "_ts": c.container.ts, "_etag": c.container.etag,
	}}
	if c.Header.Get("If-None-Match") == c.container.etag {
		return newAnswer(http.StatusNotModified, nil, 1), nil
	}
	a := feed(c.container.rid, "PartitionKeyRanges", ranges, 1)
	a.header.Set("etag", c.container.etag)
	return a, nil
}

// feed is the answer to a listing.
func feed(rid, name string, members []any, charge float64) *answer {
	if members == nil {
		members = []any{}
	}
	return newAnswer(http.StatusOK, marshal(map[string]any{"_rid": rid, name: members, "_count": len(members)}), charge)
}
