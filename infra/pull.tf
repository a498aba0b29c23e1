# With pull = true: a namespace topic that the workspaces' topics can deliver
# to, and the subscription that the service pulls from.

resource "azapi_resource" "namespace" {
  count = var.pull ? 1 : 0

  type      = "Microsoft.EventGrid/namespaces@2025-02-15"
  name      = "${var.name}-pull"
  parent_id = var.resource_group_id
  location  = var.location
  tags      = var.tags

  identity {
    type = "SystemAssigned"
  }

  body = {
    sku = { name = "Standard", capacity = 1 }
    properties = {
      isZoneRedundant          = var.zone_redundant
      minimumTlsVersionAllowed = "1.2"
    }
  }

  response_export_values = ["properties.topicsConfiguration.hostname"]
}

resource "azapi_resource" "pull_topic" {
  count = var.pull ? 1 : 0

  type      = "Microsoft.EventGrid/namespaces/topics@2025-02-15"
  name      = "machine-learning"
  parent_id = azapi_resource.namespace[0].id

  body = {
    properties = {
      publisherType        = "Custom"
      inputSchema          = "CloudEventSchemaV1_0"
      eventRetentionInDays = 7
    }
  }
}

# The longest lock, the most deliveries and the longest life that there are.
resource "azapi_resource" "pull_subscription" {
  count = var.pull ? 1 : 0

  type      = "Microsoft.EventGrid/namespaces/topics/eventSubscriptions@2025-02-15"
  name      = "modelwarden"
  parent_id = azapi_resource.pull_topic[0].id

  body = {
    properties = {
      eventDeliverySchema = "CloudEventSchemaV1_0"
      deliveryConfiguration = {
        deliveryMode = "Queue"
        queue = {
          receiveLockDurationInSeconds              = 300
          maxDeliveryCount                          = 10
          eventTimeToLive                           = "P7D"
          deadLetterDestinationWithResourceIdentity = local.dead_letter
        }
      }
    }
  }

  depends_on = [azapi_resource.grant]

  lifecycle {
    # When delivery changes, this goes after the workspaces' topics have turned
    # elsewhere.
    create_before_destroy = true
  }
}
