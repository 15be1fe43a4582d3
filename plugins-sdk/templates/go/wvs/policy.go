package wvs

import "{{name}}/wvs/internal/abi"

// What describe has answered is held by these.
var (
	description []uint32
	described   []any
)

//go:wasmexport describe
func describe() uint32 {
	defer abi.Caught()
	described = nil
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
	description = append(words(about.Name, about.Version, about.Summary), held(params, len(about.Params))...)
	return abi.Words(description)
}

// words are the addresses and lengths of texts.
func words(texts ...string) []uint32 {
	all := []uint32{}
	for _, text := range texts {
		described = append(described, text)
		list := abi.TextOf(text)
		all = append(all, list.At, list.Count)
	}
	return all
}

// held is the list that these words are the items of.
func held(words []uint32, count int) []uint32 {
	described = append(described, words)
	return []uint32{abi.ListOf(words).At, uint32(count)}
}

//go:wasmexport configure
func configure(params, count uint32) uint32 {
	defer abi.Caught()
	var all []Param
	for _, pair := range abi.Items[[2]abi.List](params, count) {
		all = append(all, Param{abi.Text(pair[0]), abi.Text(pair[1])})
	}
	dispatch, err := scheduler.Configure(all)
	return abi.Reply(err, uint32(dispatch.kind)|uint32(dispatch.key)<<8)
}

//go:wasmexport update
func update(backends, count uint32) uint32 {
	defer abi.Caught()
	return abi.Reply(scheduler.Update(abi.Items[Backend](backends, count)))
}
