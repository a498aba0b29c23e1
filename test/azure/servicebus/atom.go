package servicebus

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"time"
)

// Namespaces of the management interface.
const (
	atomSpace   = "http://www.w3.org/2005/Atom"
	queueSpace  = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"
	countsSpace = "http://schemas.microsoft.com/netservices/2011/06/servicebus"
)

type (
	atomFeed struct {
		XMLName xml.Name    `xml:"feed"`
		XMLNS   string      `xml:"xmlns,attr"`
		Title   string      `xml:"title"`
		Entries []atomEntry `xml:"entry"`
	}

	atomEntry struct {
		XMLName xml.Name    `xml:"entry"`
		XMLNS   string      `xml:"xmlns,attr"`
		ID      string      `xml:"id"`
		Title   string      `xml:"title"`
		Content atomContent `xml:"content"`
	}

	atomContent struct {
		Type  string           `xml:"type,attr"`
		Queue queueDescription `xml:"QueueDescription"`
	}

	atomError struct {
		XMLName xml.Name `xml:"Error"`
		Code    int
		Detail  string
	}

	// queueDescription has its elements in Azure's order.
	queueDescription struct {
		XMLNS                               string `xml:"xmlns,attr"`
		LockDuration                        string `xml:",omitempty"`
		MaxSizeInMegabytes                  int64  `xml:",omitempty"`
		RequiresDuplicateDetection          bool
		RequiresSession                     bool
		DefaultMessageTimeToLive            string `xml:",omitempty"`
		DeadLetteringOnMessageExpiration    bool
		DuplicateDetectionHistoryTimeWindow string `xml:",omitempty"`
		MaxDeliveryCount                    int    `xml:",omitempty"`
		EnableBatchedOperations             bool
		SizeInBytes                         int64
		MessageCount                        int
		Status                              string        `xml:",omitempty"`
		CreatedAt                           string        `xml:",omitempty"`
		UpdatedAt                           string        `xml:",omitempty"`
		AccessedAt                          string        `xml:",omitempty"`
		CountDetails                        *countDetails `xml:",omitempty"`
		AutoDeleteOnIdle                    string        `xml:",omitempty"`
		EnablePartitioning                  bool
		EntityAvailabilityStatus            string `xml:",omitempty"`
		EnableExpress                       bool
		MaxMessageSizeInKilobytes           int64 `xml:",omitempty"`
	}

	// countDetails are in a namespace of their own; some clients look for
	// Azure's very prefix.
	countDetails struct {
		XMLNS              string `xml:"xmlns:d2p1,attr"`
		Active             int    `xml:"d2p1:ActiveMessageCount"`
		DeadLetter         int    `xml:"d2p1:DeadLetterMessageCount"`
		Scheduled          int    `xml:"d2p1:ScheduledMessageCount"`
		TransferDeadLetter int    `xml:"d2p1:TransferDeadLetterMessageCount"`
		Transfer           int    `xml:"d2p1:TransferMessageCount"`
	}
)

// forever is Azure's longest time span.
const forever = "P10675199DT2H48M5.4775807S"

// neverAccessed stands for a queue that nobody has used.
const neverAccessed = "0001-01-01T00:00:00"

