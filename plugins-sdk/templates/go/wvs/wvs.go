// Package wvs is what schedulers for wvs are written with. The packages below it are what a scheduler may have: table or
// flows, and load, timer and latency. Each is imported by whoever exports it.
//
// A call is stopped after 250 ms (a pick after 2), and a plugin at 64 MiB of memory.
package wvs

import "{{name}}/wvs/internal/abi"

// NoBackend in a table: no backend takes this connection.
const NoBackend uint32 = 0xffffffff

// UnknownLatency among latencies: not known.
const UnknownLatency uint32 = 0xffffffff

// State is why a backend should get no new connections: none of these if it may.
type State uint8

// What a backend's state is made of.
const (
	Draining State = 1 << iota
	Down
	Overloaded
)

// Backend is a server that connections are given to. Its layout is the contract's.
type Backend struct {
	ID uint32
	// 0 means: no new connections.
	Weight uint32
	// IPv4 is IPv4-mapped, so Address[3] alone is the IPv4 address.
	Address [4]uint32
	Port    uint16
	State   State
}

// Usable says whether new connections may go to it.
func (b *Backend) Usable() bool {
	return b.Weight > 0 && b.State == 0
}

// Flow is a connection that opens.
type Flow struct {
	// As in a backend.
	Source, Destination         [4]uint32
	SourcePort, DestinationPort uint16
	// 6 TCP, 17 UDP, 132 SCTP.
	Protocol uint8
	// The packet's firewall mark.
	Mark uint32
	// The same on every director.
	Hash uint32
}

// Param is a parameter, as the operator has set it or by its default.
type Param struct{ Key, Value string }

// Kind is what a parameter may be.
type Kind uint8

// The kinds of parameters.
const (
	Text Kind = iota
	Boolean
	Integer
	Choice
)

// ParamSpec declares a parameter.
type ParamSpec struct {
	Key  string
	Kind Kind
	// Of an Integer.
	Min, Max int32
	// Of a Choice.
	Words         []string
	Default, Help string
}

// Description is what a scheduler says of itself.
type Description struct {
	Name, Version, Summary string
	Params                 []ParamSpec
}

// Dispatch is how the data path uses a scheduler.
type Dispatch struct{ kind, key uint8 }

// New connections walk the table in order, or it is indexed by a hash, or the scheduler is asked for each.
var (
	Cycle               = Dispatch{0, 0}
	HashOfSource        = Dispatch{1, 0}
	HashOfSourceAndPort = Dispatch{1, 1}
	HashOfDestination   = Dispatch{1, 2}
	HashOfBoth          = Dispatch{1, 3}
	PerFlow             = Dispatch{2, 0}
)

// Scheduler is what every scheduler has. An error's text is for the operator.
type Scheduler interface {
	Configure(params []Param) (Dispatch, error)
	// Update tells the full set of backends. The slice is there until it returns.
	Update(backends []Backend) error
}

// Registered by the plugin's init.
var (
	about     Description
	scheduler Scheduler
)

// Register says which scheduler this is; call it in an init function.
func Register(description Description, it Scheduler) {
	about, scheduler = description, it
}

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
func Log(level Level, message string) { abi.Log(uint32(level), message) }

// Random is a random number, which repeats with the director's seed.
func Random() uint32 { return abi.Random() }

// Now is in seconds since the plugin was loaded.
func Now() float64 { return abi.Now() }
