// For tests of the packages below wvs: parameters of each kind, connections, latencies, a timer, refusals, the host.
//
// All slots are one backend's: the fastest, of equals that with the fewest connections, of equals the first.
package main

import (
	"errors"
	"slices"
	"strconv"

	"{{name}}/wvs"
	"{{name}}/wvs/latency"
	"{{name}}/wvs/load"
	"{{name}}/wvs/table"
	"{{name}}/wvs/timer"
)

var about = wvs.Description{
	Name:    "everything",
	Version: "1.2.3",
	Summary: "for tests of the glue",
	Params: []wvs.ParamSpec{
		{Key: "who", Kind: wvs.Choice, Words: []string{"first", "idlest"}, Default: "idlest", Help: "who it is"},
		{Key: "size", Kind: wvs.Integer, Min: -3, Max: 7, Default: "0", Help: "tenths of a second until the next table"},
		{Key: "hashed", Kind: wvs.Boolean, Default: "false", Help: "by the port too"},
		{Key: "note", Kind: wvs.Text, Help: "refused if it is bad"},
	},
}

type scheduler struct {
	backends       []wvs.Backend
	active, micros []uint32
	first          bool
	pause          uint32
}

func (s *scheduler) Configure(params []wvs.Param) (wvs.Dispatch, error) {
	dispatch := wvs.Cycle
	for _, param := range params {
		switch param.Key {
		case "note":
			if param.Value == "bad" {
				return dispatch, errors.New("note must not be bad")
			}
		case "who":
			s.first = param.Value == "first"
		case "hashed":
			if param.Value == "true" {
				dispatch = wvs.HashOfSourceAndPort
			}
		case "size":
			tenths, err := strconv.Atoi(param.Value)
			if err != nil {
				return dispatch, err
			}
			s.pause = uint32(100 * max(tenths, 0))
		}
	}
	if wvs.Now() < 0 || wvs.Random() == wvs.Random() {
		wvs.Log(wvs.Warn, "how odd")
	}
	return dispatch, nil
}

func (s *scheduler) Update(backends []wvs.Backend) error {
	s.backends = slices.Clone(backends)
	s.active = make([]uint32, len(backends))
	s.micros = slices.Repeat([]uint32{wvs.UnknownLatency}, len(backends))
	return nil
}

func (s *scheduler) Observe(active, inactive []uint32) { s.active = slices.Clone(active) }

func (s *scheduler) Due() uint32 { return s.pause }

func (s *scheduler) Interval() uint32 { return 250 }

func (s *scheduler) ObserveLatency(micros []uint32) { s.micros = slices.Clone(micros) }

func (s *scheduler) Fill(table []uint32) error {
	best := -1
	for n, backend := range s.backends {
		if !backend.Usable() || s.first && best >= 0 {
			continue
		}
		if best < 0 || s.better(n, best) {
			best = n
		}
	}
	for slot := range table {
		table[slot] = wvs.NoBackend
		if best >= 0 {
			table[slot] = s.backends[best].ID
		}
	}
	return nil
}

func (s *scheduler) better(one, other int) bool {
	return s.micros[one] < s.micros[other] || s.micros[one] == s.micros[other] && s.active[one] < s.active[other]
}

func init() {
	mine := &scheduler{}
	wvs.Register(about, mine)
	table.Export(mine)
	load.Export(mine)
	timer.Export(mine)
	latency.Export(mine)
}

func main() {}
