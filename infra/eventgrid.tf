# A workspace's system topic lies beside the workspace: it has to be in its
# subscription and region. Its identity is what delivers.
resource "azapi_resource" "topic" {
  for_each = var.workspaces

  type      = "Microsoft.EventGrid/systemTopics@2025-02-15"
  name      = coalesce(each.value.topic, "${var.name}-${each.key}")
  parent_id = regex("^/subscriptions/[^/]+/resourceGroups/[^/]+", each.value.id)
  location  = each.value.location
  tags      = var.tags

  identity {
    type = "SystemAssigned"
  }

  body = {
    properties = {
      source    = each.value.id
      topicType = "Microsoft.MachineLearningServices.Workspaces"
    }
  }
}

locals {
  # What differs between the ways to deliver. A change from one to another
  # changes the subscription; making another would leave a gap.
  deliveries = {
    queue = {
      deliveryWithResourceIdentity = {
        identity = { type = "SystemAssigned" }
        destination = {
          endpointType = "ServiceBusQueue"
          properties   = { resourceId = azapi_resource.queue.id }
        }
      }
    }
    webhook = {
      destination = {
        endpointType = "WebHook"
        properties = {
          endpointUrl                            = try(var.webhook.url, null)
          azureActiveDirectoryTenantId           = try(var.webhook.tenant_id, null)
          azureActiveDirectoryApplicationIdOrUri = try(var.webhook.application_id, null)
          maxEventsPerBatch                      = try(var.webhook.max_events, null)
          preferredBatchSizeInKilobytes          = try(var.webhook.max_kilobytes, null)
          minimumTlsVersionAllowed               = "1.2"
        }
      }
    }
    pull = {
      deliveryWithResourceIdentity = {
        identity = { type = "SystemAssigned" }
        destination = {
          endpointType = "NamespaceTopic"
          properties   = { resourceId = one(azapi_resource.pull_topic[*].id) }
        }
      }
    }
  }
}

resource "azapi_resource" "subscription" {
  for_each = var.workspaces

  type      = "Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15"
  name      = "modelwarden"
  parent_id = azapi_resource.topic[each.key].id

  body = {
    properties = merge(local.deliveries[var.delivery], {
      eventDeliverySchema = "CloudEventSchemaV1_0"
      filter = {
        includedEventTypes = [for t in local.event_types : "${local.event_type_prefix}${t}"]
      }
      # As long and as often as Event Grid can.
      retryPolicy = {
        eventTimeToLiveInMinutes = 1440
        maxDeliveryAttempts      = 30
      }
      deadLetterWithResourceIdentity = local.dead_letter
    })
  }

  # From the first event on Event Grid needs the roles, and a namespace topic
  # somebody who keeps what comes.
  depends_on = [azapi_resource.grant, azapi_resource.pull_subscription]
}
