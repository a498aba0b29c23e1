variable "name" {
  description = "Begins the name of everything that is made. Service Bus, Cosmos DB and storage names are unique in all of Azure, so choose one nobody else has: contoso-mw."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,18}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "Give 4 to 20 lower-case letters, digits and single hyphens; a letter first, no hyphen last."
  }
}

variable "location" {
  description = "The Azure region of everything but the system topics, which are where their workspaces are: westeurope."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]+$", var.location))
    error_message = "Give the region's name as az account list-locations writes it: westeurope, not West Europe."
  }
}

variable "resource_group_id" {
  description = "The id of the resource group to make it in. It has to exist."
  type        = string

  validation {
    condition     = can(regex("^/subscriptions/[^/]+/resourceGroups/[^/]+$", var.resource_group_id))
    error_message = "Give an id like /subscriptions/SUBSCRIPTION/resourceGroups/GROUP."
  }
}

variable "workspaces" {
  description = <<-TEXT
    The Azure ML workspaces to listen to, each under a name of your own, with its id and region.
    A workspace has at most one system topic. Where it has one already, give its name as topic and
    import it first (see README.md).
  TEXT
  type = map(object({
    id       = string
    location = string
    topic    = optional(string)
  }))

  validation {
    condition     = length(var.workspaces) > 0
    error_message = "Name at least one workspace: without one there are no events."
  }
  validation {
    condition     = alltrue([for k in keys(var.workspaces) : can(regex("^[a-zA-Z0-9-]{1,64}$", k))])
    error_message = "A workspace's name here goes into the name of its topic: 1 to 64 letters, digits and hyphens."
  }
  validation {
    condition = alltrue([for w in var.workspaces :
      can(regex("^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.MachineLearningServices/workspaces/[^/]+$", w.id))
    ])
    error_message = "A workspace's id is like /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.MachineLearningServices/workspaces/NAME."
  }
}

variable "delivery" {
  description = <<-TEXT
    How events reach the service.
    queue: Event Grid puts them into the Service Bus queue. The service need not be reachable, nor running.
    webhook: Event Grid posts them to the service with an Entra token. Needs webhook, and the service running.
    pull: Event Grid puts them into a namespace topic that the service pulls from. Needs pull.
  TEXT
  type        = string
  default     = "queue"

  validation {
    condition     = contains(["queue", "webhook", "pull"], var.delivery)
    error_message = "Give queue, webhook or pull."
  }
  validation {
    condition     = var.delivery != "pull" || var.pull
    error_message = "delivery is pull, so pull has to be true."
  }
}

variable "pull" {
  description = "Whether to make the namespace to pull from. Leave it true after delivery was pull until the service has fetched the rest."
  type        = bool
  default     = false
}

variable "webhook" {
  description = <<-TEXT
    Where the service is reachable, and the Entra app registration that stands for it (README.md says how to make one).
    url: the service's /events. tenant_id, application_id: of the app registration.
    max_events, max_kilobytes: what Event Grid puts into one request at most.
  TEXT
  type = object({
    url            = string
    tenant_id      = string
    application_id = string
    max_events     = optional(number, 500)
    max_kilobytes  = optional(number, 512)
  })
  default = null

  validation {
    condition     = var.delivery != "webhook" || var.webhook != null
    error_message = "delivery is webhook, so say where the service is."
  }
  validation {
    condition     = var.webhook == null || can(regex("^https://[^/?#]+/events$", var.webhook.url))
    error_message = "Give an address like https://modelwarden.contoso.example/events, without a secret in it."
  }
  validation {
    condition     = var.webhook == null || alltrue([for id in try([var.webhook.tenant_id, var.webhook.application_id], []) : can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", id))])
    error_message = "tenant_id and application_id are UUIDs in lower case."
  }
  validation {
    condition     = var.webhook == null || try(var.webhook.max_events >= 1 && var.webhook.max_events <= 5000 && var.webhook.max_kilobytes >= 1 && var.webhook.max_kilobytes <= 1024, false)
    error_message = "Event Grid batches 1 to 5,000 events in 1 to 1,024 kilobytes."
  }
}

variable "publish" {
  description = "Whether to make an Event Grid topic for the service's own changes: decisions, actions, reviews, stages."
  type        = bool
  default     = false
}

variable "servicebus_sku" {
  description = "Standard takes messages up to 256 KB. Of larger events, the service compresses and trims those that come to it by webhook or pull; Event Grid itself can't put them into the queue, and keeps them with the undelivered. Premium takes them all."
  type        = string
  default     = "Standard"

  validation {
    condition     = contains(["Standard", "Premium"], var.servicebus_sku)
    error_message = "Give Standard or Premium: Basic has no duplicate detection and no scheduled messages."
  }
}

variable "servicebus_capacity" {
  description = "Messaging units, with Premium."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2, 4, 8, 16], var.servicebus_capacity)
    error_message = "Give 1, 2, 4, 8 or 16."
  }
}

variable "queue_size" {
  description = "How much the queue holds, in megabytes. A full queue refuses messages, and Event Grid comes again later."
  type        = number
  default     = 5120

  validation {
    condition     = contains([1024, 2048, 3072, 4096, 5120], var.queue_size)
    error_message = "Give 1024, 2048, 3072, 4096 or 5120."
  }
}

variable "max_deliveries" {
  description = "After how many tries a message becomes a dead letter. The service is told the same number: the broker must not give up earlier."
  type        = number
  default     = 20

  validation {
    condition     = var.max_deliveries >= 10 && var.max_deliveries <= 2000 && floor(var.max_deliveries) == var.max_deliveries
    error_message = "Give a whole number from 10 to 2000."
  }
}

variable "cosmos_consistency" {
  description = "Strong or BoundedStaleness. The service refuses less."
  type        = string
  default     = "Strong"

  validation {
    condition     = contains(local.consistency_levels, var.cosmos_consistency)
    error_message = "Give Strong or BoundedStaleness: under less, a replica can miss what another has just written."
  }
}

variable "cosmos_max_throughput" {
  description = "Up to how many request units a second the container grows. Idle, it costs a tenth."
  type        = number
  default     = 4000

  validation {
    condition     = var.cosmos_max_throughput >= 1000 && var.cosmos_max_throughput % 1000 == 0
    error_message = "Give a multiple of 1000."
  }
}

variable "zone_redundant" {
  description = "Spread Cosmos DB, dead-letter storage and the pull namespace over availability zones. Set to false in a region without them."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags for everything that takes tags."
  type        = map(string)
  default     = {}
}
