// Package eventgrid is the adapter to Azure Event Grid: [Source] pulls events
// from a namespace, [Publisher] puts events into a custom topic. Pushed events
// need no adapter; they come over HTTP or lie in the Service Bus queue.
//
// The SDK's own models are not used for what is received: they read no page
// in which one event is malformed, and lose parts of the others (JSON payloads
// come out as base64, large integers lose digits). Source therefore cuts the
// raw answer itself and hands out each event as it was sent.
//
// Neither type retries; their callers do, by what the error says: one that
// wraps a *policy.PermanentError needs somebody to change something (a role, a
// key, a name), a *policy.RetryAfterError says how long Event Grid wants to be
// left alone, everything else is worth another attempt. Errors keep nothing of
// the SDK, which holds credentials, and never contain the key.
package eventgrid
