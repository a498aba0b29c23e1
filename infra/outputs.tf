output "environment" {
  description = "What the service is to be started with, as environment variables. No secrets: it has an identity."
  value = tomap(merge(
    {
      MODELWARDEN_AZURE_IDENTITY        = "managedIdentity"
      MODELWARDEN_AZURE_CLIENT_ID       = azapi_resource.identity.output.properties.clientId
      MODELWARDEN_SERVICEBUS_NAMESPACE  = regex("^https://([^:/]+)", azapi_resource.servicebus.output.properties.serviceBusEndpoint)[0]
      MODELWARDEN_SERVICEBUS_QUEUE      = azapi_resource.queue.name
      MODELWARDEN_WORKER_MAX_DELIVERIES = tostring(var.max_deliveries)
      MODELWARDEN_COSMOS_ENDPOINT       = azapi_resource.cosmos.output.properties.documentEndpoint
      MODELWARDEN_COSMOS_DATABASE       = azapi_resource.database.name
      MODELWARDEN_COSMOS_CONTAINER      = azapi_resource.container.name
    },
    var.webhook == null ? {} : {
      MODELWARDEN_AUTH_ENTRA_TENANTS = var.webhook.tenant_id
      # A token names the registration by its id or by its URI.
      MODELWARDEN_AUTH_ENTRA_AUDIENCES = "${var.webhook.application_id},api://${var.webhook.application_id}"
    },
    !var.pull ? {} : {
      MODELWARDEN_PULL_ENDPOINT     = "https://${azapi_resource.namespace[0].output.properties.topicsConfiguration.hostname}"
      MODELWARDEN_PULL_TOPIC        = azapi_resource.pull_topic[0].name
      MODELWARDEN_PULL_SUBSCRIPTION = azapi_resource.pull_subscription[0].name
    },
    !var.publish ? {} : {
      MODELWARDEN_PUBLISH_ENDPOINT = azapi_resource.changes[0].output.properties.endpoint
    },
  ))
}

output "identity_id" {
  description = "The identity to give to whatever runs the service."
  value       = azapi_resource.identity.id
}

output "queue_id" {
  description = "The queue, to scale by and to alert on."
  value       = azapi_resource.queue.id
}

output "undelivered_events_id" {
  description = "The blob container of events that Event Grid could not deliver. Alert on it: it should stay empty."
  value       = azapi_resource.undelivered_events.id
}
