package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
)

// randomInputs gives the autoscaler stable and panic values, pod counts and gaps that no window would, under random
// settings and at uneven ticks. Settings where the scale-down delay and reachability meet are left out: there this
// version of Knative delays an unreachable revision too, and newer ones do not.
func randomInputs(seed uint64, dir string) {
	random := rand.New(rand.NewPCG(seed, 1000))
	pick := func(values ...float64) float64 { return values[random.IntN(len(values))] }
	h := header{
		Name: fmt.Sprintf("random-%02d", seed), Why: "values that no window would give", LagTicks: 0, ReadyCap: 1000,
		StartMs: 946684800000 + random.Int64N(10000), ReadyAtStart: random.IntN(6), UnreachableFromMs: -1,
		Settings: settings{
			Metric: "concurrency", Target: pick(0, 0, 1, 7.3, 40), ContainerConcurrency: int64(pick(0, 0, 1, 3, 20)),
			TargetUtilization: pick(0.7, 0.7, 1, 0.55), StableWindowSec: int64(pick(6, 20, 60, 60)),
			PanicWindowPercent: pick(1, 10, 12.5, 50), PanicThresholdPct: pick(110, 150, 200, 200, 400),
			MaxScaleUpRate: pick(1.01, 1.5, 10, 1000), MaxScaleDownRate: pick(1.01, 2, 2, 7),
			ScaleDownDelaySec: int64(pick(0, 0, 5, 30)), ActivationScale: int32(pick(0, 1, 2, 5)),
			TargetBurstCapacity: pick(-1, 0, 5.5, 211),
		},
	}
	run := start(&h)
	steps, at, scale := []step{}, int64(0), 100.
	for range 220 {
		s := step{AtMs: at, Ready: random.IntN(12)}
		if h.Settings.ScaleDownDelaySec == 0 {
			s.Unreachable = random.IntN(8) == 0
		}
		if random.IntN(20) == 0 {
			scale = math.Pow(10, random.Float64()*4-1)
		}
		s.Empty = random.IntN(25) == 0
		s.Stable = math.Round(random.Float64()*scale*1e6) / 1e6
		s.Panic = math.Round(random.Float64()*scale*1e6) / 1e6
		switch random.IntN(12) {
		case 0:
			s.Stable = 0
		case 1:
			s.Panic = 0
		case 2:
			s.Stable, s.Panic = 0, 0
		}
		run(&s)
		steps = append(steps, s)
		at += 2000
		if random.IntN(6) == 0 {
			at += random.Int64N(5000) - 1500
		}
		if random.IntN(60) == 0 {
			at += random.Int64N(90000)
		}
	}
	write(filepath.Join(dir, "decide-"+h.Name+".json"), h, steps)
}
