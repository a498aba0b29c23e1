// Package embedded keeps queue and records in one SQLite file.
package embedded
