# What the three ways to deliver make of it: which subscription, which roles,
# which environment. `terraform init && terraform test` needs no Azure: the
# provider is mocked, and answers here as Azure would.
mock_provider "azapi" {
  override_resource {
    target = azapi_resource.identity
    values = {
      id     = "/subscriptions/S/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/contoso-mw"
      output = { properties = { clientId = "client-of-the-service", principalId = "service" } }
    }
  }
  override_resource {
    target = azapi_resource.servicebus
    values = {
      id     = "/subscriptions/S/resourceGroups/rg/providers/Microsoft.ServiceBus/namespaces/contoso-mw-bus"
      output = { properties = { serviceBusEndpoint = "https://contoso-mw-bus.servicebus.windows.net:443/" } }
    }
  }
  override_resource {
    target = azapi_resource.queue
    values = { id = "/subscriptions/S/resourceGroups/rg/providers/Microsoft.ServiceBus/namespaces/contoso-mw-bus/queues/modelwarden-events" }
  }
  override_resource {
    target = azapi_resource.cosmos
    values = {
      id     = "/subscriptions/S/resourceGroups/rg/providers/Microsoft.DocumentDB/databaseAccounts/contoso-mw-records"
      output = { properties = { documentEndpoint = "https://contoso-mw-records.documents.azure.com:443/" } }
    }
  }
  override_resource {
    target = azapi_resource.database
    values = { id = "/subscriptions/S/resourceGroups/rg/providers/Microsoft.DocumentDB/databaseAccounts/contoso-mw-records/sqlDatabases/modelwarden" }
  }
  override_resource {
    target = azapi_resource.undelivered
    values = { id = "/subscriptions/S/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/contosomwdead" }
  }
  override_resource {
    target = azapi_resource.topic
    values = {
      id       = "/subscriptions/S/resourceGroups/ml/providers/Microsoft.EventGrid/systemTopics/contoso-mw-churn"
      identity = { principal_id = "topic" }
    }
  }
  override_resource {
    target = azapi_resource.namespace
    values = {
      id       = "/subscriptions/S/resourceGroups/rg/providers/Microsoft.EventGrid/namespaces/contoso-mw-pull"
      identity = { principal_id = "namespace" }
      output   = { properties = { topicsConfiguration = { hostname = "contoso-mw-pull.westeurope-1.eventgrid.azure.net" } } }
    }
  }
  override_resource {
    target = azapi_resource.pull_topic
    values = { id = "/subscriptions/S/resourceGroups/rg/providers/Microsoft.EventGrid/namespaces/contoso-mw-pull/topics/machine-learning" }
  }
  override_resource {
    target = azapi_resource.changes
    values = {
      id     = "/subscriptions/S/resourceGroups/rg/providers/Microsoft.EventGrid/topics/contoso-mw-changes"
      output = { properties = { endpoint = "https://contoso-mw-changes.westeurope-1.eventgrid.azure.net/api/events" } }
    }
  }
}

variables {
  name              = "contoso-mw"
  location          = "westeurope"
  resource_group_id = "/subscriptions/S/resourceGroups/rg"
  workspaces = {
    churn = {
      id       = "/subscriptions/S/resourceGroups/ml/providers/Microsoft.MachineLearningServices/workspaces/churn"
      location = "northeurope"
    }
  }
}

run "queue" {
  assert {
    condition = output.environment == tomap({
      MODELWARDEN_AZURE_IDENTITY        = "managedIdentity"
      MODELWARDEN_AZURE_CLIENT_ID       = "client-of-the-service"
      MODELWARDEN_SERVICEBUS_NAMESPACE  = "contoso-mw-bus.servicebus.windows.net"
      MODELWARDEN_SERVICEBUS_QUEUE      = "modelwarden-events"
      MODELWARDEN_WORKER_MAX_DELIVERIES = "20"
      MODELWARDEN_COSMOS_ENDPOINT       = "https://contoso-mw-records.documents.azure.com:443/"
      MODELWARDEN_COSMOS_DATABASE       = "modelwarden"
      MODELWARDEN_COSMOS_CONTAINER      = "records"
    })
    error_message = "The environment is ${jsonencode(output.environment)}."
  }
  assert {
    condition     = azapi_resource.subscription["churn"].body.properties.deliveryWithResourceIdentity.destination.properties.resourceId == azapi_resource.queue.id
    error_message = "Events don't go to the queue."
  }
  assert {
    condition     = azapi_resource.topic["churn"].parent_id == "/subscriptions/S/resourceGroups/ml" && azapi_resource.topic["churn"].location == "northeurope"
    error_message = "The system topic does not lie beside its workspace."
  }
  assert {
    condition = { for k, g in local.grants : k => "${g.to}: ${g.role} on ${basename(g.scope)}" } == {
      "service sends to the queue"           = "service: Azure Service Bus Data Sender on modelwarden-events"
      "service receives from the queue"      = "service: Azure Service Bus Data Receiver on modelwarden-events"
      "topic churn sends to the queue"       = "topic: Azure Service Bus Data Sender on modelwarden-events"
      "topic churn keeps undelivered events" = "topic: Storage Blob Data Contributor on contosomwdead"
    }
    error_message = "The roles are ${jsonencode(local.grants)}."
  }
  assert {
    condition     = endswith(azapi_resource.cosmos_grant.body.properties.scope, "/databaseAccounts/contoso-mw-records/dbs/modelwarden")
    error_message = "The service may touch more than its database."
  }
}

