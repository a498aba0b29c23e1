package stack

// Environment is how the product, and anybody else, reaches a stack: names of
// environment variables and their values.
func (s *Stack) Environment() map[string]string {
	return map[string]string{
		"MODELWARDEN_SERVICEBUS_CONNECTION_STRING": s.ServiceBus.ConnectionString(),
		"MODELWARDEN_SERVICEBUS_QUEUE":             Queue,
		"MODELWARDEN_COSMOS_ENDPOINT":              s.Cosmos.URL(),
		"MODELWARDEN_COSMOS_KEY":                   s.Cosmos.Key(),
		"MODELWARDEN_COSMOS_DATABASE":              Database,
		"MODELWARDEN_COSMOS_CONTAINER":             Container,
		"MODELWARDEN_PULL_ENDPOINT":                s.tls.URL,
		"MODELWARDEN_PULL_TOPIC":                   Topic,
		"MODELWARDEN_PULL_SUBSCRIPTION":            Subscription,
		"MODELWARDEN_PULL_KEY":                     Key,
		"EVENTGRID_TOPIC_ENDPOINT":                 s.tls.URL + "/api/events",
		"EVENTGRID_TOPIC_KEY":                      Key,
	}
}
