package main

import (
	"testing"

	"{{name}}/wvs"
)

func updated(t *testing.T, backends ...wvs.Backend) *scheduler {
	t.Helper()
	s := &scheduler{}
	if err := s.Update(backends); err != nil {
		t.Fatal(err)
	}
	return s
}

func expect(t *testing.T, s *scheduler, ids ...uint32) {
	t.Helper()
	for n, id := range ids {
		if picked, ok := s.Pick(wvs.Flow{}); !ok || picked != id {
			t.Errorf("connection %d: %d, %v", n, picked, ok)
		}
	}
}

func TestTheHeavierOneGetsMore(t *testing.T) {
	s := updated(t, wvs.Backend{ID: 1, Weight: 2}, wvs.Backend{ID: 2, Weight: 1})
	expect(t, s, 1, 1, 2, 1, 1, 2)
}

func TestWhoHasManyConnectionsGetsNone(t *testing.T) {
	s := updated(t, wvs.Backend{ID: 1, Weight: 2}, wvs.Backend{ID: 2, Weight: 1})
	s.Observe([]uint32{5, 0}, []uint32{0, 0})
	expect(t, s, 2, 2, 1)
}

func TestNobodyIsNamedWhoTakesNoConnections(t *testing.T) {
	s := updated(t, wvs.Backend{ID: 1}, wvs.Backend{ID: 2, Weight: 1, State: wvs.Draining})
	if id, ok := s.Pick(wvs.Flow{}); ok {
		t.Error(id)
	}
}
