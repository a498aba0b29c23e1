package review

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// bars are the heights of a sparkline; blank stands where nothing is known.
var bars = []rune("▁▂▃▄▅▆▇█")

const blank = '·'

// maxSpark is how many points a sparkline shows: the newest.
const maxSpark = 32

// sparkline draws values from the lowest (at most 0) to the highest of them
// and of more; a nil is a blank.
func sparkline(values []*float64, more ...float64) string {
	values = values[max(0, len(values)-maxSpark):]
	low, high := 0.0, math.Inf(-1)
	for _, v := range values {
		if finite(v) {
			more = append(more, *v)
		}
	}
	for _, v := range more {
		low, high = min(low, v), max(high, v)
	}
	var b strings.Builder
	for _, v := range values {
		b.WriteRune(bar(v, low, high))
	}
	return b.String()
}

func bar(v *float64, low, high float64) rune {
	if !finite(v) {
		return blank
	}
	span := high - low
	if span <= 0 || math.IsInf(span, 0) {
		return bars[0]
	}
	i := int((*v - low) / span * float64(len(bars)-1))
	return bars[max(0, min(i, len(bars)-1))]
}

func finite(v *float64) bool { return v != nil && !math.IsNaN(*v) && !math.IsInf(*v, 0) }

// line draws a series, its threshold within the picture.
func (s *Series) line() string {
	values := make([]*float64, len(s.Points))
	for i := range s.Points {
		values[i] = s.Points[i].Value
	}
	if finite(s.Threshold) {
		return sparkline(values, *s.Threshold)
	}
	return sparkline(values)
}

// Newest is the series' newest known value; nil when none is known.
func (s *Series) Newest() *float64 {
	for i := len(s.Points) - 1; i >= 0; i-- {
		if s.Points[i].Value != nil {
			return s.Points[i].Value
		}
	}
	return nil
}

// Breaches counts the breached among the newest windows, at most of them.
func (s *Series) Breaches(most int) (breached, of int) {
	last := s.Points[max(0, len(s.Points)-most):]
	for _, p := range last {
		if p.Breached {
			breached++
		}
	}
	return breached, len(last)
}

// maxHours is how long a time a review's pulse shows: the newest.
const maxHours = 24

// Hourly draws the signals of each hour up to the newest; "" for fewer than two
// hours, or where they are not in order.
func (r *Review) Hourly() string {
	beats := r.Pulse
	if len(beats) < 2 {
		return ""
	}
	last := beats[len(beats)-1].Hour
	first := beats[0].Hour
	if since := last.Add(-(maxHours - 1) * time.Hour); first.Before(since) {
		first = since
	}
	if last.Before(first) {
		return ""
	}
	hours := make([]*float64, int(last.Sub(first)/time.Hour)+1)
	for _, b := range beats {
		if at := int(b.Hour.Sub(first) / time.Hour); !b.Hour.Before(first) && at < len(hours) {
			n := float64(b.N)
			hours[at] = &n
		}
	}
	return sparkline(hours)
}

// figure writes a number with four significant digits.
func figure(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
