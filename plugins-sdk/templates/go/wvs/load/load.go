// Package load is for schedulers that look at the connections of the backends.
package load

import "{{name}}/wvs/internal/abi"

// Scheduler looks at connections.
type Scheduler interface {
	// Observe tells the connections of each backend, in the order of the last update. The slices are there until it
	// returns.
	Observe(active, inactive []uint32)
}

var scheduler Scheduler

// Export has the director call it; call this in an init function.
func Export(it Scheduler) { scheduler = it }

//go:wasmexport observe
func observe(active, count, inactive, sameCount uint32) {
	defer abi.End()
	scheduler.Observe(abi.Items[uint32](active, count), abi.Items[uint32](inactive, sameCount))
}
