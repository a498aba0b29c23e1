locals {
  premium = var.servicebus_sku == "Premium"
}

resource "azapi_resource" "servicebus" {
  type      = "Microsoft.ServiceBus/namespaces@2024-01-01"
  name      = "${var.name}-bus"
  parent_id = var.resource_group_id
  location  = var.location
  tags      = var.tags

  body = {
    sku = merge(
      { name = var.servicebus_sku, tier = var.servicebus_sku },
      local.premium ? { capacity = var.servicebus_capacity } : {},
    )
    properties = {
      disableLocalAuth  = true
      minimumTlsVersion = "1.2"
    }
  }

  response_export_values = ["properties.serviceBusEndpoint"]
}

# No default time to live: what is in the queue stays until it is worked on.
# What a sender gives one becomes a dead letter when it is over, not nothing.
resource "azapi_resource" "queue" {
  type      = "Microsoft.ServiceBus/namespaces/queues@2024-01-01"
  name      = local.queue_name
  parent_id = azapi_resource.servicebus.id

  body = {
    properties = merge(
      {
        # The longest there is. A worker that dies holds its messages until then.
        lockDuration                     = "PT1M"
        maxDeliveryCount                 = var.max_deliveries
        deadLetteringOnMessageExpiration = true
        # Drops what is sent twice in a row, for cheap. What comes again later
        # the store knows.
        requiresDuplicateDetection          = true
        duplicateDetectionHistoryTimeWindow = "PT10M"
        requiresSession                     = false
        maxSizeInMegabytes                  = var.queue_size
      },
      # An event has up to 1 MB, and its message is larger than it.
      local.premium ? { maxMessageSizeInKilobytes = 2048 } : {},
    )
  }
}
