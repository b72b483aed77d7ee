package main

import (
	"math"
	"math/rand/v2"
)

// settings has the names of the TypeScript side; zero `Target` means that none is set.
type settings struct {
	Metric               string  `json:"metric"`
	Target               float64 `json:"target"`
	ContainerConcurrency int64   `json:"containerConcurrency"`
	TargetUtilization    float64 `json:"targetUtilization"`
	StableWindowSec      int64   `json:"stableWindowSec"`
	PanicWindowPercent   float64 `json:"panicWindowPercent"`
	PanicThresholdPct    float64 `json:"panicThresholdPercent"`
	MaxScaleUpRate       float64 `json:"maxScaleUpRate"`
	MaxScaleDownRate     float64 `json:"maxScaleDownRate"`
	ScaleDownDelaySec    int64   `json:"scaleDownDelaySec"`
	ActivationScale      int32   `json:"activationScale"`
	TargetBurstCapacity  float64 `json:"targetBurstCapacity"`
}

// scenario is a scripted load. Pods follow the decision after LagTicks ticks, at most ReadyCap of them; FixedReady
// above zero pins them instead.
type scenario struct {
	Name         string   `json:"name"`
	Why          string   `json:"why"`
	Settings     settings `json:"settings"`
	StartMs      int64    `json:"startMs"`
	ReadyAtStart int      `json:"readyAtStart"`
	FixedReady   int      `json:"fixedReady"`
	LagTicks     int      `json:"lagTicks"`
	ReadyCap     int      `json:"readyCap"`
	// UnreachableFromMs at and after which no route points to the revision; -1 for never.
	UnreachableFromMs int64 `json:"unreachableFromMs"`

	seconds int64
	load    func(sec float64) (float64, bool)
	lateMs  func(ms int64) int64
}

func scenarios() []scenario {
	list := []scenario{
		with("steady", "a constant load", constant(35)),
		with("step-up", "from 5 to 60 in flight at 30 s", steps(0, 5, 30, 60)),
		with("step-down", "from 400 to 20 in flight at 60 s", steps(0, 400, 60, 20)),
		with("burst", "10 s of 2000 in flight: panic enters, holds, leaves", steps(0, 20, 40, 2000, 50, 20)),
		with("double-burst", "a second burst extends the panic", steps(0, 20, 30, 900, 40, 20, 80, 1800, 86, 20)),
		with("ramp", "up to 900 and down to nothing", func(s float64) (float64, bool) {
			return round(math.Max(0, 900-math.Abs(s-120)*7.5)), true
		}),
		with("to-zero-and-back", "idle for three windows, then load", steps(0, 80, 40, 0, 220, 150)),
		with("sine", "a period of 100 s", func(s float64) (float64, bool) {
			return round(300 + 280*math.Sin(s/100*2*math.Pi)), true
		}),
	}
	add := func(name, why string, load func(float64) (float64, bool), edit func(*scenario)) {
		s := with(name, why, load)
		edit(&s)
		list = append(list, s)
	}
	burst := steps(0, 10, 30, 700, 60, 30, 150, 0)
	add("activation-scale", "at least 4 whenever above 0", steps(0, 0, 20, 3, 60, 0, 160, 500), func(s *scenario) { s.Settings.ActivationScale = 4 })
	add("scale-down-delay-30", "held for 30 s", burst, func(s *scenario) { s.Settings.ScaleDownDelaySec = 30 })
	add("scale-down-delay-7", "a delay that is not a multiple of the tick", walk(77, 200, 60), func(s *scenario) { s.Settings.ScaleDownDelaySec = 7 })
	add("container-concurrency-1", "one request per pod", steps(0, 1, 20, 12, 60, 4, 120, 0), func(s *scenario) { s.Settings.ContainerConcurrency = 1 })
	add("container-concurrency-4-target-10", "the smaller of both counts", steps(0, 3, 20, 50, 100, 6), func(s *scenario) {
		s.Settings.ContainerConcurrency, s.Settings.Target = 4, 10
	})
	add("target-2.5", "a fractional target, full utilization", walk(5, 20, 4), func(s *scenario) { s.Settings.Target, s.Settings.TargetUtilization = 2.5, 1 })
	add("target-tiny", "the floor of 0.01", walk(6, 1, 0.2), func(s *scenario) { s.Settings.Target, s.Settings.TargetUtilization = 0.01, 0.5 })
	add("rps", "requests per second, default target 200", steps(0, 100, 30, 5000, 70, 900, 150, 0), func(s *scenario) { s.Settings.Metric = "rps" })
	add("rps-target-20", "requests per second", walk(8, 300, 90), func(s *scenario) { s.Settings.Metric, s.Settings.Target = "rps", 20 })
	add("restart-7", "a restart with 7 ready pods and hardly any load keeps them for a window", steps(0, 10), func(s *scenario) { s.ReadyAtStart, s.LagTicks = 7, 0 })
	add("restart-7-silent", "the same with no data for 20 s", gap(steps(0, 10), 0, 20), func(s *scenario) { s.ReadyAtStart = 7 })
	add("restart-1", "a restart with one pod does not panic", steps(0, 10), func(s *scenario) { s.ReadyAtStart = 1 })
	add("rate-up-1.1", "growth limited to 10 % a tick", steps(0, 10, 20, 3000), func(s *scenario) { s.Settings.MaxScaleUpRate, s.LagTicks = 1.1, 0 })
	add("rate-up-2", "growth limited to a doubling", burst, func(s *scenario) { s.Settings.MaxScaleUpRate = 2 })
	add("rate-down-1.5", "shrinking limited", steps(0, 2500, 40, 5), func(s *scenario) { s.Settings.MaxScaleDownRate = 1.5 })
	add("rate-down-10", "shrinking fast", steps(0, 2500, 40, 5), func(s *scenario) { s.Settings.MaxScaleDownRate = 10 })
	add("burst-capacity-0", "the gateway leaves the path", burst, func(s *scenario) { s.Settings.TargetBurstCapacity = 0 })
	add("burst-capacity-always", "-1: always in the path, no scraping", gap(burst, 60, 140), func(s *scenario) { s.Settings.TargetBurstCapacity = -1 })
	add("burst-capacity-10", "leaves and enters the path", walk(9, 250, 60), func(s *scenario) { s.Settings.TargetBurstCapacity = 10 })
	add("window-6", "the shortest window; the panic window is 1 s", walk(10, 200, 90), func(s *scenario) { s.Settings.StableWindowSec = 6 })
	add("window-25-panic-33", "a panic window of 8.25 s rounds to 8 s", walk(11, 200, 90), func(s *scenario) {
		s.Settings.StableWindowSec, s.Settings.PanicWindowPercent = 25, 33
	})
	add("window-30-panic-5", "a panic window of 1.5 s rounds to 2 s", walk(12, 200, 90), func(s *scenario) {
		s.Settings.StableWindowSec, s.Settings.PanicWindowPercent = 30, 5
	})
	add("panic-window-full", "the panic window is the stable window", burst, func(s *scenario) { s.Settings.PanicWindowPercent = 100 })
	add("threshold-110", "panics easily", walk(13, 300, 60), func(s *scenario) { s.Settings.PanicThresholdPct = 110 })
	add("threshold-1000", "hardly ever panics", burst, func(s *scenario) { s.Settings.PanicThresholdPct = 1000 })
	add("gaps", "20 s and 80 s without data", gap(gap(walk(14, 200, 50), 50, 70), 120, 200), func(*scenario) {})
	add("unreachable", "no route at 100 s: the down rate no longer holds", steps(0, 1500, 90, 1400, 110, 0), func(s *scenario) { s.UnreachableFromMs = 100000 })
	add("fixed-3", "pods that never follow", walk(15, 400, 100), func(s *scenario) { s.FixedReady = 3 })
	add("fixed-0", "pods that never come", steps(0, 30, 50, 90), func(s *scenario) { s.ReadyAtStart = 0; s.ReadyCap = 0 })
	add("off-the-second", "ticks and samples at 0.737 s", walk(16, 200, 60), func(s *scenario) { s.StartMs += 737 })
	add("jitter", "samples up to 1.9 s late: doubled and missing buckets", walk(17, 200, 60), func(s *scenario) {
		random := rand.New(rand.NewPCG(17, 99))
		s.lateMs = func(int64) int64 { return -random.Int64N(1900) }
	})
	for seed := uint64(101); seed <= 106; seed++ {
		s := with("walk-"+string(rune('a'+seed-101)), "a random walk", walk(seed, 300, 120))
		random := rand.New(rand.NewPCG(seed, 5))
		s.LagTicks = random.IntN(6)
		s.Settings.Target = float64(5 + random.IntN(60))
		s.Settings.ScaleDownDelaySec = int64(random.IntN(3) * 20)
		s.Settings.ActivationScale = int32(1 + random.IntN(3))
		list = append(list, s)
	}
	return list
}