// atom describes the queue. Locked and deferred messages count as active, as
// they do in Azure.
func (q *queue) atom(host string) atomEntry {
	n := q.counts()
	activeCount := n.Active + n.Locked + n.Deferred
	made := q.made.Format(time.RFC3339Nano)
	return atomEntry{
		XMLNS: atomSpace, ID: "https://" + host + "/" + q.path, Title: q.path,
		Content: atomContent{Type: "application/xml", Queue: queueDescription{
			XMLNS:                               queueSpace,
			LockDuration:                        timeSpan(q.o.LockDuration),
			MaxSizeInMegabytes:                  max(1, q.o.MaxSize>>20),
			RequiresDuplicateDetection:          q.o.DuplicateDetection > 0,
			DefaultMessageTimeToLive:            timeSpan(q.o.DefaultTTL),
			DeadLetteringOnMessageExpiration:    q.o.DeadLetterOnExpiry,
			DuplicateDetectionHistoryTimeWindow: timeSpan(max(q.o.DuplicateDetection, time.Minute)),
			MaxDeliveryCount:                    q.o.MaxDeliveryCount,
			EnableBatchedOperations:             true,
			SizeInBytes:                         q.total(),
			MessageCount:                        activeCount + n.Scheduled + n.DeadLetter,
			Status:                              "Active",
			CreatedAt:                           made,
			UpdatedAt:                           made,
			AccessedAt:                          neverAccessed,
			CountDetails:                        &countDetails{XMLNS: countsSpace, Active: activeCount, DeadLetter: n.DeadLetter, Scheduled: n.Scheduled},
			AutoDeleteOnIdle:                    forever,
			EntityAvailabilityStatus:            "Available",
			MaxMessageSizeInKilobytes:           int64(q.o.MaxMessageSize >> 10),
		}},
	}
}

// readQueue reads the description of a queue that is to be made.
func readQueue(r io.Reader) (Queue, error) {
	var e struct {
		Queue queueDescription `xml:"content>QueueDescription"`
	}
	if err := xml.NewDecoder(r).Decode(&e); err != nil {
		return Queue{}, err
	}
	d := e.Queue
	if d.RequiresSession {
		return Queue{}, errors.New("sessions are not simulated")
	}
	o := Queue{
		MaxDeliveryCount:   d.MaxDeliveryCount,
		MaxSize:            min(d.MaxSizeInMegabytes, math.MaxInt64>>20) << 20,
		MaxMessageSize:     int(min(d.MaxMessageSizeInKilobytes, math.MaxInt32)) << 10,
		DeadLetterOnExpiry: d.DeadLetteringOnMessageExpiration,
	}
	window := d.DuplicateDetectionHistoryTimeWindow
	if !d.RequiresDuplicateDetection {
		window = ""
	} else if window == "" {
		window = "PT10M"
	}
	for _, span := range []struct {
		text string
		to   *time.Duration
	}{
		{d.LockDuration, &o.LockDuration},
		{d.DefaultMessageTimeToLive, &o.DefaultTTL},
		{window, &o.DuplicateDetection},
	} {
		var err error
		if *span.to, err = readSpan(span.text); err != nil {
			return Queue{}, err
		}
	}
	return o, nil
}

// timeSpan writes a duration as XML Schema does; zero is for ever.
func timeSpan(d time.Duration) string {
	if d == 0 {
		return forever
	}
	const day = 24 * time.Hour
	text, clock := "P", ""
	if d >= day {
		text += strconv.FormatInt(int64(d/day), 10) + "D"
	}
	for _, unit := range []struct {
		size time.Duration
		of   time.Duration
		name string
	}{{time.Hour, day, "H"}, {time.Minute, time.Hour, "M"}} {
		if n := d % unit.of / unit.size; n > 0 {
			clock += strconv.FormatInt(int64(n), 10) + unit.name
		}
	}
	if rest := (d % time.Minute).Seconds(); rest > 0 {
		clock += strconv.FormatFloat(rest, 'f', -1, 64) + "S"
	}
	if clock != "" {
		text += "T" + clock
	}
	return text
}

var spanPattern = regexp.MustCompile(`^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$`)

// readSpan reads a duration; nothing and what is longer than Go's 292 years is
// zero.
func readSpan(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	m := spanPattern.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%q is not a time span", text)
	}
	seconds := 0.0
	for i, unit := range []float64{24 * 3600, 3600, 60, 1} {
		n, _ := strconv.ParseFloat(m[i+1], 64)
		seconds += n * unit
	}
	if seconds >= math.MaxInt64/1e9 {
		return 0, nil
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
