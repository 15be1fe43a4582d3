// Package table is for schedulers that make tables: those that answer Cycle or a hash when they are configured.
package table

import "{{name}}/wvs/internal/abi"

// Scheduler makes tables.
type Scheduler interface {
	// Fill makes a table, entry by entry: ids, or NoBackend.
	Fill(table []uint32) error
}

var (
	scheduler Scheduler
	// The director reads it after the call.
	table []uint32
)

// Export has the director call it; call this in an init function.
func Export(it Scheduler) { scheduler = it }

//go:wasmexport fill
func fill(slots uint32) uint32 {
	defer abi.Caught()
	table = make([]uint32, slots)
	err := scheduler.Fill(table)
	list := abi.ListOf(table)
	return abi.Reply(err, list.At, list.Count)
}
