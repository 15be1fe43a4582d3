// Package abi is between the contract's functions and Go's memory: the canonical ABI.
package abi

import (
	"fmt"
	"os"
	"unsafe"
)

// List is a list or text as the contract has it. On this machine an address is 32 bits wide, in Go's memory 64.
type List struct{ At, Count uint32 }

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

// Items are an argument's; the memory is held by given until the call ends.
func Items[T any](at, count uint32) []T {
	pointer := *(*unsafe.Pointer)(unsafe.Pointer(&[1]uintptr{uintptr(at)}))
	return unsafe.Slice((*T)(pointer), count)
}

// Text is a copy of an argument's.
func Text(list List) string { return string(Items[byte](list.At, list.Count)) }

// ListOf is a result's list: somebody has to hold the items until the next call.
func ListOf[T any](items []T) List {
	if len(items) == 0 {
		return List{8, 0}
	}
	return List{address(unsafe.Pointer(&items[0])), uint32(len(items))}
}

// TextOf is a result's text, to be held as well.
func TextOf(text string) List {
	return ListOf(unsafe.Slice(unsafe.StringData(text), len(text)))
}

// Whatever the director is still to read is held by these until the next call.
var (
	answer   [3]uint32
	sentence string
)

// Reply answers a result: these words if there is no error.
func Reply(err error, words ...uint32) uint32 {
	given = nil
	answer = [3]uint32{}
	copy(answer[1:], words)
	if err != nil {
		sentence = err.Error()
		text := TextOf(sentence)
		answer = [3]uint32{1, text.At, text.Count}
	}
	return address(unsafe.Pointer(&answer))
}

// Option answers an option of a number.
func Option(number uint32, some bool) uint32 {
	answer = [3]uint32{0, number}
	if some {
		answer[0] = 1
	}
	return address(unsafe.Pointer(&answer))
}

// Words answers words that somebody holds.
func Words(words []uint32) uint32 { return address(unsafe.Pointer(&words[0])) }

// End is the end of a call without an answer.
func End() {
	given = nil
	caught(recover())
}

// Caught has a panic's message in the log before everything ends; deferred by calls.
func Caught() { caught(recover()) }

func caught(problem any) {
	if problem != nil {
		Log(0, fmt.Sprint("panic: ", problem))
		os.Exit(2)
	}
}
