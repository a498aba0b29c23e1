// Package ml is the adapter of Azure Machine Learning behind the port azureml:
// the control plane (ARM) by Microsoft's SDK, run data by the workspace's
// MLflow tracking server over REST, and batch endpoints by their scoring URI.
//
// The SDK asks; what it is answered is decoded here, from the same bytes. Its
// own types are closed: a signal or job of a kind that the SDK does not know
// comes out of them without its thresholds, inputs and the rest.
package ml
