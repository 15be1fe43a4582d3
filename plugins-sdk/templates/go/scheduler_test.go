package main

import (
	"slices"
	"testing"

	"{{name}}/wvs"
)

func fill(t *testing.T, slots int, backends ...wvs.Backend) []uint32 {
	t.Helper()
	s := &scheduler{}
	if err := s.Update(backends); err != nil {
		t.Fatal(err)
	}
	table := make([]uint32, slots)
	if err := s.Fill(table); err != nil {
		t.Fatal(err)
	}
	return table
}

func TestTheHeavierOneGetsMore(t *testing.T) {
	table := fill(t, 6, wvs.Backend{ID: 1, Weight: 2}, wvs.Backend{ID: 2, Weight: 1})
	if !slices.Equal(table, []uint32{1, 2, 1, 1, 2, 1}) {
		t.Error(table)
	}
}

func TestNobodyIsNamedWhoTakesNoConnections(t *testing.T) {
	table := fill(t, 2, wvs.Backend{ID: 1}, wvs.Backend{ID: 2, Weight: 1, State: wvs.Draining})
	if !slices.Equal(table, []uint32{wvs.NoBackend, wvs.NoBackend}) {
		t.Error(table)
	}
}
