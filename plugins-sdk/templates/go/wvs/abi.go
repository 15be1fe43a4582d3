//go:build wasip1

package wvs

import (
	"fmt"
	"os"
	"unsafe"
)

//go:wasmimport wvs log
func hostLog(level uint32, at unsafe.Pointer, length uint32)

//go:wasmimport wvs random
func hostRandom() uint32

//go:wasmimport wvs now
func hostNow() float64

// Level is how much a line of the log matters.
type Level uint32

// The levels of the log.
const (
	Error Level = iota
	Warn
	Info
	Debug
)

// Log writes a line to the director's log.
func Log(level Level, message string) {
	hostLog(uint32(level), unsafe.Pointer(unsafe.StringData(message)), uint32(len(message)))
}

// Random is a random number, which repeats with the director's seed.
func Random() uint32 { return hostRandom() }

// Now is in seconds since the plugin was loaded.
func Now() float64 { return hostNow() }

// Lists and texts as the contract has them. On this machine an address is 32 bits wide, in Go's memory 64.
type list struct{ at, count uint32 }

// Arguments, which the director writes before the call; they are done with when it ends.
var given [][]uint64

//go:wasmexport cabi_realloc
func cabiRealloc(old, oldSize, align, size uint32) uint32 {
	// Nothing, too, is at an address.
	if size == 0 {
		return align
	}
	// Words of 64 bits are aligned for everything.
	memory := make([]uint64, (size+7)/8)
	given = append(given, memory)
	return address(unsafe.Pointer(&memory[0]))
}

func address(pointer unsafe.Pointer) uint32 { return uint32(uintptr(pointer)) }

// at is an argument's address as a pointer: the memory is held by given.
func at(address uint32) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&[1]uintptr{uintptr(address)}))
}

// Whatever the director is still to read is held by these until the next call.
var (
	// result<list<u32>, string>, of which result<_, string> and result<dispatch, string> are parts.
	answer      [3]uint32
	table       []uint32
	sentence    string
	description []uint32
	described   []any
)

func reply(err error) uint32 {
	given = nil
	answer[0] = 0
	if err != nil {
		sentence = err.Error()
		answer = [3]uint32{1, textAt(sentence), uint32(len(sentence))}
	}
	return address(unsafe.Pointer(&answer))
}

// A panic's message goes to the log before everything ends.
func caught() {
	if problem := recover(); problem != nil {
		Log(Error, fmt.Sprint("panic: ", problem))
		os.Exit(2)
	}
}

//go:wasmexport describe
func describe() uint32 {
	defer caught()
	described = nil
	description = words(about.Name, about.Version, about.Summary)
	params := []uint32{}
	for _, spec := range about.Params {
		params = append(append(params, words(spec.Key)...), uint32(spec.Kind))
		if spec.Kind == Choice {
			params = append(params, held(words(spec.Words...), len(spec.Words))...)
		} else {
			params = append(params, uint32(spec.Min), uint32(spec.Max))
		}
		params = append(params, words(spec.Default, spec.Help)...)
	}
	description = append(description, held(params, len(about.Params))...)
	return address(unsafe.Pointer(&description[0]))
}

// words are the addresses and lengths of texts.
func words(texts ...string) []uint32 {
	all := []uint32{}
	for _, text := range texts {
		described = append(described, text)
		all = append(all, textAt(text), uint32(len(text)))
	}
	return all
}

func textAt(text string) uint32 {
	if text == "" {
		return 1
	}
	return address(unsafe.Pointer(unsafe.StringData(text)))
}

// held is the list that these words are the items of.
func held(words []uint32, count int) []uint32 {
	if count == 0 {
		return []uint32{4, 0}
	}
	described = append(described, words)
	return []uint32{address(unsafe.Pointer(&words[0])), uint32(count)}
}

//go:wasmexport configure
func configure(params, count uint32) uint32 {
	defer caught()
	var all []Param
	for _, pair := range unsafe.Slice((*[2]list)(at(params)), count) {
		all = append(all, Param{text(pair[0]), text(pair[1])})
	}
	dispatch, err := scheduler.Configure(all)
	answer[1] = uint32(dispatch.kind) | uint32(dispatch.key)<<8
	return reply(err)
}

func text(list list) string {
	return string(unsafe.Slice((*byte)(at(list.at)), list.count))
}

//go:wasmexport update
func update(backends, count uint32) uint32 {
	defer caught()
	return reply(scheduler.Update(unsafe.Slice((*Backend)(at(backends)), count)))
}

//go:wasmexport fill
func fill(slots uint32) uint32 {
	defer caught()
	table = make([]uint32, slots)
	err := scheduler.Fill(table)
	answer[1], answer[2] = 4, slots
	if slots > 0 {
		answer[1] = address(unsafe.Pointer(&table[0]))
	}
	return reply(err)
}
