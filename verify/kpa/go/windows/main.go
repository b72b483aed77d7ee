// Command windows writes the loads of the KPA scenarios with the averages that Knative's own aggregation windows
// (knative.dev/serving pkg/autoscaler/aggregation) give for them, and traces of the two window types alone.
//
// usage: windows LOADS_DIR FIXTURES_DIR
//
// LOADS_DIR gets one JSON file per scenario, for the autoscaler command; FIXTURES_DIR gets window-*.json.
// Everything is a function of fixed seeds: two runs write the same bytes.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"knative.dev/serving/pkg/autoscaler/aggregation"
	"knative.dev/serving/pkg/autoscaler/aggregation/max"
)

func main() {
	loads, fixtures := os.Args[1], os.Args[2]
	for _, s := range scenarios() {
		write(filepath.Join(loads, s.Name+".json"), s, ticksOf(s))
	}
	for seed, windowSec := range []int{1, 2, 6, 10, 60} {
		averageTrace(fixtures, uint64(seed+1), windowSec)
	}
	for seed, durationSec := range []int{1, 2, 5, 30, 60} {
		maxTrace(fixtures, uint64(seed+1), durationSec)
	}
}

// tick is one autoscaler tick: what was recorded since the tick before it, and the averages at the tick.
type tick struct {
	AtMs    int64       `json:"atMs"`
	Samples [][]float64 `json:"samples"`
	Empty   bool        `json:"empty,omitempty"`
	Stable  float64     `json:"stable"`
	Panic   float64     `json:"panic"`
}

func ticksOf(s scenario) []tick {
	stable := aggregation.NewTimedFloat64Buckets(time.Duration(s.Settings.StableWindowSec)*time.Second, time.Second)
	panics := aggregation.NewTimedFloat64Buckets(panicWindow(s.Settings), time.Second)
	ticks := []tick{}
	for at := int64(0); at <= s.seconds*1000; at += 2000 {
		t := tick{AtMs: at, Samples: [][]float64{}}
		for _, ms := range []int64{at - 1000, at} {
			value, ok := 0., false
			if ms >= 0 {
				value, ok = s.load(float64(ms) / 1000)
			}
			if !ok {
				continue
			}
			recordMs := ms + s.lateMs(ms)
			when := time.UnixMilli(s.StartMs + recordMs)
			stable.Record(when, value)
			panics.Record(when, value)
			t.Samples = append(t.Samples, []float64{float64(recordMs), value})
		}
		now := time.UnixMilli(s.StartMs + at)
		t.Empty = stable.IsEmpty(now)
		t.Stable, t.Panic = stable.WindowAverage(now), panics.WindowAverage(now)
		ticks = append(ticks, t)
	}
	return ticks
}

// panicWindow is the arithmetic of MakeMetric; the autoscaler command checks it against the real one.
func panicWindow(s settings) time.Duration {
	stable := time.Duration(s.StableWindowSec) * time.Second
	window := time.Duration(float64(stable) * s.PanicWindowPercent / 100.0).Round(time.Second)
	if window < time.Second {
		return time.Second
	}
	return window
}

type header struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Seconds int    `json:"seconds"`
	StartMs int64  `json:"startMs"`
}

type averageStep struct {
	RecordMs  int64   `json:"recordMs"`
	Value     float64 `json:"value"`
	AverageMs int64   `json:"averageMs"`
	Average   float64 `json:"average"`
	Empty     bool    `json:"empty,omitempty"`
}

// averageTrace: irregular, missing, late and repeated writes, each followed by a question at or after the write.
func averageTrace(dir string, seed uint64, windowSec int) {
	random := rand.New(rand.NewPCG(seed, 42))
	start := int64(946684800000) + int64(seed)*137
	buckets := aggregation.NewTimedFloat64Buckets(time.Duration(windowSec)*time.Second, time.Second)
	steps, at := []averageStep{}, int64(0)
	for range 400 {
		switch pick := random.IntN(40); {
		case pick == 0:
			at += int64(windowSec)*1000 + random.Int64N(5000)
		case pick < 5:
			at += random.Int64N(int64(windowSec)*700 + 1)
		default:
			at += random.Int64N(2200)
		}
		recordMs := at
		if random.IntN(10) == 0 {
			recordMs -= random.Int64N(int64(windowSec)*1500 + 1)
		}
		value := float64(random.IntN(100000)) / 1000
		buckets.Record(time.UnixMilli(start+recordMs), value)
		askMs := at
		if random.IntN(3) == 0 {
			askMs += random.Int64N(int64(windowSec)*1300 + 1)
		}
		now := time.UnixMilli(start + askMs)
		steps = append(steps, averageStep{recordMs, value, askMs, buckets.WindowAverage(now), buckets.IsEmpty(now)})
	}
	name := fmt.Sprintf("window-average-%ds", windowSec)
	write(filepath.Join(dir, name+".json"), header{name, "average", windowSec, start}, steps)
}

type maxStep struct {
	RecordMs int64 `json:"recordMs"`
	Value    int32 `json:"value"`
	Max      int32 `json:"max"`
}

// maxTrace: the scale-down-delay window, in the autoscaler's 2 s steps and off them.
func maxTrace(dir string, seed uint64, durationSec int) {
	random := rand.New(rand.NewPCG(seed, 43))
	start := int64(946684800000) + int64(seed)*311
	window := max.NewTimeWindow(time.Duration(durationSec)*time.Second, 2*time.Second)
	steps, at, value := []maxStep{}, int64(0), int32(20)
	for range 300 {
		if random.IntN(30) == 0 {
			at += random.Int64N(int64(durationSec)*1500 + 1)
		} else {
			at += random.Int64N(3000)
		}
		value = value + random.Int32N(7) - 3
		if value < 0 {
			value = 0
		}
		window.Record(time.UnixMilli(start+at), value)
		steps = append(steps, maxStep{at, value, window.Current()})
	}
	name := fmt.Sprintf("window-max-%ds", durationSec)
	write(filepath.Join(dir, name+".json"), header{name, "max", durationSec, start}, steps)
}

// write puts a JSON array with one element per line: the header, then the steps.
func write[H, S any](path string, head H, steps []S) {
	out := bytes.NewBufferString("[\n")
	line(out, head)
	for _, step := range steps {
		out.WriteString(",\n")
		line(out, step)
	}
	out.WriteString("\n]\n")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		panic(err)
	}
}

func line(out *bytes.Buffer, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	out.Write(text)
}