func with(name, why string, load func(float64) (float64, bool)) scenario {
	return scenario{
		Name: name, Why: why, StartMs: 946684800000, ReadyAtStart: 1, LagTicks: 2, ReadyCap: 1000,
		UnreachableFromMs: -1, seconds: 280, load: load, lateMs: func(int64) int64 { return 0 },
		Settings: settings{
			Metric: "concurrency", TargetUtilization: 0.7, StableWindowSec: 60, PanicWindowPercent: 10,
			PanicThresholdPct: 200, MaxScaleUpRate: 1000, MaxScaleDownRate: 2, ActivationScale: 1, TargetBurstCapacity: 211,
		},
	}
}

func constant(value float64) func(float64) (float64, bool) {
	return func(float64) (float64, bool) { return value, true }
}

// steps takes pairs of (from second, value), ascending.
func steps(pairs ...float64) func(float64) (float64, bool) {
	return func(sec float64) (float64, bool) {
		value := 0.
		for i := 0; i < len(pairs); i += 2 {
			if sec >= pairs[i] {
				value = pairs[i+1]
			}
		}
		return value, true
	}
}

func gap(load func(float64) (float64, bool), from, to float64) func(float64) (float64, bool) {
	return func(sec float64) (float64, bool) {
		value, ok := load(sec)
		return value, ok && (sec < from || sec >= to)
	}
}

// walk is a random walk from 0 to four times `scale`, with a jump now and then; it must be asked in order.
func walk(seed uint64, scale, step float64) func(float64) (float64, bool) {
	random := rand.New(rand.NewPCG(seed, 7))
	at := scale
	return func(float64) (float64, bool) {
		at += (random.Float64() - 0.5) * step
		switch random.IntN(50) {
		case 0:
			at = scale * 4 * random.Float64()
		case 1:
			at = 0
		}
		at = math.Min(math.Max(at, 0), scale*4)
		return round(at), true
	}
}

func round(value float64) float64 { return math.Round(value*1000) / 1000 }
