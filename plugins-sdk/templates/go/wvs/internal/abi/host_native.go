//go:build !wasip1

package abi

import (
	"fmt"
	"math/rand/v2"
	"os"
	"time"
)

// In the place of a director, for tests.
var (
	random = rand.New(rand.NewPCG(1, 1))
	loaded = time.Now()
)

// Log writes a line to standard error.
func Log(level uint32, message string) { fmt.Fprintln(os.Stderr, message) }

// Random repeats with each run.
func Random() uint32 { return random.Uint32() }

// Now is in seconds since the start.
func Now() float64 { return time.Since(loaded).Seconds() }
