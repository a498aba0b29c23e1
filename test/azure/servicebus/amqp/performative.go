package amqp

// Roles of a link's end.
const (
	RoleSender   = false
	RoleReceiver = true
)

// Settle modes of a sender and of a receiver.
const (
	SenderUnsettled uint8 = 0
	SenderSettled   uint8 = 1
	SenderMixed     uint8 = 2
	ReceiverFirst   uint8 = 0
	ReceiverSecond  uint8 = 1
)

// The frame bodies of AMQP 1.0 part 2, 2.7. The fields are those of the
// standard, in its order; where its default is not zero the field is a pointer.
type (
	// Open negotiates a connection.
	Open struct {
		ContainerID         string
		Hostname            string
		MaxFrameSize        *uint32
		ChannelMax          *uint16
		IdleTimeout         *uint32 // milliseconds
		OutgoingLocales     []Symbol
		IncomingLocales     []Symbol
		OfferedCapabilities []Symbol
		DesiredCapabilities []Symbol
		Properties          Map
	}

	// Begin begins a session.
	Begin struct {
		RemoteChannel       *uint16
		NextOutgoingID      uint32
		IncomingWindow      uint32
		OutgoingWindow      uint32
		HandleMax           *uint32
		OfferedCapabilities []Symbol
		DesiredCapabilities []Symbol
		Properties          Map
	}

	// Attach attaches a link to a session. Target is a *Target or a
	// *Coordinator.
	Attach struct {
		Name                 string
		Handle               uint32
		Role                 bool
		SndSettleMode        *uint8
		RcvSettleMode        uint8
		Source               *Source
		Target               any
		Unsettled            Map
		IncompleteUnsettled  bool
		InitialDeliveryCount *uint32
		MaxMessageSize       *uint64
		OfferedCapabilities  []Symbol
		DesiredCapabilities  []Symbol
		Properties           Map
	}

	// Flow updates the windows of a session and, with a handle, a link's credit.
	Flow struct {
		NextIncomingID *uint32
		IncomingWindow uint32
		NextOutgoingID uint32
		OutgoingWindow uint32
		Handle         *uint32
		DeliveryCount  *uint32
		LinkCredit     *uint32
		Available      *uint32
		Drain          bool
		Echo           bool
		Properties     Map
	}

	// Transfer carries a message or a part of one; the payload follows it.
	Transfer struct {
		Handle        uint32
		DeliveryID    *uint32
		DeliveryTag   []byte
		MessageFormat *uint32
		Settled       *bool
		More          bool
		RcvSettleMode *uint8
		State         any
		Resume        bool
		Aborted       bool
		Batchable     bool
	}

	// Disposition tells the state of a range of deliveries.
	Disposition struct {
		Role      bool
		First     uint32
		Last      *uint32
		Settled   bool
		State     any
		Batchable bool
	}

	// Detach detaches a link.
	Detach struct {
		Handle uint32
		Closed bool
		Error  *Error
	}

	// End ends a session.
	End struct{ Error *Error }

	// Close ends a connection.
	Close struct{ Error *Error }
)

// Error says what went wrong to the other side.
type Error struct {
	Condition   Symbol
	Description string
	Info        Map
}

// Error implements error.
func (e *Error) Error() string { return string(e.Condition) + ": " + e.Description }

// Source, Target and the delivery states are those of AMQP 1.0 part 3, 3.4 and
// 3.5; Coordinator that of part 4.
type (
	// Source is where a link's messages come from.
	Source struct {
		Address               any
		Durable               uint32
		ExpiryPolicy          Symbol
		Timeout               uint32
		Dynamic               bool
		DynamicNodeProperties Map
		DistributionMode      Symbol
		Filter                Map
		DefaultOutcome        any
		Outcomes              []Symbol
		Capabilities          []Symbol
	}

	// Target is where they go to.
	Target struct {
		Address               any
		Durable               uint32
		ExpiryPolicy          Symbol
		Timeout               uint32
		Dynamic               bool
		DynamicNodeProperties Map
		Capabilities          []Symbol
	}

	// Coordinator is the target of a transaction's control link.
	Coordinator struct{ Capabilities []Symbol }

	// Received tells how much of a delivery arrived.
	Received struct {
		SectionNumber uint32
		SectionOffset uint64
	}
	// Accepted is the outcome of a message that was processed.
	Accepted struct{}
	// Rejected is that of a message that is invalid.
	Rejected struct{ Error *Error }
	// Released gives a message back unprocessed.
	Released struct{}
	// Modified gives it back and says how.
	Modified struct {
		DeliveryFailed     bool
		UndeliverableHere  bool
		MessageAnnotations Map
	}
)

// The frame bodies of the SASL layer (part 5, 5.3.3).
type (
	// SASLMechanisms offers ways to authenticate.
	SASLMechanisms struct{ Mechanisms []Symbol }
	// SASLInit chooses one.
	SASLInit struct {
		Mechanism       Symbol
		InitialResponse []byte
		Hostname        string
	}
	// SASLOutcome answers: 0 is success, 1 bad credentials.
	SASLOutcome struct {
		Code           uint8
		AdditionalData []byte
	}
)
