// Command autoscaler drives Knative's own autoscaler (knative.dev/serving pkg/autoscaler/scaling) over the loads that
// the windows command wrote, and over random inputs, and writes what it decided.
//
// usage: autoscaler LOADS_DIR FIXTURES_DIR
//
// FIXTURES_DIR gets decide-*.json and defaults.json. Every decision is given its instant; only the start of the panic
// that a restart with several pods begins in is read from the machine's clock, and is set to the scenario's start.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"

	"knative.dev/serving/pkg/apis/autoscaling"
	"knative.dev/serving/pkg/apis/autoscaling/v1alpha1"
	asconfig "knative.dev/serving/pkg/autoscaler/config"
	"knative.dev/serving/pkg/autoscaler/config/autoscalerconfig"
	"knative.dev/serving/pkg/autoscaler/metrics"
	"knative.dev/serving/pkg/autoscaler/scaling"
	kparesources "knative.dev/serving/pkg/reconciler/autoscaling/kpa/resources"
	"knative.dev/serving/pkg/reconciler/autoscaling/resources"
)

func main() {
	loads, fixtures := os.Args[1], os.Args[2]
	paths, err := filepath.Glob(filepath.Join(loads, "*.json"))
	check(err)
	for _, path := range paths {
		replay(path, fixtures)
	}
	for seed := uint64(1); seed <= 12; seed++ {
		randomInputs(seed, fixtures)
	}
	defaults(fixtures)
}

// settings as in the windows command.
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

// header is the first element of a fixture: the scenario, and what Knative made of its settings.
type header struct {
	Name              string   `json:"name"`
	Why               string   `json:"why"`
	Settings          settings `json:"settings"`
	TargetValue       float64  `json:"targetValue"`
	TotalValue        float64  `json:"totalValue"`
	PanicWindowSec    float64  `json:"panicWindowSec"`
	StartMs           int64    `json:"startMs"`
	ReadyAtStart      int      `json:"readyAtStart"`
	FixedReady        int      `json:"fixedReady"`
	LagTicks          int      `json:"lagTicks"`
	ReadyCap          int      `json:"readyCap"`
	UnreachableFromMs int64    `json:"unreachableFromMs"`
}

// step is one tick: the inputs, then Knative's decision.
type step struct {
	AtMs        int64       `json:"atMs"`
	Samples     [][]float64 `json:"samples,omitempty"`
	Empty       bool        `json:"empty,omitempty"`
	Stable      float64     `json:"stable"`
	Panic       float64     `json:"panic"`
	Ready       int         `json:"ready"`
	Unreachable bool        `json:"unreachable,omitempty"`
	Invalid     bool        `json:"invalid,omitempty"`
	Desired     int32       `json:"desired"`
	Ebc         int32       `json:"ebc"`
	Panicking   bool        `json:"panicking,omitempty"`
	MaxPanic    int64       `json:"maxPanic"`
}

// client answers the autoscaler's questions for values and pods from the step at hand.
type client struct{ *step }

func (c client) values() (float64, float64, error) {
	if c.Empty {
		return 0, 0, metrics.ErrNoData
	}
	return c.Stable, c.Panic, nil
}
func (c client) StableAndPanicConcurrency(types.NamespacedName, time.Time) (float64, float64, error) {
	return c.values()
}
func (c client) StableAndPanicRPS(types.NamespacedName, time.Time) (float64, float64, error) {
	return c.values()
}
func (c client) ReadyCount() (int, error)    { return c.Ready, nil }
func (c client) NotReadyCount() (int, error) { return 0, nil }

func replay(path, dir string) {
	text, err := os.ReadFile(path)
	check(err)
	lines := []json.RawMessage{}
	check(json.Unmarshal(text, &lines))
	var h header
	check(json.Unmarshal(lines[0], &h))
	run := start(&h)
	steps, applied := []step{}, []int{}
	for _, line := range lines[1:] {
		var s step
		check(json.Unmarshal(line, &s))
		// No scrape target with -1, so an empty window is a load of zero there (StableAndPanicConcurrency).
		if h.Settings.TargetBurstCapacity == -1 {
			s.Empty = false
		}
		s.Ready = h.ReadyAtStart
		if at := len(applied) - 1 - h.LagTicks; at >= 0 {
			s.Ready = applied[at]
		}
		if h.FixedReady > 0 {
			s.Ready = h.FixedReady
		}
		s.Unreachable = h.UnreachableFromMs >= 0 && s.AtMs >= h.UnreachableFromMs
		run(&s)
		next := s.Ready
		if !s.Invalid {
			next = min(int(s.Desired), h.ReadyCap)
		}
		applied = append(applied, next)
		steps = append(steps, s)
	}
	write(filepath.Join(dir, "decide-"+h.Name+".json"), h, steps)
}

