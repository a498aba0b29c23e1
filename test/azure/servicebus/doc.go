// Package servicebus is an in-process Azure Service Bus namespace for tests.
package servicebus
