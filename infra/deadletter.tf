# Where Event Grid puts what it could not deliver in a day, or was refused for
# good: to a webhook it does not repeat a 400, 401, 403, 404 or 413 ("Event
# Grid message delivery and retry"). `modelwarden event send FILE` takes such a
# file in again.
resource "azapi_resource" "undelivered" {
  type      = "Microsoft.Storage/storageAccounts@2023-05-01"
  name      = "${replace(var.name, "-", "")}dead"
  parent_id = var.resource_group_id
  location  = var.location
  tags      = var.tags

  body = {
    kind = "StorageV2"
    sku  = { name = var.zone_redundant ? "Standard_ZRS" : "Standard_LRS" }
    properties = {
      accessTier               = "Cool"
      allowBlobPublicAccess    = false
      allowSharedKeyAccess     = false
      minimumTlsVersion        = "TLS1_2"
      supportsHttpsTrafficOnly = true
    }
  }
}

resource "azapi_resource" "undelivered_events" {
  type      = "Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01"
  name      = "undelivered-events"
  parent_id = "${azapi_resource.undelivered.id}/blobServices/default"

  body = {
    properties = { publicAccess = "None" }
  }
}

locals {
  # For event subscriptions of topics and namespaces with an identity.
  dead_letter = {
    identity = { type = "SystemAssigned" }
    deadLetterDestination = {
      endpointType = "StorageBlob"
      properties = {
        resourceId        = azapi_resource.undelivered.id
        blobContainerName = azapi_resource.undelivered_events.name
      }
    }
  }
}
