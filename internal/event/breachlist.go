package event

import "strings"

// breachList is the list of a breach tag, as far as it could be read.
type breachList struct {
	entries  []breachEntry
	loss     string
	fragment string
	// rest is the text behind the list.
	rest string
}

// readList reads the list that text begins with. It is written as Python
// writes a list of JSON strings; on its way it may have been quoted again, so
// layers of quoting are peeled off until it reads well. The layer that shows
// most entries counts.
func readList(text string) breachList {
	if escapedAgain(text) {
		text = unescape(text)
	}
	best := parseList(text)
	for _, peel := range []func(string) string{unescape, unescape, undouble, undouble} {
		if best.reads() {
			break
		}
		text = peel(text)
		if l := parseList(text); l.reads() || l.whole() > best.whole() {
			best = l
		}
	}
	return best
}

// escapedAgain tells a layer of escapes by a double quote that is escaped inside
// single ones: Python does not do that.
func escapedAgain(text string) bool {
	text = strings.TrimLeft(text, "[ ")
	object, ok := strings.CutPrefix(text, "'")
	return ok && strings.HasPrefix(strings.TrimLeft(object, "{ "), `\"`)
}

// reads reports whether the list makes sense as far as it goes.
func (l *breachList) reads() bool {
	return l.loss == "" || l.loss != LossUnreadable && l.whole() > 0
}

// whole counts the entries that are whole; only the last may not be.
func (l *breachList) whole() int {
	n := len(l.entries)
	if n > 0 && l.entries[n-1].cut {
		n--
	}
	return n
}

// undouble takes back quotes that were escaped by writing them twice.
func undouble(text string) string {
	return strings.NewReplacer("''", "'", `""`, `"`).Replace(text)
}

// parseList reads a list whose quoting has been peeled off.
func parseList(text string) breachList {
	var l breachList
	i := 0
	bracket := strings.HasPrefix(text, "[")
	if bracket {
		i++
	}
	for {
		i += len(text[i:]) - len(strings.TrimLeft(text[i:], " ,\n\t\r"))
		switch {
		case i == len(text):
			if bracket {
				l.lose(LossTruncated, "")
			}
			return l
		case text[i] == ']':
			l.rest = text[i+1:]
			return l
		case len(l.entries) == maxBreaches:
			l.lose(LossTooMany, text[i:])
			return l
		}
		n := l.element(text[i:])
		if n == 0 {
			l.lose(LossTruncated, text[i:])
			return l
		}
		i += n
	}
}

// lose notes the first loss.
func (l *breachList) lose(reason, fragment string) {
	if l.loss == "" {
		l.loss, l.fragment = reason, fragment
	}
}

// element reads the element that text begins with and returns its length, or 0
// when the text ends in it.
func (l *breachList) element(text string) int {
	switch text[0] {
	case '\'', '"':
		n, closed := quotedElement(text)
		if !closed {
			l.addCut(unescape(text[1:]))
			return 0
		}
		l.add(unescape(text[1:n-1]), text[:n])
		return n
	case '{':
		entry, n := readEntry(text)
		if n == 0 {
			l.addCut(text)
			return 0
		}
		l.addEntry(entry, text[:n])
		return n
	}
	// Not an element. What follows may be one.
	if next := strings.IndexAny(text, `'"{]`); next > 0 {
		l.lose(LossUnreadable, text[:next])
		return next
	}
	return 0
}

// quotedElement finds the end of the string that text begins with. A quote
// ends it only where a list could go on, because apostrophes in the names of
// features are not always escaped.
func quotedElement(text string) (n int, closed bool) {
	object := strings.HasPrefix(strings.TrimLeft(text[1:], " "), "{")
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case text[i] == text[0] && endsElement(text, i, object):
			return i + 1, true
		}
	}
	return len(text), false
}

func endsElement(text string, i int, object bool) bool {
	if before := strings.TrimRight(text[:i], " "); object && before[len(before)-1] != '}' {
		return false
	}
	after := strings.TrimLeft(text[i+1:], " \n\t\r")
	return after == "" || after[0] == ',' || after[0] == ']'
}

// add reads the object in a whole element.
func (l *breachList) add(object, raw string) {
	object = strings.TrimSpace(object)
	if strings.HasPrefix(object, "{") {
		if entry, n := readEntry(object); n > 0 {
			l.addEntry(entry, raw)
			return
		}
	}
	l.lose(LossUnreadable, raw)
}

// addEntry keeps an entry that names a feature or a metric. One that names
// neither tells nothing.
func (l *breachList) addEntry(e breachEntry, raw string) {
	switch {
	case e.feature != "" || e.metric != "":
		l.entries = append(l.entries, e)
	case strings.TrimSpace(strings.Trim(raw, `'"{} `)) != "":
		l.lose(LossUnreadable, raw)
	}
}

// addCut keeps what is known of an entry that the text ends in: all of it when
// only the closing quote is missing, else a part if that names feature and
// metric, for then it is clear what breached and only numbers are lost.
func (l *breachList) addCut(object string) {
	object = strings.TrimSpace(object)
	if !strings.HasPrefix(object, "{") {
		return
	}
	entry, n := readEntry(object)
	entry.cut = n == 0
	if n == len(object) || entry.cut && entry.feature != "" && entry.metric != "" {
		l.addEntry(entry, object)
	}
}
