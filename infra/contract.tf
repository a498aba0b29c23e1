# What the service takes for granted. infra_test.go compares these values with
# the Go code, so each is a plain literal on one line.
locals {
  queue_name     = "modelwarden-events"
  database_name  = "modelwarden"
  container_name = "records"

  # Version 2 tells partition keys beyond 101 bytes apart.
  partition_key_path    = "/pk"
  partition_key_version = 2

  # -1: items that say so expire, and no others.
  default_ttl = -1

  # All that is queried. More would make every write dearer.
  indexed_paths   = ["/pk/?", "/o/?"]
  unindexed_paths = ["/*"]

  # Under these, a worker sees what another replica has just written.
  consistency_levels = ["Strong", "BoundedStaleness"]

  # "Azure Machine Learning as an Event Grid source" has these and no others.
  event_type_prefix = "Microsoft.MachineLearningServices."
  event_types       = ["ModelRegistered", "ModelDeployed", "RunCompleted", "RunStatusChanged", "DatasetDriftDetected"]
}