run "webhook" {
  variables {
    delivery = "webhook"
    webhook = {
      url            = "https://modelwarden.contoso.example/events"
      tenant_id      = "00000000-0000-0000-0000-00000000000a"
      application_id = "00000000-0000-0000-0000-00000000000b"
    }
  }

  assert {
    condition     = azapi_resource.subscription["churn"].body.properties.destination.properties.azureActiveDirectoryApplicationIdOrUri == var.webhook.application_id
    error_message = "Deliveries carry no token for the service."
  }
  assert {
    condition     = !can(azapi_resource.subscription["churn"].body.properties.deliveryWithResourceIdentity)
    error_message = "Two destinations at once."
  }
  assert {
    condition     = !contains(keys(local.grants), "topic churn sends to the queue")
    error_message = "The topic keeps a role that it no longer needs."
  }
  assert {
    condition = (output.environment.MODELWARDEN_AUTH_ENTRA_TENANTS == var.webhook.tenant_id &&
    output.environment.MODELWARDEN_AUTH_ENTRA_AUDIENCES == "00000000-0000-0000-0000-00000000000b,api://00000000-0000-0000-0000-00000000000b")
    error_message = "The service would refuse Event Grid's tokens: ${jsonencode(output.environment)}."
  }
}

run "pull_and_publish" {
  variables {
    delivery = "pull"
    pull     = true
    publish  = true
  }

  assert {
    condition     = azapi_resource.subscription["churn"].body.properties.deliveryWithResourceIdentity.destination.properties.resourceId == azapi_resource.pull_topic[0].id
    error_message = "Events don't go to the namespace."
  }
  assert {
    condition = { for k, g in local.grants : k => "${g.to}: ${g.role} on ${basename(g.scope)}" } == {
      "service sends to the queue"           = "service: Azure Service Bus Data Sender on modelwarden-events"
      "service receives from the queue"      = "service: Azure Service Bus Data Receiver on modelwarden-events"
      "topic churn sends to the namespace"   = "topic: EventGrid Data Sender on machine-learning"
      "topic churn keeps undelivered events" = "topic: Storage Blob Data Contributor on contosomwdead"
      "namespace keeps undelivered events"   = "namespace: Storage Blob Data Contributor on contosomwdead"
      "service receives from the namespace"  = "service: EventGrid Data Receiver on machine-learning"
      "service publishes changes"            = "service: EventGrid Data Sender on contoso-mw-changes"
    }
    error_message = "The roles are ${jsonencode(local.grants)}."
  }
  assert {
    condition = (output.environment.MODELWARDEN_PULL_ENDPOINT == "https://contoso-mw-pull.westeurope-1.eventgrid.azure.net" &&
      output.environment.MODELWARDEN_PULL_TOPIC == "machine-learning" && output.environment.MODELWARDEN_PULL_SUBSCRIPTION == "modelwarden" &&
    output.environment.MODELWARDEN_PUBLISH_ENDPOINT == "https://contoso-mw-changes.westeurope-1.eventgrid.azure.net/api/events")
    error_message = "The environment is ${jsonencode(output.environment)}."
  }
}

# What is left in the namespace can still be fetched.
run "after_pull" {
  variables {
    pull = true
  }

  assert {
    condition     = azapi_resource.subscription["churn"].body.properties.deliveryWithResourceIdentity.destination.properties.resourceId == azapi_resource.queue.id
    error_message = "Events don't go to the queue."
  }
  assert {
    condition     = length(azapi_resource.pull_subscription) == 1 && can(output.environment.MODELWARDEN_PULL_ENDPOINT) && contains(keys(local.grants), "service receives from the namespace")
    error_message = "The service can't fetch what is left."
  }
}

run "webhook_needs_an_address" {
  command = plan
  variables {
    delivery = "webhook"
  }
  expect_failures = [var.webhook]
}

run "pull_needs_a_namespace" {
  command = plan
  variables {
    delivery = "pull"
  }
  expect_failures = [var.delivery]
}
