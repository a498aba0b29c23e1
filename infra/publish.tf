# With publish = true: the topic that the service tells its own changes.
resource "azapi_resource" "changes" {
  count = var.publish ? 1 : 0

  type      = "Microsoft.EventGrid/topics@2025-02-15"
  name      = "${var.name}-changes"
  parent_id = var.resource_group_id
  location  = var.location
  tags      = var.tags

  body = {
    properties = {
      inputSchema              = "CloudEventSchemaV1_0"
      disableLocalAuth         = true
      minimumTlsVersionAllowed = "1.2"
    }
  }

  response_export_values = ["properties.endpoint"]
}
