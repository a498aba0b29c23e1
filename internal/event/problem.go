package event

// Reasons of a [Problem]: short, stable, few enough to be metric labels.
const (
	// ReasonEmpty: the body has no bytes but white space.
	ReasonEmpty = "empty_body"
	// ReasonNotJSON: the bytes break JSON's grammar.
	ReasonNotJSON = "not_json"
	// ReasonTooDeep: JSON nested deeper than any event of Azure's.
	ReasonTooDeep = "too_deep"
	// ReasonNotEvent: JSON, but no envelope of any schema read here.
	ReasonNotEvent = "not_event"
	// ReasonMissingID, ReasonMissingType and ReasonMissingSource: an envelope
	// without one of the three attributes that identify an event.
	ReasonMissingID     = "missing_id"
	ReasonMissingType   = "missing_type"
	ReasonMissingSource = "missing_source"
	// ReasonUnsupportedType: an envelope of a known sender in a form that is
	// not read here, such as an alert outside the common alert schema.
	ReasonUnsupportedType = "unsupported_type"
	// ReasonForeignSource: not from an Azure Machine Learning workspace.
	ReasonForeignSource = "foreign_source"
	// ReasonBadData: neither payload nor subject says what the event is about.
	ReasonBadData = "bad_data"
)

// Problem says why bytes did not become an event. It sends them to quarantine,
// where a person reads Detail.
type Problem struct {
	// Reason is one of the Reason constants.
	Reason string `json:"reason"`
	// Detail is a sentence: what is wrong, where, and what to do where that
	// can be said.
	Detail string `json:"detail"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Reason + ": " + p.Detail }
