# A worker must see what another replica has just written: whether an event is
# known, whether an intent is claimed. Session consistency, the usual one,
# promises that only within one client; Strong promises it to all. So does
# BoundedStaleness to readers in the write region, which with one region is
# everybody ("Consistency levels in Azure Cosmos DB").
resource "azapi_resource" "cosmos" {
  type      = "Microsoft.DocumentDB/databaseAccounts@2024-05-15"
  name      = "${var.name}-records"
  parent_id = var.resource_group_id
  location  = var.location
  tags      = var.tags

  body = {
    kind = "GlobalDocumentDB"
    properties = {
      databaseAccountOfferType = "Standard"
      consistencyPolicy = merge(
        { defaultConsistencyLevel = var.cosmos_consistency },
        var.cosmos_consistency == "BoundedStaleness" ? { maxStalenessPrefix = 100, maxIntervalInSeconds = 5 } : {},
      )
      locations = [{
        locationName     = var.location
        failoverPriority = 0
        isZoneRedundant  = var.zone_redundant
      }]
      disableLocalAuth                   = true
      disableKeyBasedMetadataWriteAccess = true
      minimalTlsVersion                  = "Tls12"
      # Any second of the last week can be restored.
      backupPolicy = {
        type                     = "Continuous"
        continuousModeProperties = { tier = "Continuous7Days" }
      }
    }
  }

  response_export_values = ["properties.documentEndpoint"]

  lifecycle {
    # The account gives its regions back in other words (West Europe).
    ignore_changes = [body.properties.locations]
  }
}

resource "azapi_resource" "database" {
  type      = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2024-05-15"
  name      = local.database_name
  parent_id = azapi_resource.cosmos.id

  body = {
    properties = {
      resource = { id = local.database_name }
    }
  }
}

resource "azapi_resource" "container" {
  type      = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2024-05-15"
  name      = local.container_name
  parent_id = azapi_resource.database.id

  body = {
    properties = {
      resource = {
        id         = local.container_name
        defaultTtl = local.default_ttl
        partitionKey = {
          kind    = "Hash"
          paths   = [local.partition_key_path]
          version = local.partition_key_version
        }
        indexingPolicy = {
          indexingMode  = "consistent"
          automatic     = true
          includedPaths = [for p in local.indexed_paths : { path = p }]
          # Cosmos DB adds _etag itself. Named here, it is no change to every
          # later plan.
          excludedPaths = [for p in concat(local.unindexed_paths, ["/\"_etag\"/?"]) : { path = p }]
        }
      }
      options = {
        autoscaleSettings = { maxThroughput = var.cosmos_max_throughput }
      }
    }
  }
}
