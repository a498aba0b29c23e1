# Who the service is. Give this identity to whatever runs it.
resource "azapi_resource" "identity" {
  type      = "Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31"
  name      = var.name
  parent_id = var.resource_group_id
  location  = var.location
  tags      = var.tags

  response_export_values = ["properties.clientId", "properties.principalId"]
}

locals {
  service = azapi_resource.identity.output.properties.principalId

  # "Azure built-in roles", Microsoft Learn.
  roles = {
    "Azure Service Bus Data Sender"   = "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39"
    "Azure Service Bus Data Receiver" = "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0"
    "EventGrid Data Sender"           = "d5a91429-5739-47e2-a06b-3470a27159e7"
    "EventGrid Data Receiver"         = "78cbd9e7-9798-4e2e-9b5a-547d9ebb31fb"
    "Storage Blob Data Contributor"   = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
  }

  # Who may do what where, and nothing more: no role lets anybody manage
  # anything. The keys are in the state, so they stay as they are.
  grants = merge(
    {
      "service sends to the queue"      = { role = "Azure Service Bus Data Sender", scope = azapi_resource.queue.id, to = local.service }
      "service receives from the queue" = { role = "Azure Service Bus Data Receiver", scope = azapi_resource.queue.id, to = local.service }
    },
    { for k, t in azapi_resource.topic : "topic ${k} keeps undelivered events" => {
      role = "Storage Blob Data Contributor", scope = azapi_resource.undelivered.id, to = t.identity[0].principal_id
    } },
    { for k, t in azapi_resource.topic : "topic ${k} sends to the queue" => {
      role = "Azure Service Bus Data Sender", scope = azapi_resource.queue.id, to = t.identity[0].principal_id
    } if var.delivery == "queue" },
    { for k, t in azapi_resource.topic : "topic ${k} sends to the namespace" => {
      role = "EventGrid Data Sender", scope = one(azapi_resource.pull_topic[*].id), to = t.identity[0].principal_id
    } if var.delivery == "pull" },
    { for n in azapi_resource.namespace : "namespace keeps undelivered events" => {
      role = "Storage Blob Data Contributor", scope = azapi_resource.undelivered.id, to = n.identity[0].principal_id
    } },
    { for t in azapi_resource.pull_topic : "service receives from the namespace" => {
      role = "EventGrid Data Receiver", scope = t.id, to = local.service
    } },
    { for t in azapi_resource.changes : "service publishes changes" => {
      role = "EventGrid Data Sender", scope = t.id, to = local.service
    } },
  )

  role_definitions = "${regex("^/subscriptions/[^/]+", var.resource_group_id)}/providers/Microsoft.Authorization/roleDefinitions"
}

# An assignment can't be changed, so its name has in it all that it says.
resource "azapi_resource" "grant" {
  for_each = local.grants

  type      = "Microsoft.Authorization/roleAssignments@2022-04-01"
  name      = uuidv5("url", join("|", [each.value.scope, local.roles[each.value.role], each.value.to]))
  parent_id = each.value.scope

  body = {
    properties = {
      principalId      = each.value.to
      principalType    = "ServicePrincipal"
      roleDefinitionId = "${local.role_definitions}/${local.roles[each.value.role]}"
    }
  }

  lifecycle {
    # When delivery changes, the old way stays open until the new one is used.
    create_before_destroy = true
  }
}

# Roles of Cosmos DB's own data plane: those above don't count there. This is
# "Cosmos DB Built-in Data Contributor", in our database only.
resource "azapi_resource" "cosmos_grant" {
  type      = "Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-05-15"
  name      = uuidv5("url", join("|", [azapi_resource.database.id, "data contributor", local.service]))
  parent_id = azapi_resource.cosmos.id

  body = {
    properties = {
      principalId      = local.service
      roleDefinitionId = "${azapi_resource.cosmos.id}/sqlRoleDefinitions/00000000-0000-0000-0000-000000000002"
      scope            = "${azapi_resource.cosmos.id}/dbs/${azapi_resource.database.name}"
    }
  }
}