// start creates the autoscaler at the scenario's first instant and returns what makes one decision with it.
func start(h *header) func(*step) {
	decider, panicWindow := specOf(h.Settings)
	h.TargetValue, h.TotalValue, h.PanicWindowSec = decider.TargetValue, decider.TotalValue, panicWindow.Seconds()
	current := &step{Ready: h.ReadyAtStart}
	source := client{current}
	scaler := scaling.New(context.Background(), "ns", "rev", source, source, &decider)
	state := reflect.ValueOf(scaler).Elem()
	if began := state.FieldByName("panicTime"); !began.IsZero() {
		reflect.NewAt(began.Type(), began.Addr().UnsafePointer()).Elem().Set(reflect.ValueOf(time.UnixMilli(h.StartMs)))
	}
	return func(s *step) {
		now := time.UnixMilli(h.StartMs + s.AtMs)
		*current = *s
		spec := decider
		spec.Reachable = !s.Unreachable
		scaler.Update(&spec)
		result := scaler.Scale(zap.NewNop().Sugar(), now)
		s.Invalid, s.Desired, s.Ebc = !result.ScaleValid, result.DesiredPodCount, result.ExcessBurstCapacity
		s.Panicking = !state.FieldByName("panicTime").IsZero()
		s.MaxPanic = state.FieldByName("maxPanicPods").Int()
	}
}

// specOf resolves the settings the way the reconciler does, from a PodAutoscaler's annotations and the config map.
func specOf(s settings) (scaling.DeciderSpec, time.Duration) {
	config := knativeDefaults()
	config.ContainerConcurrencyTargetFraction, config.TargetUtilization = s.TargetUtilization, s.TargetUtilization
	config.MaxScaleUpRate, config.MaxScaleDownRate = s.MaxScaleUpRate, s.MaxScaleDownRate
	pa := &v1alpha1.PodAutoscaler{}
	pa.Spec.ContainerConcurrency = s.ContainerConcurrency
	pa.Annotations = map[string]string{
		autoscaling.ClassAnnotationKey:                    autoscaling.KPA,
		autoscaling.MetricAnnotationKey:                   s.Metric,
		autoscaling.WindowAnnotationKey:                   fmt.Sprintf("%ds", s.StableWindowSec),
		autoscaling.PanicWindowPercentageAnnotationKey:    number(s.PanicWindowPercent),
		autoscaling.PanicThresholdPercentageAnnotationKey: number(s.PanicThresholdPct),
		autoscaling.ScaleDownDelayAnnotationKey:           fmt.Sprintf("%ds", s.ScaleDownDelaySec),
		autoscaling.ActivationScaleKey:                    number(float64(s.ActivationScale)),
		autoscaling.TargetBurstCapacityKey:                number(s.TargetBurstCapacity),
	}
	if s.Target > 0 {
		pa.Annotations[autoscaling.TargetAnnotationKey] = number(s.Target)
	}
	return kparesources.MakeDecider(pa, config).Spec, resources.MakeMetric(pa, "svc", config).Spec.PanicWindow
}

func knativeDefaults() *autoscalerconfig.Config {
	config, err := asconfig.NewConfigFromMap(nil)
	check(err)
	return config
}

// defaults writes what Knative uses where nothing is configured.
func defaults(dir string) {
	c := knativeDefaults()
	write(filepath.Join(dir, "defaults.json"), map[string]float64{
		"targetDefault":         c.ContainerConcurrencyTargetDefault,
		"targetUtilization":     c.ContainerConcurrencyTargetFraction,
		"stableWindowSec":       c.StableWindow.Seconds(),
		"panicWindowPercent":    c.PanicWindowPercentage,
		"panicThresholdPercent": c.PanicThresholdPercentage,
		"maxScaleUpRate":        c.MaxScaleUpRate,
		"maxScaleDownRate":      c.MaxScaleDownRate,
		"scaleDownDelaySec":     c.ScaleDownDelay.Seconds(),
		"minReplicas":           float64(c.MinScale),
		"maxReplicas":           float64(c.MaxScale),
		"initialReplicas":       float64(c.InitialScale),
		"scaleToZeroGraceSec":   c.ScaleToZeroGracePeriod.Seconds(),
		"retentionSec":          c.ScaleToZeroPodRetentionPeriod.Seconds(),
		"targetBurstCapacity":   c.TargetBurstCapacity,
	}, []step{})
}

func number(value float64) string { return strconv.FormatFloat(value, 'f', -1, 64) }

// write puts a JSON array with one element per line: the header, then the steps.
func write(path string, head any, steps []step) {
	out := bytes.NewBufferString("[\n")
	line(out, head)
	for _, s := range steps {
		out.WriteString(",\n")
		line(out, s)
	}
	out.WriteString("\n]\n")
	check(os.WriteFile(path, out.Bytes(), 0o644))
}

func line(out *bytes.Buffer, value any) {
	text, err := json.Marshal(value)
	check(err)
	out.Write(text)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
