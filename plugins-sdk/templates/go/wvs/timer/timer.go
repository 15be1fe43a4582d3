// Package timer is for schedulers whose tables change with time alone.
package timer

import "{{name}}/wvs/internal/abi"

// Scheduler says when its table is to be made anew.
type Scheduler interface {
	// Due is asked after each fill: in so many milliseconds another one is wanted, if nothing happens before; 0 if none is.
	Due() uint32
}

var scheduler Scheduler

// Export has the director call it; call this in an init function.
func Export(it Scheduler) { scheduler = it }

//go:wasmexport due
func due() uint32 {
	defer abi.Caught()
	return scheduler.Due()
}
