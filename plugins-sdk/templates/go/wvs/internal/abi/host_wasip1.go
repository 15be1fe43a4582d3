package abi

import "unsafe"

//go:wasmimport wvs log
func hostLog(level uint32, at unsafe.Pointer, length uint32)

//go:wasmimport wvs random
func hostRandom() uint32

//go:wasmimport wvs now
func hostNow() float64

// Log writes a line to the director's log.
func Log(level uint32, message string) {
	hostLog(level, unsafe.Pointer(unsafe.StringData(message)), uint32(len(message)))
}

// Random is the director's.
func Random() uint32 { return hostRandom() }

// Now is the director's.
func Now() float64 { return hostNow() }
