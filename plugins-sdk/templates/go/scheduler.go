// {{name}}: a scheduler in Go. Everybody takes turns, as often as the weight says.
package main

import (
	"{{name}}/wvs"
	"{{name}}/wvs/table"
)

var about = wvs.Description{
	Name:    "{{name}}",
	Version: "0.1.0",
	Summary: "everybody takes turns, as often as the weight says",
}

// turn is somebody who takes new connections, and how many turns it has had in the table that is being filled.
type turn struct {
	id, weight uint32
	place      int
	turns      int
	due        float64
}

// had sets when the next turn is due: the n-th at (n + ½) / weight. Who weighs twice as much is due twice as often.
func (t *turn) had(turns int) {
	t.turns = turns
	t.due = (float64(turns) + 0.5) / float64(t.weight)
}

func (t *turn) before(other *turn) bool {
	return t.due < other.due || t.due == other.due && t.place < other.place
}

type scheduler struct {
	usable []turn
}

func (s *scheduler) Configure(params []wvs.Param) (wvs.Dispatch, error) {
	return wvs.Cycle, nil
}

func (s *scheduler) Update(backends []wvs.Backend) error {
	s.usable = s.usable[:0]
	for _, backend := range backends {
		if backend.Usable() {
			s.usable = append(s.usable, turn{id: backend.ID, weight: backend.Weight, place: len(s.usable)})
		}
	}
	return nil
}

func (s *scheduler) Fill(table []uint32) error {
	heap := s.usable
	if len(heap) == 0 {
		for slot := range table {
			table[slot] = wvs.NoBackend
		}
		return nil
	}
	for n := range heap {
		heap[n].had(0)
	}
	for at := len(heap)/2 - 1; at >= 0; at-- {
		sink(heap, at)
	}
	for slot := range table {
		table[slot] = heap[0].id
		heap[0].had(heap[0].turns + 1)
		sink(heap, 0)
	}
	return nil
}

// sink puts the entry at `at` where it belongs in a heap, whose first entry is due first.
func sink(heap []turn, at int) {
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
	table.Export(mine)
}

func main() {}
