package web

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/modelwarden/modelwarden/internal/review"
)

// Size of a chart in its own units, and the margin around what is drawn.
const (
	chartWidth  = 480
	chartHeight = 120
	chartMargin = 10
)

// chart is a metric over time against its threshold, ready to be drawn.
type chart struct {
	// ID tells the charts of a page apart.
	ID     string
	Series review.Series
	// Standing sets the newest value beside the threshold; Summary says the
	// whole picture in words.
	Standing, Beyond, Summary string
	// Span is from when to when.
	Span string
	// Threshold is the height of its line; nil when there is none to draw.
	Threshold *float64
	// Lines are runs of known values, as the points of a polyline.
	Lines []string
	Dots  []dot
}

// dot is one measured window.
type dot struct {
	X, Y float64
	// Class is bad for a breach, good for a pass whose value is known, and
	// unknown for one of which only the passing is.
	Class string
	Text  string
}

func newCharts(all []review.Series) []chart {
	out := make([]chart, len(all))
	for i := range all {
		out[i] = newChart(fmt.Sprint("chart-", i+1), all[i])
	}
	return out
}

func newChart(id string, s review.Series) chart {
	c := chart{ID: id, Series: s}
	c.describe()
	height := c.scale()
	if known(s.Threshold) {
		y := height(*s.Threshold)
		c.Threshold = &y
	}
	for i := range s.Points {
		c.Dots = append(c.Dots, newDot(&s.Points[i], place(i, len(s.Points)), height))
	}
	c.connect()
	return c
}

// newDot draws a window; one whose value is not known stands at the bottom.
func newDot(p *review.Point, x float64, height func(float64) float64) dot {
	d := dot{X: x, Y: chartHeight - chartMargin, Class: "unknown", Text: shownTime(p.At) + ": passed, value not kept"}
	if known(p.Value) {
		d.Y, d.Class, d.Text = height(*p.Value), "good", shownTime(p.At)+": "+number(p.Value)
	}
	if p.Breached {
		d.Class, d.Text = "bad", shownTime(p.At)+": "+number(p.Value)+", breached"
	}
	return d
}

// connect draws lines between neighbours whose values are known.
func (c *chart) connect() {
	var line []string
	for i, d := range c.Dots {
		known := known(c.Series.Points[i].Value)
		if known {
			line = append(line, fmt.Sprintf("%g,%g", d.X, d.Y))
		}
		if len(line) > 1 && (!known || i == len(c.Dots)-1) {
			c.Lines = append(c.Lines, strings.Join(line, " "))
		}
		if !known {
			line = nil
		}
	}
}

func shownTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }

func known(v *float64) bool { return v != nil && !math.IsNaN(*v) && !math.IsInf(*v, 0) }

// place spreads the points over the width; a single one stands in the middle.
func place(i, n int) float64 {
	if n == 1 {
		return chartWidth / 2
	}
	return round(chartMargin + float64(i)*(chartWidth-2*chartMargin)/float64(n-1))
}

// scale turns a value into a height: the lowest, at most zero, is at the bottom.
func (c *chart) scale() func(float64) float64 {
	low, high := 0.0, 0.0
	for _, v := range append(values(c.Series.Points), c.Series.Threshold) {
		if known(v) {
			low, high = min(low, *v), max(high, *v)
		}
	}
	span := high - low
	return func(v float64) float64 {
		if span <= 0 || math.IsInf(span, 0) {
			return chartHeight / 2
		}
		return round(chartHeight - chartMargin - (v-low)/span*(chartHeight-2*chartMargin))
	}
}

func values(points []review.Point) []*float64 {
	var out []*float64
	for i := range points {
		out = append(out, points[i].Value)
	}
	return out
}

// describe puts the picture into words, for those who can't see it and for
// whoever is in a hurry.
func (c *chart) describe() {
	s := &c.Series
	newest := s.Newest()
	c.Standing = number(newest)
	if s.Threshold != nil {
		c.Standing += " against " + number(s.Threshold)
		if s.LowerIsBad {
			c.Standing += " (lower is bad)"
		}
	}
	if known(newest) && known(s.Threshold) && *s.Threshold != 0 {
		if beyond := (*newest - *s.Threshold) / math.Abs(*s.Threshold); beyond > 0 != s.LowerIsBad && beyond != 0 {
			beyond = math.Abs(beyond)
			c.Beyond = exceeded(&beyond)
		}
	}
	if n := len(s.Points); n > 0 {
		c.Span = shownTime(s.Points[0].At)
		if last := shownTime(s.Points[n-1].At); last != c.Span {
			c.Span += " to " + last
		}
	}
	breached, of := s.Breaches(5)
	c.Summary = fmt.Sprintf("%d of the last %s breached", breached, count(of, "window", "windows"))
}
