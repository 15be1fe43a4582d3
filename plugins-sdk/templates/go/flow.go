// {{name}}: a scheduler in Go that decides for each connection. Whoever has the fewest for its weight gets it.
package main

import (
	"{{name}}/wvs"
	"{{name}}/wvs/flows"
	"{{name}}/wvs/load"
)

var about = wvs.Description{
	Name:    "{{name}}",
	Version: "0.1.0",
	Summary: "whoever has the fewest connections for its weight gets the next",
}

// server takes new connections. The place is that in the last update.
type server struct {
	id          uint32
	weight      float64
	place       int
	connections float64
}

// cost is how busy one more connection makes it.
func (s *server) cost() float64 { return (s.connections + 1) / s.weight }

func (s *server) before(other *server) bool {
	return s.cost() < other.cost() || s.cost() == other.cost() && s.place < other.place
}

type scheduler struct {
	// A heap, whose first entry gets the next connection.
	usable []server
}

func (s *scheduler) Configure(params []wvs.Param) (wvs.Dispatch, error) {
	return wvs.PerFlow, nil
}

// Update is followed by the connections at once.
func (s *scheduler) Update(backends []wvs.Backend) error {
	s.usable = s.usable[:0]
	for place, backend := range backends {
		if backend.Usable() {
			s.usable = append(s.usable, server{id: backend.ID, weight: float64(backend.Weight), place: place})
		}
	}
	order(s.usable)
	return nil
}

// Observe tells the connections of each backend, in the order of the last update, from time to time.
func (s *scheduler) Observe(active, inactive []uint32) {
	for n := range s.usable {
		s.usable[n].connections = float64(active[s.usable[n].place])
	}
	order(s.usable)
}

// Pick is waited for by a connection: the less there is to do, the better.
func (s *scheduler) Pick(flow wvs.Flow) (id uint32, ok bool) {
	if len(s.usable) == 0 {
		return 0, false
	}
	id = s.usable[0].id
	// It is not in the counts yet.
	s.usable[0].connections++
	sink(s.usable, 0)
	return id, true
}

func order(heap []server) {
	for at := len(heap)/2 - 1; at >= 0; at-- {
		sink(heap, at)
	}
}

// sink puts the entry at `at` where it belongs.
func sink(heap []server, at int) {
	entry := heap[at]
	for {
		child := 2*at + 1
		if child+1 < len(heap) && heap[child+1].before(&heap[child]) {
			child++
		}
		if child >= len(heap) || !heap[child].before(&entry) {
			break
		}
		heap[at] = heap[child]
		at = child
	}
	heap[at] = entry
}

func init() {
	mine := &scheduler{}
	wvs.Register(about, mine)
	// What the director is to call.
	flows.Export(mine)
	load.Export(mine)
}

func main() {}
