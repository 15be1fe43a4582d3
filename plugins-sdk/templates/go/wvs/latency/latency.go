// Package latency is for schedulers that look at how fast the backends answer.
package latency

import "{{name}}/wvs/internal/abi"

// Scheduler looks at latencies.
type Scheduler interface {
	// Interval says how often they are measured, in milliseconds; 100 at least. It is asked once.
	Interval() uint32
	// ObserveLatency tells in how many microseconds each backend took a connection just now, or wvs.UnknownLatency, in the
	// order of the last update. The slice is there until it returns.
	ObserveLatency(micros []uint32)
}

var scheduler Scheduler

// Export has the director call it; call this in an init function.
func Export(it Scheduler) { scheduler = it }

//go:wasmexport interval
func interval() uint32 {
	defer abi.Caught()
	return scheduler.Interval()
}

//go:wasmexport observe-latency
func observeLatency(micros, count uint32) {
	defer abi.End()
	scheduler.ObserveLatency(abi.Items[uint32](micros, count))
}
