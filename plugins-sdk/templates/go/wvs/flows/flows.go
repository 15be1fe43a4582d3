// Package flows is for schedulers that decide for each connection: those that answer PerFlow when they are configured.
package flows

import (
	"{{name}}/wvs"
	"{{name}}/wvs/internal/abi"
)

// Scheduler decides for each connection.
type Scheduler interface {
	// Pick says who gets a connection; false refuses it. It waits meanwhile.
	Pick(flow wvs.Flow) (id uint32, ok bool)
}

var scheduler Scheduler

// Export has the director call it; call this in an init function.
func Export(it Scheduler) { scheduler = it }

//go:wasmexport pick
func pick(sa, sb, sc, sd, da, db, dc, dd, sourcePort, destinationPort, protocol, mark, hash uint32) uint32 {
	defer abi.Caught()
	return abi.Option(scheduler.Pick(wvs.Flow{
		Source:          [4]uint32{sa, sb, sc, sd},
		Destination:     [4]uint32{da, db, dc, dd},
		SourcePort:      uint16(sourcePort),
		DestinationPort: uint16(destinationPort),
		Protocol:        uint8(protocol),
		Mark:            mark,
		Hash:            hash,
	}))
}
